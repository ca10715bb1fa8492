"""Chains that hosts of OVN cannot realise."""

from typing import Any

import pytest

from portchain.core.model import PortRole
from portchain.core.rules import Kind, Violation
from portchain.drivers.ovn.refusals import check_chain
from tests.unit.dataplane.planning.test_planner import snapshot

ROUTER = {"role": PortRole.ROUTER, "host": ""}
"""Neutron has no host for the port of a router that OVN distributes."""
SUBPORT = {"role": PortRole.SUBPORT}


@pytest.mark.parametrize("symmetric", [False, True])
def test_virtual_machines_send(symmetric: bool) -> None:
    check_chain(snapshot(symmetric=symmetric))


@pytest.mark.parametrize(
    ("ends", "what"),
    [
        ({"src": ROUTER}, "packets of flow classifier .* of a router or"),
        ({"src": {"role": PortRole.ROUTER}}, "packets of flow classifier .* of a router or"),
        ({"src": {"role": PortRole.SERVICE}}, "packets of flow classifier .* of a router or"),
        ({"dst": ROUTER, "symmetric": True}, "replies of flow classifier .* of a router or"),
        ({"src": SUBPORT}, "packets of flow classifier .* a subport of a trunk"),
        ({"dst": SUBPORT, "symmetric": True}, "replies of flow classifier .* a subport of a trunk"),
    ],
)
def test_what_a_port_without_interface_sends_is_refused(ends: dict[str, Any], what: str) -> None:
    with pytest.raises(Violation, match=what) as refused:
        check_chain(snapshot(**ends))
    assert refused.value.kind is Kind.UNSUPPORTED
    assert refused.value.attribute == "flow_classifiers"
    assert "driver ovs" in refused.value.rule, "an alternative"


@pytest.mark.parametrize("end", [ROUTER, SUBPORT])
def test_what_is_sent_to_such_a_port_enters_the_chain(end: dict[str, Any]) -> None:
    check_chain(snapshot(dst=end))


@pytest.mark.parametrize("name", ["pp2_in", "pp3_out"])
def test_a_function_with_a_subport_is_refused(name: str) -> None:
    with pytest.raises(Violation, match="is a subport of a trunk") as refused:
        check_chain(snapshot(**{name: SUBPORT}))
    assert refused.value.attribute == "port_pair_groups"
    assert "driver ovs" in refused.value.rule, "an alternative"
