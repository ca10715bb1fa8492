"""What a host checks, while its chains change."""

from dataclasses import replace

import pytest

from portchain.core.model import HealthCheck
from portchain.dataplane.plan import ChainPlan, Probe
from portchain.host.health.checks import ChecksOfChains
from tests.plans import TUNNEL_IPS, chain, ident, mac, switch, target

LOCAL = switch("h1", "a-in", "a-out")
PROBE = Probe(
    pair_id=ident("a"),
    host="h1",
    ingress_port=ident("a-in"),
    ingress_mac=mac("a-in"),
    egress_port=ident("a-out"),
    check=HealthCheck.ICMP,
    source="10.0.0.1",
    destination="10.0.0.20",
)


def checked(name: str, **changes: str) -> ChainPlan:
    made = chain([target("a", "h1")], name=name)
    return replace(made, probes=(replace(PROBE, **changes),), watched=(TUNNEL_IPS["h2"],))


@pytest.fixture
def checks() -> ChecksOfChains:
    made = ChecksOfChains()
    made.set("one", checked("one"))
    assert made.take_changed(LOCAL) is not None
    return made


def test_a_change_that_concerns_no_check_changes_none(checks: ChecksOfChains) -> None:
    checks.set("one", replace(checked("one"), revision=2))
    checks.set("other", chain([target("b", "h1")], name="other"))
    checks.set("other", None)
    assert checks.take_changed(LOCAL) is None


def test_checks_begin_and_end_with_the_chain(checks: ChecksOfChains) -> None:
    checks.set("two", checked("two", destination="10.0.0.21"))
    changed = checks.take_changed(LOCAL)
    assert changed is not None
    functions, hosts = changed
    assert [one.name for one in functions] == [ident("a")]
    assert [one.name for one in hosts] == [TUNNEL_IPS["h2"]]
    checks.set("one", None)
    checks.set("two", None)
    assert checks.take_changed(LOCAL) == ([], [])
    assert checks.take_changed(LOCAL) is None


def test_a_function_is_checked_where_it_is_plugged_in(checks: ChecksOfChains) -> None:
    changed = checks.take_changed(LOCAL.without_ports({ident("a-out")}))
    assert changed is not None
    assert changed[0] == []


def test_a_function_that_chains_share_is_checked_in_one_way(checks: ChecksOfChains) -> None:
    """Whichever of the chains changes."""
    forms = set()
    for name, destination in (("two", "10.0.0.21"), ("one", "10.0.0.20"), ("two", "10.0.0.21")):
        checks.set(name, None)
        checks.set(name, checked(name, destination=destination))
        changed = checks.take_changed(LOCAL)
        assert changed is not None
        forms.add(changed[0][0].form)
    assert len(forms) == 1
