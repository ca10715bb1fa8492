"""Health checks on a real Northbound database, and their results on a Southbound one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from portchain_lab.waiting import wait_for

from portchain.core.model import ChainSnapshot, FailureMode, HealthCheck, PortPair, PortPairGroup
from portchain.core.rules import Violation
from portchain.drivers.ovn import carry, checks, northbound
from portchain.drivers.ovn.commands import removal
from portchain.drivers.ovn.compile import compile_chain
from portchain.drivers.ovn.errors import NoFreeFunctionId
from portchain.drivers.ovn.health import Health
from portchain.drivers.ovn.rows import probe_name, wire_name
from tests.functional.ovn.conftest import (
    DEADLINE,
    Connect,
    add,
    add_network,
    chain_through,
)
from tests.plans import ident
from tests.unit.dataplane.planning.test_planner import pair

PP1 = pair("pp1")
CHAIN = ident("pc1")


def checked(snapshot: ChainSnapshot, check: HealthCheck = HealthCheck.ICMP) -> ChainSnapshot:
    groups = tuple(replace(group, health_check=check) for group in snapshot.chain.port_pair_groups)
    return replace(snapshot, chain=replace(snapshot.chain, port_pair_groups=groups))


@pytest.fixture
def northern(connect: Connect) -> northbound.Database:
    database = connect()
    add(database, lambda row: row("NB_Global", options={"svc_monitor_ip": "192.0.2.9"}))
    add_network(database, "src", "dst", "pp1-in", "pp1-out")
    return database


def verdict(
    database: northbound.Database, status: str = "", port: str = probe_name(CHAIN, PP1.egress)
) -> None:
    """Write the result of a check, as ovn-northd and ovn-controller do."""

    def one(row: Callable[..., Any]) -> None:
        known = database.named("Service_Monitor", port)
        if known is None:
            known = row("Service_Monitor", logical_port=port)
        if status:
            known.status = status

    add(database, one)


def write(database: northbound.Database, snapshot: ChainSnapshot, health: Health) -> None:
    carry.write(database, snapshot, carry.compiled(database, health, snapshot))


def test_rows_of_checks_come_and_go(connect: Connect, northern: northbound.Database) -> None:
    health = Health(connect("sb"))
    names = {row.name for row in northern.rows("Logical_Switch_Port")}
    write(northern, checked(chain_through("pp1")), health)
    write(northern, checked(chain_through("pp1")), health)
    (check,) = northern.rows("Network_Function_Health_Check")
    (function,) = [row for row in northern.rows("Network_Function") if row.health_check]
    assert function.health_check == [check]
    ends = [function.inport, function.outport]
    assert [port.parent_name for port in ends] == [[PP1.ingress], [PP1.egress]]
    assert {tuple(port.tag) for port in ends} == {(4094,)}
    (switch,) = [row for row in northern.rows("Logical_Switch") if ends[0] in row.ports]
    assert set(switch.ports) == set(ends), "nobody else is on it"
    (everything,) = northern.rows("NB_Global")
    assert everything.options["svc_monitor_ip"] == "192.0.2.9", "as the operator wants it"
    assert everything.options["svc_monitor_ip_dst"]

    write(northern, checked(chain_through("pp1"), HealthCheck.NONE), health)
    assert len(northern.rows("Network_Function")) == 1
    wait_for(lambda: not northern.rows("Network_Function_Health_Check"), DEADLINE, "no check")
    write(northern, checked(chain_through("pp1")), health)
    northern.run(removal(northern, CHAIN))
    assert {row.name for row in northern.rows("Logical_Switch_Port")} == names
    assert northern.rows("Network_Function") == []


def test_a_function_is_offline_if_its_check_fails(connect: Connect) -> None:
    southern = connect("sb")
    health, chain = Health(southern), checked(chain_through("pp1")).chain
    assert health.offline(chain) == frozenset()
    for status, offline in (("", False), ("online", False), ("offline", True), ("error", True)):
        verdict(southern, status)
        assert health.offline(chain) == ({PP1.id} if offline else frozenset()), status
        assert health.is_online(chain.id, PP1.egress) is (status == "online")
    assert health.offline(chain_through("pp1").chain) == frozenset(), (
        "the group has no health check"
    )


def test_chains_are_named_once_when_a_verdict_changes(connect: Connect) -> None:
    southern = connect("sb")
    health = Health(southern)
    verdict(southern, "online")
    verdict(southern, "online", port="somebody's load balancer")
    assert health.changed() == {CHAIN}, "at first, all chains with a check"
    assert health.changed() == set()
    verdict(southern, "offline")
    wait_for(lambda: health.changed() == {CHAIN}, DEADLINE, "the change is noticed")
    assert health.changed() == set()
    health.later({CHAIN})
    assert health.changed() == {CHAIN}


def test_health_checks_use_numbers_of_functions(northern: northbound.Database) -> None:
    def others(row: Callable[..., Any]) -> None:
        end = northern.named("Logical_Switch_Port", ident("dst"))
        for number in range(1, 255):
            row("Network_Function", name=f"other{number}", id=number, inport=end, outport=end)

    add(northern, others)
    plain = chain_through("pp1")
    checks.check_chain(northern, plain, compile_chain(plain).rows)
    with pytest.raises(NoFreeFunctionId, match="1 more"):
        checks.check_chain(northern, checked(plain), compile_chain(checked(plain)).rows)


def test_a_function_behind_a_trunk_is_not_checked(northern: northbound.Database) -> None:
    def subport(_row: Callable[..., Any]) -> None:
        northern.named("Logical_Switch_Port", PP1.egress).parent_name = "parent"

    add(northern, subport)
    plain = chain_through("pp1")
    checks.check_chain(northern, plain, compile_chain(plain).rows)
    with pytest.raises(Violation, match="subport of a trunk"):
        checks.check_chain(northern, checked(plain), compile_chain(checked(plain)).rows)


def test_connections_keep_a_path_while_groups_are_skipped_and_return(connect: Connect) -> None:
    """Connections keep the number of the function that their first packet visited."""
    database = connect()
    pairs = [pair(f"pp{number}") for number in (1, 2, 3)]
    ports = [port for one in pairs for port in (one.ingress, one.egress)]
    add(database, lambda row: row("NB_Global"))
    add_network(
        database, "src", "dst", *(f"pp{n}-{side}" for n in (1, 2, 3) for side in ("in", "out"))
    )
    first, last = (
        PortPairGroup(ident(name), ident("project"), 1, some, name, failure_mode=FailureMode.OPEN)
        for name, some in (("pg1", tuple(pairs[:2])), ("pg2", (pairs[2],)))
    )
    given = chain_through("pp1")
    given = replace(given, chain=replace(given.chain, port_pair_groups=(first, last)))

    def numbers(*offline: str) -> dict[int, tuple[str, str]]:
        """The functions' ports that each number leads to, by the patches' names."""
        carry.write(database, given, compile_chain(given, offline={ident(one) for one in offline}))
        found = {}
        for row in database.rows("Network_Function"):
            ends = [end.name.removeprefix(wire_name(CHAIN)) for end in (row.inport, row.outport)]
            named = [next((p for p in ports if end.startswith(p)), end) for end in ends]
            found[row.id] = (named[0], named[1])
        return found

    one, other, third = pairs
    whole = numbers()
    assert set(whole.values()) == {(p.ingress, third.egress) for p in (one, other)}
    left = numbers("pp3")
    assert left == {n: (entry, entry_to_exit(pairs, entry)) for n, (entry, _) in whole.items()}
    assert numbers() == whole
    past = numbers("pp1", "pp2", "pp3")
    assert past == dict.fromkeys(whole, ("in-net", "out-net"))
    assert numbers() == whole
    assert numbers("pp1", "pp2", "pp3") == past
    assert set(numbers("pp3")) == set(whole)


def entry_to_exit(pairs: Sequence[PortPair], entry: str) -> str:
    return next(one.egress for one in pairs if one.ingress == entry)
