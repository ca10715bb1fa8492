"""Ownership: which of several drivers a chain belongs to."""

from dataclasses import replace

import pytest

from portchain.core.model import Port
from portchain.core.ownership import owner_of
from portchain.core.rules import Kind, Violation
from portchain.drivers.noop import NoopDriver
from tests.plans import ident
from tests.unit.dataplane.planning.test_planner import snapshot

FUNCTIONS = [f"pp{number}_{side}" for number in (1, 2, 3) for side in ("in", "out")]


class Claimant(NoopDriver):
    """Claims the ports that one mechanism driver has bound."""

    def __init__(self, mechanism: str) -> None:
        self.mechanism = mechanism

    def claims(self, port: Port) -> bool:
        return port.mechanism == self.mechanism


TWO = {"ovs": Claimant("openvswitch"), "ovn": Claimant("ovn")}


def bound(default="ovn", **mechanisms):
    everyone = dict.fromkeys([*FUNCTIONS, "src", "dst"], default) | mechanisms
    return snapshot(symmetric=True, **{name: {"mechanism": one} for name, one in everyone.items()})


def unbound():
    given = snapshot()
    return replace(given, ports={name: replace(one, host="") for name, one in given.ports.items()})


@pytest.mark.parametrize(("mechanism", "owner"), [("ovn", "ovn"), ("openvswitch", "ovs")])
def test_the_one_driver_that_claims_the_ports_owns_the_chain(mechanism, owner):
    assert owner_of(bound(mechanism), TWO) == owner


def test_without_bound_ports_only_a_single_driver_owns_a_chain():
    assert owner_of(unbound(), TWO) is None
    assert owner_of(unbound(), {"ovn": TWO["ovn"]}) == "ovn"


def test_unbound_ports_do_not_decide():
    given = bound()
    ports = dict(given.ports) | {
        ident("src"): replace(given.ports[ident("src")], host="", mechanism="")
    }
    assert owner_of(replace(given, ports=ports), TWO) == "ovn"


@pytest.mark.parametrize(
    ("chain", "drivers", "words"),
    [
        (bound(pp2_in="openvswitch"), TWO, ("driver ovs", "pp2-in", "driver ovn", "for each kind")),
        (bound(src="openvswitch"), TWO, ("src", "one driver must realise the whole chain")),
        (bound("sriovnicswitch"), TWO, ("sriovnicswitch", "none of the drivers ovs, ovn")),
        (bound("ovn"), {"ovs": TWO["ovs"]}, ("mechanism driver ovn", "none of the drivers ovs")),
        (
            bound(),
            {"a": TWO["ovn"], "b": TWO["ovn"]},
            ("claimed by the drivers a and b", "operator"),
        ),
    ],
)
def test_a_chain_without_a_single_owner_is_rejected_with_the_reason(chain, drivers, words):
    with pytest.raises(Violation) as refusal:
        owner_of(chain, drivers)
    assert refusal.value.kind is Kind.UNSUPPORTED
    assert all(word in refusal.value.rule for word in words), refusal.value.rule


def test_destination_ports_do_not_decide():
    assert owner_of(bound(dst="openvswitch"), TWO) == "ovn"
