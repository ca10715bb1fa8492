"""How hosts check the functions of a chain: which of them, and with which addresses."""

from dataclasses import replace
from typing import Any

import pytest

from portchain.core.function_kinds import L2, L3
from portchain.core.model import (
    ChainSnapshot,
    FlowClassifier,
    FunctionKind,
    HealthCheck,
    HealthCheckParameters,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
)
from portchain.dataplane.plan import Probe
from portchain.dataplane.planning.probes import probes

GATEWAYS = ("10.0.0.1", "2001:db8::1")
SUBNETS = ("10.0.0.0/24", "2001:db8::/64")
OPEN = FlowClassifier("fc", "alice")
OPEN6 = replace(OPEN, id="fc6", ethertype="IPv6")


def port(name: str, *addresses: str, **changes: Any) -> Port:
    fields: dict[str, Any] = {"host": "h1", "plugged": True, "subnets": SUBNETS} | changes
    mac = f"fa:16:3e:00:00:{sum(name.encode()) % 256:02x}"
    return Port(name, "net", "alice", mac, addresses, **{"gateways": GATEWAYS} | fields)


PAIR = PortPair("pp", "alice", "in", "out")
IN, OUT = port("in", "10.0.0.11", "2001:db8::11"), port("out", "10.0.0.12", "2001:db8::12")
SERVER = port("server", "10.0.0.20", "2001:db8::20")


def snapshot(
    *classifiers: FlowClassifier,
    check: HealthCheck = HealthCheck.ICMP,
    ports: tuple[Port, ...] = (IN, OUT, SERVER),
    pairs: tuple[PortPair, ...] = (PAIR,),
    destination: str = "",
) -> ChainSnapshot:
    group = PortPairGroup(
        "pg", "alice", 1, pairs, health_check=check,
        health=HealthCheckParameters(destination=destination),
    )  # fmt: skip
    unchecked = replace(group, id="no", health_check=HealthCheck.NONE)
    chain = PortChain("pc", "alice", 1, (unchecked, group), classifiers or (OPEN,))
    return ChainSnapshot(chain, {one.id: one for one in ports}, {})


def addresses(*classifiers: FlowClassifier, **known: Any) -> list[tuple[str, str]]:
    found = probes(snapshot(*classifiers, **known))
    return [(probe.source, probe.destination) for probe in found]


@pytest.mark.parametrize(("kind", "function"), [(FunctionKind.L3, L3), (FunctionKind.L2, L2)])
def test_a_probe_goes_from_the_gateway_of_the_function_to_where_its_packets_go(
    kind: FunctionKind, function: Any
) -> None:
    to_server = replace(OPEN, logical_destination_port="server")
    made = snapshot(to_server, pairs=(replace(PAIR, kind=kind),))
    assert list(probes(made)) == [
        Probe(
            "pp", "h1", "in", IN.mac_address, "out", HealthCheck.ICMP, function,
            "10.0.0.1", "10.0.0.20", made.chain.port_pair_groups[1].health,
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (HealthCheck.NONE, []),
        (HealthCheck.L2, [("", "")]),
        (HealthCheck.PING, [("", "10.0.0.11")]),
    ],
)
def test_other_checks_need_one_address_or_none(
    check: HealthCheck, expected: list[tuple[str, str]]
) -> None:
    assert addresses(check=check) == expected


def test_a_function_without_addresses_is_not_asked_for_them() -> None:
    ports = (replace(IN, fixed_ips=()), OUT)
    assert addresses(check=HealthCheck.PING, ports=ports) == []
    assert addresses(check=HealthCheck.L2, ports=ports) == [("", "")]


def test_nothing_is_sent_to_functions_that_cannot_get_it() -> None:
    """The others are checked, those that have failed included."""
    down, apart, gone = (
        replace(PAIR, id="down", admin_state_up=False),
        replace(PAIR, id="apart", egress="far"),
        replace(PAIR, id="gone", egress="gone"),
    )
    ports = (IN, OUT, port("far", "10.0.0.13", host="h2"))
    made = snapshot(pairs=(down, apart, gone, PAIR), ports=ports, check=HealthCheck.L2)
    found = probes(replace(made, failed={"pp": "no answer"}))
    assert [probe.pair_id for probe in found] == ["pp"]
    assert addresses(pairs=(gone, PAIR)) == [("10.0.0.2", "10.0.0.1")]
    silent = replace(PAIR, id="silent", ingress="silent", egress="silent")
    ports = (IN, OUT, port("silent", subnets=(), gateways=()))
    made = snapshot(OPEN6, pairs=(silent, PAIR), ports=ports)
    assert [probe.pair_id for probe in probes(made)] == ["pp"]


@pytest.mark.parametrize(
    ("classifiers", "own", "expected"),
    [
        ((OPEN,), IN.fixed_ips, "10.0.0.11"),
        ((OPEN6,), IN.fixed_ips, "2001:db8::11"),
        ((OPEN6, OPEN), IN.fixed_ips, "2001:db8::11"),
        ((OPEN6,), ("10.0.0.11",), "10.0.0.11"),
        ((OPEN,), ("2001:db8::11",), "2001:db8::11"),
        ((OPEN6, OPEN), ("10.0.0.11",), "10.0.0.11"),
    ],
)
def test_probes_have_the_version_that_the_chain_and_the_function_have(
    classifiers: tuple[FlowClassifier, ...], own: tuple[str, ...], expected: str
) -> None:
    found = addresses(*classifiers, check=HealthCheck.PING, ports=(replace(IN, fixed_ips=own), OUT))
    assert found == [("", expected)]


def test_a_function_without_addresses_is_probed_as_the_chain_is_classified() -> None:
    bridge = (replace(IN, fixed_ips=()), replace(OUT, fixed_ips=()))
    to6 = replace(OPEN6, destination_prefix="2001:db8:9::9/128")
    assert addresses(to6, ports=bridge) == [("2001:db8::1", "2001:db8:9::9")]
    both = (replace(OPEN, destination_prefix="192.0.2.9/32"), to6)
    assert addresses(*both, ports=bridge) == [("10.0.0.1", "192.0.2.9")]
    # Of the first version, no source is known.
    six = (replace(bridge[0], subnets=SUBNETS[1:]), bridge[1])
    assert addresses(*both, ports=six) == [("2001:db8::1", "2001:db8:9::9")]


def test_a_function_is_not_probed_if_nobody_knows_where_its_packets_go() -> None:
    ports = (IN, replace(OUT, gateways=()))
    assert addresses(ports=ports) == []
    assert addresses(OPEN6, ports=ports) == []


def test_a_function_without_addresses_of_the_chains_version_is_probed_by_its_own() -> None:
    ports = (replace(IN, fixed_ips=("10.0.0.11",)), OUT)
    assert addresses(OPEN6, ports=ports) == [("10.0.0.2", "10.0.0.1")]


def test_hosts_know_where_the_destination_is() -> None:
    """Otherwise functions might learn another place, and send packets of the chain there."""
    known = {"net": {"10.0.0.20": SERVER.mac_address}, "other": {"10.0.0.1": "fa:16:3e:00:00:01"}}
    to_server = snapshot(replace(OPEN, logical_destination_port="server"))
    (found,) = probes(replace(to_server, owners=known))
    assert (found.destination, found.destination_mac) == ("10.0.0.20", SERVER.mac_address)
    (elsewhere,) = probes(replace(snapshot(destination="10.0.0.1"), owners=known))
    assert elsewhere.destination_mac == ""


def test_the_user_can_name_the_destination() -> None:
    """Its version is that of the probes. Pings go to the function itself."""
    assert addresses(destination="192.0.2.7") == [("10.0.0.1", "192.0.2.7")]
    assert addresses(destination="2001:db8:9::7") == [("2001:db8::1", "2001:db8:9::7")]
    assert addresses(destination="10.0.0.1") == [("10.0.0.2", "10.0.0.1")]
    ping = HealthCheck.PING
    assert addresses(check=ping, destination="2001:db8:9::7") == [("", "10.0.0.11")]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"logical_destination_port": "server"}, "10.0.0.20"),
        # The address of a port in the prefix, and otherwise the last one in it.
        ({"destination_prefix": "10.0.0.16/28"}, "10.0.0.20"),
        ({"destination_prefix": "10.0.0.32/28"}, "10.0.0.46"),
        ({"destination_prefix": "10.0.0.40/30"}, "10.0.0.42"),
        ({"destination_prefix": "10.0.0.40/31"}, "10.0.0.41"),
        ({"destination_prefix": "10.0.0.40/32"}, "10.0.0.40"),
        # A prefix of everything names nothing: what is behind the gateway of the egress port.
        ({"destination_prefix": "0.0.0.0/0"}, "10.0.0.1"),
        ({}, "10.0.0.1"),
        # What functions have is not behind them.
        ({"logical_destination_port": "in"}, "10.0.0.1"),
        ({"destination_prefix": "10.0.0.8/29"}, "10.0.0.14"),
        ({"logical_destination_port": "gone"}, "10.0.0.1"),
        ({"logical_destination_port": "server", "destination_prefix": "192.0.2.9/32"}, "10.0.0.20"),
    ],
)
def test_probes_go_where_the_chains_packets_go(named: dict[str, str], expected: str) -> None:
    ((_, destination),) = addresses(replace(OPEN, **named))
    assert destination == expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"logical_destination_port": "server"}, "2001:db8::20"),
        ({"destination_prefix": "2001:db8::20/124"}, "2001:db8::20"),
        ({"destination_prefix": "2001:db8:9::/64"}, "2001:db8:9:0:ffff:ffff:ffff:ffff"),
        ({"destination_prefix": "::/0"}, "2001:db8::1"),
    ],
)
def test_probes_of_ipv6_go_where_the_chains_packets_go(
    named: dict[str, str], expected: str
) -> None:
    ((_, destination),) = addresses(replace(OPEN6, **named))
    assert destination == expected


def test_destinations_are_tried_in_one_order() -> None:
    """Ports that classifiers name come first. Then ports in prefixes follow, by their ids."""
    ports = (IN, OUT, port("z", "10.0.0.30"), port("a", "10.0.0.31", "10.0.0.32"))
    prefix = replace(OPEN, destination_prefix="10.0.0.30/32")
    wide = replace(OPEN, id="wide", destination_prefix="10.0.0.0/24")
    any_ = replace(OPEN, id="any", destination_prefix="0.0.0.0/0")
    named = replace(OPEN, id="named", logical_destination_port="z")
    assert addresses(any_, wide, ports=ports)[0][1] == "10.0.0.31"
    assert addresses(any_, prefix, ports=ports)[0][1] == "10.0.0.30"
    assert addresses(wide, named, ports=ports)[0][1] == "10.0.0.30"
    assert addresses(OPEN6, wide, ports=ports) == [("2001:db8::2", "2001:db8::1")]


@pytest.mark.parametrize(
    ("ingress", "expected"),
    [
        ({}, "10.0.0.1"),
        ({"gateways": ()}, "10.0.0.1"),
        # Only what the function reaches through its ingress port.
        ({"gateways": ("192.0.2.1",)}, "10.0.0.1"),
        ({"gateways": ("192.0.2.1", "10.0.0.9")}, "10.0.0.9"),
        ({"subnets": ("10.9.0.0/31",)}, "10.9.0.0"),
        ({"subnets": ("10.9.0.0/32",)}, "10.9.0.0"),
        ({"subnets": ("10.9.0.0/30",)}, "10.9.0.1"),
        ({"subnets": ("2001:db8::/64", "10.9.0.0/24")}, "10.9.0.1"),
        # What functions have themselves cannot be where probes come from.
        ({"gateways": (), "fixed_ips": ("10.0.0.1", "10.0.0.2", "10.0.0.3")}, "10.0.0.4"),
        ({"fixed_ips": ("10.0.0.1",)}, "10.0.0.2"),
    ],
)
def test_probes_come_from_the_network_of_the_ingress_port(
    ingress: dict[str, Any], expected: str
) -> None:
    to_server = replace(OPEN, destination_prefix="192.0.2.9/32")
    plain = replace(IN, fixed_ips=("10.0.0.11",), gateways=("10.0.0.1",))
    ((source, _),) = addresses(to_server, ports=(replace(plain, **ingress), OUT))
    assert source == expected


def test_few_addresses_are_tried_for_a_source() -> None:
    """Of a network whose first 15 hosts are functions, none is taken."""
    ports = (
        replace(IN, gateways=(), fixed_ips=tuple(f"10.0.0.{n}" for n in range(1, 15))),
        replace(OUT, fixed_ips=()),
    )
    to_server = replace(OPEN, destination_prefix="192.0.2.9/32")
    assert addresses(to_server, ports=ports) == [("10.0.0.15", "192.0.2.9")]
    full = (replace(ports[0], fixed_ips=(*ports[0].fixed_ips, "10.0.0.15")), ports[1])
    assert addresses(to_server, ports=full) == []


def test_in_small_networks_all_hosts_are_tried() -> None:
    to_server = replace(OPEN, destination_prefix="192.0.2.9/32")
    small = replace(IN, gateways=(), subnets=("10.9.0.0/30",), fixed_ips=("10.9.0.1",))
    assert addresses(to_server, ports=(small, OUT)) == [("10.9.0.2", "192.0.2.9")]
    full = replace(small, fixed_ips=("10.9.0.1", "10.9.0.2"))
    assert addresses(to_server, ports=(full, replace(OUT, fixed_ips=()))) == [], "no broadcasts"


def used_by(made: ChainSnapshot, project: str, **changes: Any) -> ChainSnapshot:
    """Return the same for a chain of a project, and groups that alice shares."""
    groups = tuple(replace(one, shared=True) for one in made.chain.port_pair_groups)
    theirs = replace(made.chain, project_id=project, port_pair_groups=groups, **changes)
    return replace(made, chain=theirs)


@pytest.mark.parametrize("check", HealthCheck)
@pytest.mark.parametrize(
    "named",
    [
        {"destination_prefix": "127.0.0.1/32"},
        {"destination_prefix": "240.0.0.0/8"},
        {"logical_destination_port": "server"},
        {"ethertype": "IPv6", "destination_prefix": "::1/128"},
    ],
)
def test_who_borrows_a_function_does_not_say_how_it_is_checked(
    check: HealthCheck, named: dict[str, str]
) -> None:
    """Nothing of the chain counts, neither its classifiers nor its other functions."""
    own = used_by(snapshot(check=check), "alice")
    at_gateway = replace(PAIR, id="bobs", ingress="gateway", egress="gateway")
    group = PortPairGroup("bobs", "bob", 2, (at_gateway,))
    hostile = snapshot(
        replace(OPEN, **named), check=check, ports=(IN, OUT, SERVER, port("gateway", *GATEWAYS))
    )
    theirs = used_by(hostile, "bob")
    chain = replace(theirs.chain, port_pair_groups=(*theirs.chain.port_pair_groups, group))
    assert list(probes(replace(theirs, chain=chain))) == list(probes(own))
    assert check is HealthCheck.NONE or list(probes(own)), "it is checked"


def test_a_shared_function_without_a_gateway_is_checked_by_its_subnet() -> None:
    ports = (replace(IN, gateways=()), replace(OUT, gateways=()))
    made = used_by(snapshot(ports=ports), "bob")
    (found,) = probes(made)
    assert (found.source, found.destination) == ("10.0.0.1", "10.0.0.254")
    made = used_by(snapshot(ports=ports, destination="192.0.2.7"), "bob")
    (found,) = probes(made)
    assert (found.source, found.destination) == ("10.0.0.1", "192.0.2.7")
    six = tuple(replace(one, fixed_ips=one.fixed_ips[1:]) for one in ports)
    (found,) = probes(used_by(snapshot(ports=six), "bob"))
    assert (found.source, found.destination) == ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff")
