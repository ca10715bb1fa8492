"""The change from the former driver to this one, with packets.

The former driver made a chain one network function of OVN. Its two ports led to switches of the
chain, to which the ports of functions were moved.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg
from portchain_lab.cloud import ovn as central
from portchain_lab.observe.capture import Capture
from portchain_lab.waiting import wait_for

from portchain import conf
from portchain.drivers.ovn import northbound
from portchain.drivers.ovn.northbound import Wanted
from portchain.drivers.ovn.rows import Phase, chain_rows, switch_name
from portchain.drivers.ovn.takeover import TakeOver, former_chains
from portchain.ovsdb.ovn import Database
from tests.functional.ovn.cloud import DEADLINE, NETWORK, PORT, Cloud, running_cloud, visits
from tests.plans import ident

HOME = switch_name(ident("net1"))
CHAIN = ident("chain")
THROUGH = ("a", "f-in", "f-out", "d")


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Source and function on h1, destination on h2, and the rows of a former chain."""
    with running_cloud() as one:
        one.add("a", "h1", ("a", "10.0.0.10"))
        one.add("d", "h2", ("d", "10.0.0.13"))
        one.add_function("f", "h1", 20, kind="l2")
        one.nb("set", "Logical_Switch", NETWORK, f"name={HOME}")
        add_former_rows(one)
        one.settle()
        yield one


def add_former_rows(cloud: Cloud) -> None:
    """Write what the former driver wrote for a chain of one function that bridges."""
    anchor, function = f"pc_{CHAIN.replace('-', '_')}", f"pc-{CHAIN}-f"
    for port, key, options in (
        ("f-in", 30001, {}),
        ("f-out", 30002, {"is-nf": "true"}),
    ):
        add_wire(cloud, port, key, {"lsp_learn_fdb": "false", **options})
    ends = [id_of(cloud, patch(port, "net")) for port in ("f-in", "f-out")]
    common = (f"name={function}", "id=1", external_ids({"portchain:chain": CHAIN}))
    match = (
        f"inport == @{anchor} && ip4.src == {cloud.machines['a'].ip} && "
        f"ip4.dst == {cloud.machines['d'].ip} && udp.dst == {PORT}"
    )
    cloud.nb(
        *("--id=@one", "create", "Network_Function", *common),
        *(f"inport={ends[0]}", f"outport={ends[1]}", "--"),
        *("--id=@all", "create", "Network_Function_Group", *common),
        *("network_function=@one", "mode=inline", "--"),
        *("--id=@acl", "create", "ACL", "direction=from-lport", "priority=2000"),
        *("action=allow-related", f"match={json.dumps(match)}", "options:apply-after-lb=true"),
        *("network_function_group=@all", "--"),
        *(
            "create",
            "Port_Group",
            f"name={anchor}",
            "acls=@acl",
            external_ids({"portchain:chain": CHAIN}),
        ),
        f"ports={id_of(cloud, ident('a'))}",
    )


def add_wire(cloud: Cloud, port: str, key: int, options: dict[str, str]) -> None:
    """Move a function's port to a switch of its own, and connect that with the network."""
    wire, name = f"pc-{CHAIN}-{ident(port)}", ident(port)
    cloud.nb(
        "ls-add",
        wire,
        "--",
        "set",
        "Logical_Switch",
        wire,
        external_ids({"portchain:chain": CHAIN}),
    )
    ends = {"net": (HOME, {"is-nf": "true", "receive_multicast": "false"}), "wire": (wire, {})}
    for end, (switch, more) in ends.items():
        peer = patch(port, "wire" if end == "net" else "net")
        put = ("set", "Logical_Switch_Port", patch(port, end), "type=switch", f"peer={peer}")
        cloud.nb(
            "lsp-add",
            switch,
            patch(port, end),
            "--",
            *put,
            external_ids({"portchain:chain": CHAIN}),
        )
        for option, value in more.items():
            cloud.nb(*put[:3], f"options:{option}={value}")
    inner = patch(port, "wire")
    cloud.nb("lsp-set-addresses", inner, "unknown")
    cloud.nb("set", "Logical_Switch_Port", inner, f"options:requested-tnl-key={key}")
    cloud.nb("acl-add", wire, "from-lport", "2000", "1", "allow-stateless")
    cloud.nb("acl-add", wire, "to-lport", "2000", "1", "drop")
    for one, other in ((name, inner), (inner, name)):
        match = f'inport == "{one}" && outport == "{other}"'
        cloud.nb("acl-add", wire, "to-lport", "2001", match, "allow-stateless")
    move(cloud, name, wire, options)


def move(cloud: Cloud, name: str, wire: str, options: dict[str, str]) -> None:
    owned = cloud.nb("lsp-get-addresses", name).strip()
    row = id_of(cloud, name)
    marks = {
        "portchain:chain": CHAIN,
        "neutron:network_name": HOME,
        "portchain:written": json.dumps({"addresses": ["unknown"], "port_security": []}),
        "portchain:kept": json.dumps({"addresses": [owned], "port_security": [owned]}),
        "portchain:options": json.dumps(options),
    }
    cloud.nb(
        *("remove", "Logical_Switch", HOME, "ports", row, "--"),
        *("add", "Logical_Switch", wire, "ports", row, "--"),
        *("lsp-set-addresses", name, "unknown", "--", "lsp-set-port-security", name, "--"),
        *("set", "Logical_Switch_Port", name),
        external_ids(marks),
        *(f"options:{key}={text}" for key, text in options.items()),
    )


def external_ids(marks: dict[str, str]) -> str:
    """The argument of ovn-nbctl that sets a row's column."""
    pairs = (f"{json.dumps(key)}={json.dumps(text)}" for key, text in marks.items())
    return f"external_ids={{{','.join(pairs)}}}"


def patch(port: str, end: str) -> str:
    return f"pc-{CHAIN}-{ident(port)}-{end}"


def id_of(cloud: Cloud, name: str) -> str:
    return cloud.nb(
        "--bare", "--columns=_uuid", "find", "Logical_Switch_Port", f"name={name}"
    ).strip()


@pytest.fixture
def database(cloud: Cloud) -> Iterator[Database]:
    conf.register_server_opts(cfg.CONF)
    made: Any = northbound.open_database()
    made._server = lambda: f"unix:{central.directory(cloud.lab.layout)}/nb.sock"
    made.connect()
    yield made
    made.close()


@pytest.mark.parametrize("hosts_are_late", [False, True])
def test_nothing_bypasses_a_chain_that_is_taken_over(
    cloud: Cloud, database: Database, hosts_are_late: bool
) -> None:
    """In the driver's order: rows and guards, then plans for hosts."""
    wait_for(
        lambda: not cloud.paths("a", "d")[0].lost, DEADLINE, "packets to pass the former chain"
    )
    assert cloud.paths("a", "d")[1] == {THROUGH}
    assert former_chains(database) == {CHAIN}
    plan = cloud.plan("a", "d", "f", revision=2)
    nics = [nic for machine in cloud.machines.values() for nic in machine.nics]
    ports: Any = {nic.port_id: SimpleNamespace(network_id=ident("net1")) for nic in nics}
    wanted = Wanted(plan.id, 2, Phase.COMPLETE, chain_rows(plan, ports))
    with Capture(cloud.machines.values()) as capture, ExitStack() as running:
        for agent in cloud.agents.values():
            running.enter_context(agent.running())
        stream = running.enter_context(cloud.stream("a", "d"))
        wait_for(lambda: len(stream.result.received) >= 20, DEADLINE, "datagrams to arrive")
        database.run(TakeOver(database, [wanted]))
        if hosts_are_late:
            cloud.settle()
        for agent in cloud.agents.values():
            agent.set_plans(plan)
        sent = stream.result.sent
        wait_for(
            lambda: sum(number >= sent for number, _ in stream.result.received) >= 20,
            DEADLINE,
            "datagrams to arrive again",
        )
        result = stream.stop()
        paths = visits(capture.stop())
    assert former_chains(database) == set()
    assert len(result.lost) < result.sent
    assert {path for path in paths if "d" in path} == {THROUGH}
    assert not cloud.paths("a", "d")[0].lost
