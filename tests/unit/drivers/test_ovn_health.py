"""Health checks, and groups without an available pair: the rows of a chain in each case."""

from dataclasses import replace

import pytest

from portchain.core.model import VLAN, ChainSnapshot, FailureMode, HealthCheck, PortPairGroup
from portchain.drivers.ovn import rows
from portchain.drivers.ovn.compile import compile_chain
from portchain.drivers.ovn.probing import Probing
from tests.plans import ident
from tests.unit.dataplane.planning.test_planner import pair, port, snapshot
from tests.unit.drivers.test_ovn_compile import any_source_port, group, with_chain

PP1, PP2, PP3, PP4 = (pair(f"pp{number}") for number in range(1, 5))
CHECKED = {"health_check": HealthCheck.ICMP}
OPEN = {"failure_mode": FailureMode.OPEN}


def chain(*groups: PortPairGroup, **ports: dict[str, object]) -> ChainSnapshot:
    return with_chain(any_source_port(snapshot(**ports)), port_pair_groups=groups)


def chain_of_four(*groups: PortPairGroup) -> ChainSnapshot:
    """With the ports of a fourth pair."""
    given = chain(*groups)
    more = [port(f"pp4-{side}", "h1", "10.0.0.40") for side in ("in", "out")]
    return replace(given, ports={**given.ports, **{one.id: one for one in more}})


def test_nothing_is_checked_unless_asked_for() -> None:
    compiled = compile_chain(chain(group("pg1", PP1, PP2), group("pg2", PP3)))
    assert (compiled.rows.probes, compiled.rows.checks) == ((), ())


def test_every_pair_of_a_checked_group_is_checked() -> None:
    idle = replace(PP2, weight=0)
    probing = Probing(vlan=7, interval=2, failures=5)
    groups = replace(group("pg1", PP1, idle), **CHECKED), group("pg2", PP3)
    made = compile_chain(chain(*groups), probing=probing).rows
    plain = compile_chain(chain(group("pg1", PP1, idle), group("pg2", PP3))).rows
    assert {probe.parent for probe in made.probes} == {
        port for one in (PP1, idle) for port in (one.ingress, one.egress)
    }
    assert {probe.tag for probe in made.probes} == {7}
    for check, one in zip(made.checks, (PP1, idle), strict=True):
        ends = {probe.parent: probe for probe in made.probes if probe.switch == check.name}
        assert check.inport == ends[one.ingress].name
        assert check.outport == ends[one.egress].name
        assert rows.chain_of_probe(check.outport) == made.chain_id
        assert check.options == {
            "interval": "2",
            "timeout": "2",
            "success_count": "5",
            "failure_count": "5",
        }
    without = {name: acls for name, acls in made.switches.items() if not name.endswith("-check")}
    assert replace(made, probes=(), checks=(), switches=without) == plain


def test_names_of_other_ports_are_of_no_chain() -> None:
    for name in (ident("pp1-in"), "", rows.wire_name(ident("pc1"), "x-net"), "pc--probe"):
        assert rows.chain_of_probe(name) == ""


def test_other_pairs_replace_a_pair_that_fails_its_check() -> None:
    given = chain(replace(group("pg1", PP1, PP2), **CHECKED), group("pg2", PP3))
    healthy, degraded = compile_chain(given), compile_chain(given, offline={PP1.id})
    assert degraded.obstacle == ""
    assert {acl.function for acl in healthy.rows.classification} == {
        function.name for function in healthy.rows.functions
    }
    (only,) = {acl.function for acl in degraded.rows.classification}
    assert PP2.ingress in only
    assert degraded.rows.moved == healthy.rows.moved, "back soon, it is not moved for that"


def test_a_closed_group_keeps_its_pairs_when_all_fail() -> None:
    given = chain(replace(group("pg1", PP1, PP2), **CHECKED), group("pg2", PP3))
    compiled = compile_chain(given, offline={PP1.id, PP2.id})
    assert compiled.rows == compile_chain(given).rows
    assert "pp1: it fails its health check" in compiled.obstacle


@pytest.mark.parametrize("place", [0, 1])
def test_a_group_that_fails_open_is_skipped(place: int) -> None:
    failing = replace(group("pg2", PP3), **CHECKED, **OPEN)
    groups = [group("pg1", PP1, PP2)]
    rest = compile_chain(chain(*groups)).rows
    groups.insert(place, failing)
    compiled = compile_chain(chain(*groups), offline={PP3.id})
    alone = {port: rows.wire_name(rest.chain_id, port) for port in (PP3.ingress, PP3.egress)}
    made = compiled.rows
    assert compiled.obstacle == ""
    assert "pg2 is skipped" in compiled.caution
    assert made.classification == rest.classification
    assert made.functions == rest.functions
    assert made.patches == rest.patches
    assert {port.name: port.switch for port in made.moved} == {
        port.name: port.switch for port in rest.moved
    } | alone
    assert all(made.switches[switch] == () for switch in alone.values())
    assert {check.name for check in made.checks} == {rows.check_name(made.chain_id, PP3.egress)}


def test_child_ports_of_a_skipped_shared_group_leave_the_chain() -> None:
    """Other chains use the ports, too: they stay in their switches."""
    shared = replace(PP3, correlation=VLAN)
    groups = group("pg1", PP1, PP2), replace(group("pg2", shared), **CHECKED, **OPEN)
    made = compile_chain(chain(*groups), offline={PP3.id}).rows
    assert {port.name for port in made.moved}.isdisjoint({PP3.ingress, PP3.egress})
    ends = {child.parent: child for child in made.children}
    assert ends.keys() == {PP3.ingress, PP3.egress}
    for parent, child in ends.items():
        assert child.tag is None
        assert child.switch == rows.wire_name(made.chain_id, parent)
        assert made.switches[child.switch] == ()
    assert {child.twin for child in made.children} == {child.name for child in made.children}
    assert {probe.tag for probe in made.probes} == {None}

    visited = compile_chain(chain(*groups)).rows
    assert {child.name for child in visited.children} == {child.name for child in made.children}
    wires = [made.switches[child.switch] for child in made.children]
    for child in visited.children:
        acls = " ".join(acl.match for acl in visited.switches[child.switch])
        assert f'"{child.name}"' in acls
        assert f'"{child.parent}"' not in acls
        assert visited.switches[child.switch] not in wires


@pytest.mark.parametrize("reason", ["unplugged", "without weight", "empty"])
def test_packets_bypass_a_chain_of_open_groups_only(reason: str) -> None:
    ports = {"pp3_in": {"plugged": False}} if reason == "unplugged" else {}
    weight = 0 if reason == "without weight" else 1
    pairs = () if reason == "empty" else (replace(PP3, weight=weight),)
    given = chain(replace(group("pg1", *pairs), **OPEN), **ports)
    compiled = compile_chain(given)
    assert compiled.obstacle == ""
    assert "pg1 is skipped" in compiled.caution
    made = compiled.rows
    assert made.sources == (ident("src"),)
    (function,) = made.functions
    assert {acl.function for acl in made.classification} == {function.name}
    inner = {patch.name: patch for patch in made.patches if patch.switch in made.switches}
    ends = [one for one in made.patches if one.name in (function.inport, function.outport)]
    assert {inner[one.peer].switch for one in ends} == {rows.wire_name(made.chain_id, "in")}
    assert len({inner[one.peer].options["requested-tnl-key"] for one in ends}) == 2
    assert {port.name for port in made.moved} == {
        port for one in pairs for port in (one.ingress, one.egress)
    }
    closed = replace(given.chain.port_pair_groups[0], failure_mode=FailureMode.CLOSED)
    assert (
        "pg1 has no available pair"
        in compile_chain(with_chain(given, port_pair_groups=(closed,))).obstacle
    )


def test_functions_of_another_project_are_not_named() -> None:
    borrowed = replace(group("pg1", PP3), project_id=ident("other"), **CHECKED, **OPEN)
    compiled = compile_chain(chain(borrowed), offline={PP3.id})
    assert "pg1 is skipped" in compiled.caution
    assert "pp3" not in compiled.caution


def test_remaining_pairs_of_two_groups_form_a_path() -> None:
    """Each lane has a failed function, but the other two pairs form a path."""
    groups = group("pg1", PP1, PP2), replace(group("pg2", PP3, PP4), **CHECKED)
    compiled = compile_chain(chain_of_four(*groups), offline={PP1.id, PP4.id})
    assert (compiled.obstacle, compiled.caution) == ("", "")
    (function,) = compiled.rows.functions
    assert (PP2.ingress in function.name, PP3.egress in function.name) == (True, True)
    places = {port.name: port.switch for port in compiled.rows.moved}
    assert places[PP2.egress] == places[PP3.ingress]
    for failing in (PP1, PP4):
        for name in (failing.ingress, failing.egress):
            assert places[name] == rows.wire_name(compiled.rows.chain_id, name), "alone"


def test_functions_of_a_skipped_group_stay_isolated_while_the_chain_is_down() -> None:
    """Back on its network, a bridging function could close a loop."""
    failing = replace(group("pg1", PP1), **CHECKED, **OPEN)
    compiled = compile_chain(chain(failing, group("pg2")), offline={PP1.id})
    assert "pg2 has no available pair" in compiled.obstacle
    assert {acl.action for acl in compiled.rows.classification} == {"drop"}
    assert {port.name for port in compiled.rows.moved} == {PP1.ingress, PP1.egress}
    assert len(compiled.rows.checks) == 1
