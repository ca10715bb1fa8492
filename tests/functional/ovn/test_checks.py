"""The checks that read from a real Northbound database what this OVN does not support."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from portchain.core.rules import Kind, Violation
from portchain.drivers.ovn import checks, northbound
from portchain.drivers.ovn.compile import compile_chain
from portchain.drivers.ovn.errors import NoFreeFunctionId
from portchain.drivers.ovn.rows import anchor_name
from tests.functional.ovn.conftest import Connect, add, add_port, symmetric
from tests.plans import ident

GROUP = "0c1f6f7e-8b1c-4f53-9d86-0a6c5a1d1f6b"


def check(database: northbound.Database) -> None:
    wanted = symmetric()
    checks.check_chain(database, wanted, compile_chain(wanted).rows)


def refusal(database: northbound.Database) -> str:
    with pytest.raises(Violation) as refused:
        check(database)
    assert refused.value.kind is Kind.UNSUPPORTED
    return str(refused.value)


def test_a_supported_chain_is_accepted(connect: Connect) -> None:
    check(connect())


def test_ovn_without_network_functions_is_refused(connect: Connect) -> None:
    assert "26.03 or newer" in refusal(connect(old=True))


def test_a_chain_is_refused_if_function_numbers_run_out(connect: Connect) -> None:
    database = connect()

    def nearly_all(row: Callable[..., Any]) -> None:
        ports = [row("Logical_Switch_Port", name=name) for name in ("one", "other")]
        row("Logical_Switch", name="net", ports=ports)
        for number in range(1, 255):
            ends = {"inport": ports[0], "outport": ports[1]}
            row("Network_Function", name=f"function{number}", id=number, **ends)

    add(database, nearly_all)
    with pytest.raises(NoFreeFunctionId) as full:
        check(database)
    assert "255 network functions and this chain needs 1 more" in str(full.value)


def test_a_source_without_connection_tracking_is_refused(connect: Connect) -> None:
    database = connect()

    def stateless(row: Callable[..., Any]) -> None:
        any_packet = {"direction": "from-lport", "priority": 1002, "match": "1"}
        acl = row("ACL", action="allow-stateless", **any_packet)
        row("Port_Group", name=f"pg_{GROUP.replace('-', '_')}", acls=[acl])

    add(database, stateless)
    add_port(database, "src", **{"neutron:security_group_ids": GROUP})
    message = refusal(database)
    assert "security group is stateless" in message
    assert ident("src") in message


@pytest.mark.parametrize("owner", ["project", "somebody else"])
def test_a_function_in_another_chain_is_refused(connect: Connect, owner: str) -> None:
    """The message names the other chain only to the project that owns it."""
    database = connect()
    add_port(database, "pp1-in", **{northbound.CHAIN: "pc9"})
    marks = {northbound.CHAIN: "pc9", northbound.PROJECT: ident(owner)}
    add(database, lambda row: row("Port_Group", name=anchor_name("pc9"), external_ids=marks))
    message = refusal(database)
    assert ("add the flow classifier to that chain" in message) is (owner == "project")
    assert ("pc9" in message) is (owner == "project")
    assert "give this one a function of its own" in message


def test_a_borrowed_function_in_another_chain_is_refused(connect: Connect) -> None:
    database = connect()
    add_port(database, "pp1-in", **{northbound.CHAIN: "pc9"})
    wanted = symmetric()
    first, second = wanted.chain.port_pair_groups
    lent = replace(
        first,
        project_id=ident("somebody else"),
        port_pairs=tuple(
            replace(pair, project_id=ident("somebody else")) for pair in first.port_pairs
        ),
    )
    borrowed = replace(wanted, chain=replace(wanted.chain, port_pair_groups=(lent, second)))
    with pytest.raises(Violation) as refused:
        checks.check_chain(database, borrowed, compile_chain(borrowed).rows)
    message = str(refused.value)
    assert "a port pair of another project is in another port chain" in message
    assert not any(word in message for word in ("pp1", ident("pp1"), "pc9"))
