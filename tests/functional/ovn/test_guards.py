"""What guards drop, by ovn-trace on the flows that the real ovn-northd makes of them."""

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from portchain_lab import ovn_toolchain
from portchain_lab.errors import LabError
from portchain_lab.waiting import wait_for

from portchain.core.model import FlowClassifier
from portchain.dataplane.gates import gate_mac, gate_name
from portchain.drivers.ovn import northbound, rows
from portchain.drivers.ovn.northbound import Wanted, WriteChains
from portchain.drivers.ovn.rows import Phase, rows_of
from portchain.ovsdb import ovn
from tests.functional.ovn.conftest import DEADLINE, Connect, add
from tests.plans import ident, mac
from tests.unit.dataplane.planning.test_planner import snapshot

SWITCH = rows.switch_name(ident("net1"))
SOURCE, DESTINATION, OTHER = "src", "dst", "other"
ADDRESSES = {SOURCE: "10.0.0.10", DESTINATION: "10.0.0.20", OTHER: "10.0.0.30"}
BROADCAST = "ff:ff:ff:ff:ff:ff"
IP = "ip4 && ip4.src == 10.0.0.10 && ip4.dst == 10.0.0.20 && ip.ttl == 64"
IPV6 = "ip6 && ip6.src == 2001:db8::10 && ip6.dst == 2001:db8::20"
CLASSIFIER = FlowClassifier(ident("fc1"), ident("project"), protocol=6, destination_ports=(80, 443))


class Switch:
    """The logical switch of a network with three ports, as ovn-northd translates it."""

    def __init__(self, connect: Connect) -> None:
        self._northbound = northbound.open_database()
        connect(database=self._northbound)
        southbound = connect("sb", ovn.southbound({"SB_Global": ("nb_cfg",)}))
        self._southbound = southbound._server()
        argv = ovn_toolchain.command(
            "ovn-northd",
            f"--ovnnb-db={self._northbound._server()}",
            f"--ovnsb-db={self._southbound}",
            f"--unixctl={self._southbound.removeprefix('unix:')}.northd",
        )
        self._northd = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        add(self._northbound, _add_network)

    def stop(self) -> None:
        self._northd.kill()
        self._northd.wait()

    def add_address(self, name: str, address: str) -> None:
        """Give a port another MAC address."""

        def change(_row: Callable[..., Any]) -> None:
            row: Any = self._northbound.named("Logical_Switch_Port", ident(name))
            row.addresses = [*row.addresses, address]

        add(self._northbound, change)

    def guard(self, classifier: FlowClassifier, seen: str, source: str = SOURCE) -> None:
        """Guard a chain that takes packets from a port.

        :param seen: a packet that the guard drops: how to know that it works.
        """
        given = snapshot()
        ports = {**given.ports, ident(source): replace(given.ports[ident("src")], id=ident(source))}
        chain = replace(given.chain, flow_classifiers=(classifier,))
        taken = replace(given, chain=chain, ports=ports, sources={classifier.id: (ident(source),)})
        item = Wanted(ident("pc1"), 1, Phase.COMPLETE, rows_of(taken))
        self._northbound.run(WriteChains(self._northbound, [item]))
        gate = {f"gate of {source}"}
        wait_for(
            lambda: (
                self.arrives(seen, source, to=gate_mac(ident(source))) == gate
                and not self.arrives(seen, source)
            ),
            DEADLINE,
            "the guard",
        )

    def arrives(self, packet: str, source: str = SOURCE, *, to: str = mac(DESTINATION)) -> set[str]:
        """Return the ports at which a packet arrives.

        :param packet: the part of its header behind the frame's addresses.
        :param to: destination of the frame.
        """
        addresses = f"eth.src == {mac(source)} && eth.dst == {to}"
        frame = f'inport == "{ident(source)}" && {addresses} && {packet}'
        try:
            out = ovn_toolchain.run(
                "ovn-trace", f"--db={self._southbound}", "--minimal", "--ct=new", SWITCH, frame
            )
        except LabError:
            return set()  # there is no such switch yet
        # It shortens UUIDs.
        names = {ident(name)[:6]: name for name in ADDRESSES}
        names |= {gate_name(short): f"gate of {name}" for short, name in names.items()}
        return {names.get(found, "a gate") for found in re.findall(r'output\("([^"]*)"\)', out)}


def _add_network(row: Callable[..., Any]) -> None:
    ports = [
        row("Logical_Switch_Port", name=ident(name), addresses=[f"{mac(name)} {address}"], up=True)
        for name, address in ADDRESSES.items()
    ]
    row("Logical_Switch", name=SWITCH, ports=ports)


def tcp(port: int, source_port: int = 5000) -> str:
    return f"{IP} && tcp && tcp.src == {source_port} && tcp.dst == {port}"


def udp(source_port: int, port: int) -> str:
    return f"{IP} && udp && udp.src == {source_port} && udp.dst == {port}"


@pytest.fixture
def switch(connect: Connect) -> Iterator[Switch]:
    made = Switch(connect)
    try:
        wait_for(lambda: made.arrives(tcp(80)) == {DESTINATION}, DEADLINE, "the logical flows")
        yield made
    finally:
        made.stop()


def test_what_is_classified_arrives_by_the_gate_alone(switch: Switch) -> None:
    switch.guard(CLASSIFIER, tcp(80))
    for port in (80, 443):
        assert switch.arrives(tcp(port)) == set()
        assert switch.arrives(tcp(port), to=gate_mac(ident(SOURCE))) == {"gate of src"}
    for port in (79, 444):
        assert switch.arrives(tcp(port)) == {DESTINATION}
    assert switch.arrives(udp(5000, 80)) == {DESTINATION}
    assert switch.arrives(tcp(80), OTHER) == {DESTINATION}, "another port sends it"
    assert switch.arrives(tcp(80), to=mac(OTHER)) == set(), "frames to any port"


def test_the_gates_of_others_let_nothing_pass(switch: Switch) -> None:
    """A project may give a machine any address, also one that looks like a gate's."""
    switch.guard(CLASSIFIER, tcp(80))
    lookalike = gate_mac(ident(OTHER))
    switch.add_address(DESTINATION, lookalike)
    wait_for(lambda: switch.arrives(tcp(79), to=lookalike), DEADLINE, "the address")
    assert switch.arrives(tcp(79), to=lookalike) == {DESTINATION}
    assert switch.arrives(tcp(80), to=lookalike) == set()


def test_what_concerns_the_link_stays_there(switch: Switch) -> None:
    """Neither DHCP nor what goes to everybody enters a chain."""
    switch.guard(replace(CLASSIFIER, protocol=None, destination_ports=None), tcp(80))
    assert switch.arrives(udp(5000, 67)) == set()
    assert switch.arrives(udp(68, 67)) == switch.arrives(udp(67, 68)) == {DESTINATION}
    everybody = {DESTINATION, OTHER}
    assert switch.arrives(udp(5000, 67), to=BROADCAST) - {"a gate", "gate of src"} == everybody


def test_neighbour_discovery_stays_on_the_link(switch: Switch) -> None:
    ping = f"{IPV6} && ip.ttl == 64 && icmp6 && icmp6.type == 128 && icmp6.code == 0"
    switch.guard(
        FlowClassifier(ident("fc1"), ident("project"), ethertype="IPv6", protocol=58), ping
    )
    # ovn-trace decodes no neighbour solicitation without a target.
    advertisement = f"{IPV6} && ip.ttl == 255 && icmp6 && icmp6.type == 134 && icmp6.code == 0"
    assert switch.arrives(advertisement) == {DESTINATION}
    assert switch.arrives(advertisement.replace("255", "64")) == set()


def test_addresses_and_ports_of_a_classifier_are_matched_exactly(switch: Switch) -> None:
    narrow = replace(
        CLASSIFIER,
        source_ports=(5000, 5000),
        source_prefix="10.0.0.8/29",
        destination_prefix="10.0.0.20/32",
    )
    switch.guard(narrow, tcp(80))
    assert switch.arrives(tcp(80, 5001)) == {DESTINATION}
    assert switch.arrives(tcp(80).replace("10.0.0.10", "10.0.0.16")) == {DESTINATION}
    assert switch.arrives(tcp(80).replace("10.0.0.20", "10.0.0.21")) == {DESTINATION}


def test_an_icmp_classifier(switch: Switch) -> None:
    def icmp(kind: int, code: int) -> str:
        return f"{IP} && icmp4 && icmp4.type == {kind} && icmp4.code == {code}"

    echo = replace(CLASSIFIER, protocol=1, source_ports=(8, 8), destination_ports=None)
    switch.guard(echo, icmp(8, 0))
    assert switch.arrives(icmp(8, 1)) == set()
    assert switch.arrives(icmp(0, 0)) == {DESTINATION}


def test_fragments_that_hosts_hold_back_pass_no_guard(switch: Switch) -> None:
    """Open vSwitch sees no ports in fragments, and no protocol in later ones of IPv6."""
    switch.guard(CLASSIFIER, tcp(80))
    for fragment in ("ip.is_frag && !ip.later_frag", "ip.is_frag && ip.later_frag"):
        assert switch.arrives(f"{tcp(0, 0)} && {fragment}") == set()
        to_gate = switch.arrives(f"{tcp(0, 0)} && {fragment}", to=gate_mac(ident(SOURCE)))
        assert to_gate == {"gate of src"}, "which another chain takes"
        assert switch.arrives(f"{udp(0, 0)} && {fragment}") == {DESTINATION}


def test_later_fragments_of_ipv6_pass_no_guard(switch: Switch) -> None:
    whole = f"{IPV6} && ip.ttl == 64 && tcp && tcp.src == 5000 && tcp.dst == 80"
    switch.guard(
        FlowClassifier(ident("fc1"), ident("project"), ethertype="IPv6", protocol=6), whole
    )
    later = f"{IPV6} && ip.ttl == 64 && ip.is_frag && ip.later_frag && ip.proto == 44"
    other = f"{IPV6} && ip.ttl == 64 && udp && udp.src == 5000 && udp.dst == 80"
    assert switch.arrives(later) == set()
    assert switch.arrives(other) == {DESTINATION}
