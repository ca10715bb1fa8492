"""What the driver ovn refuses, because hosts of OVN cannot do it."""

from dataclasses import replace
from typing import Any

import pytest

from portchain.core.model import PortRole
from portchain.core.rules import Violation
from portchain.drivers.ovn.refusals import check_chain
from tests.plans import ident
from tests.unit.dataplane.planning.test_planner import snapshot


def with_role(role: PortRole, name: str) -> Any:
    made = snapshot()
    port = made.ports[ident(name)]
    return replace(made, ports={**made.ports, port.id: replace(port, role=role)})


def test_ports_with_interfaces_of_their_own() -> None:
    check_chain(snapshot())


@pytest.mark.parametrize(
    ("role", "name", "attribute", "reason"),
    [
        (PortRole.ROUTER, "src", "flow_classifiers", "belongs to a router"),
        (PortRole.SERVICE, "src", "flow_classifiers", "another service of the network"),
        (PortRole.SUBPORT, "src", "flow_classifiers", "a subport of a trunk"),
        (PortRole.SUBPORT, "pp2-in", "port_pair_groups", "a subport of a trunk"),
        (PortRole.SUBPORT, "pp3-out", "port_pair_groups", "a subport of a trunk"),
    ],
)
def test_ports_without(role: PortRole, name: str, attribute: str, reason: str) -> None:
    with pytest.raises(Violation, match=reason) as refused:
        check_chain(with_role(role, name))
    assert refused.value.attribute == attribute
    assert "driver ovs" in refused.value.rule, "an alternative"
