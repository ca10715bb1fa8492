"""A real datapath has what chains need; and what happens if parts of it are switched off."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
from scapy.layers.l2 import Ether

from portchain.dataplane.datapath import FEATURES, keeps_old_entries, lacking, parse_features
from portchain.dataplane.host_switch import Firewall
from tests.functional.dataplane.fabric import VM_MAC, Fabric, tcp
from tests.functional.vswitch import DATAPATH, DEADLINE, Vswitch, running_vswitch
from tests.plans import chain, classifier, tap, target

ANY_IPV6 = classifier(
    ethertype="IPv6", protocol=None, source_ports=None, destination_ports=None,
    source_prefixes=(), destination_prefixes=(),
)  # fmt: skip


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    """Hosts whose packets may take the slow path."""
    with running_vswitch() as vswitch:
        fabric = Fabric(vswitch, Firewall.ELSEWHERE)
        fabric.plug("h1", "vm", "a-in", "a-out")
        fabric.plug("h2", "b-in", "b-out", "t-in", "t-out")
        yield fabric


def without(vswitch: Vswitch, feature: str) -> None:
    """Have ovs-vswitchd act as if the datapath lacked a feature."""
    vswitch.appctl("dpif/set-dp-features", "h1-int", feature, "false")


def test_the_datapath_of_the_tests_has_everything(vswitch: Vswitch) -> None:
    vswitch.add_bridge("br-int")
    found = parse_features(vswitch.appctl("dpif/show-dp-features", "br-int"))
    titles = {title for feature in FEATURES for title, _ in feature.shown_by}
    assert titles <= found.keys(), "Open vSwitch calls them something else"
    assert lacking(found) == frozenset()


def test_frames_take_the_slow_path_without_add_mpls(fabric: Fabric) -> None:
    without(fabric.vswitch, "add_mpls")
    fabric.program(replace(chain([target("b", "h2")]), packet_hosts=()))
    fabric.vswitch.send("vm", tcp())
    (frame,) = fabric.vswitch.received("b-in", 1)
    assert bytes(frame)[12:] == bytes(tcp())[12:]
    assert fabric.vswitch.slow_flows() != []


def test_neighbour_discovery_takes_the_slow_path_without_check_pkt_len(fabric: Fabric) -> None:
    without(fabric.vswitch, "check_pkt_len")
    fabric.program(chain([target("a", "h1")], classifiers=(ANY_IPV6,)))
    asks = Ether(src=VM_MAC, dst="00:00:00:00:00:99") / IPv6(src="2001:db8::1", dst="2001:db8::2")
    fabric.vswitch.send("vm", asks / ICMPv6ND_NS(tgt="2001:db8::2"))
    (slow,) = fabric.vswitch.slow_flows()
    assert "icmpv6(type=135" in slow


def test_taps_get_copies_from_samples_without_clone(fabric: Fabric) -> None:
    without(fabric.vswitch, "clone")
    fabric.program(chain(tap(target("t", "h2")), [target("a", "h1")]))
    fabric.vswitch.send("vm", tcp())
    for port in ("t-in", "a-in"):
        (copy,) = fabric.vswitch.received(port, 1, lambda frame: TCP in frame)
        assert bytes(copy)[12:] == bytes(tcp())[12:]
    assert fabric.vswitch.slow_flows() == []


def test_it_is_known_whether_this_release_keeps_old_entries(vswitch: Vswitch) -> None:
    """Two entries overlap, and the flow from which both come changes."""
    vswitch.add_bridge("br-int")
    for number in (1, 2, 3):
        vswitch.add_port("br-int", f"p{number}", number)

    def program(**outputs: int) -> None:
        flows = (f"ip,nw_dst={prefix},actions={port}" for prefix, port in outputs.items())
        argv = ("ovs-ofctl", "--bundle", "replace-flows", "br-int", "-")
        vswitch.run(*argv, stdin="".join(f"{flow}\n" for flow in flows))
        vswitch.appctl("revalidator/wait")

    def send(destination: str) -> None:
        vswitch.send(
            "p1", Ether(src=VM_MAC, dst=VM_MAC) / IP(src="10.0.0.1", dst=destination) / TCP()
        )
        start = f"dst={destination.rpartition('.')[0]}."
        deadline = time.monotonic() + DEADLINE
        while start not in vswitch.appctl("dpctl/dump-flows"):
            assert time.monotonic() < deadline, f"the datapath has no entry for {destination}"
            time.sleep(0.02)

    program(**{"10.9.0.0/16": 2})
    send("10.9.0.1")  # entries with masks of 16 bits are the first that are looked at
    program(**{"10.9.0.0/16": 2, "10.1.2.0/24": 2})
    send("10.1.2.2")
    program(**{"10.1.0.0/16": 2})
    send("10.1.0.2")
    program(**{"10.1.0.0/16": 3})
    entries = vswitch.appctl("dpctl/dump-flows")
    # The kernel shows addresses without the bits that do not matter.
    (narrow,) = re.findall(r"dst=10\.1\.2\.\d/255\.255\.255\.0.*actions:(\S+)", entries)
    (wide,) = re.findall(r"dst=10\.1\.0\.\d/255\.255\.0\.0.*actions:(\S+)", entries)
    is_in_userspace = DATAPATH == "userspace"
    version = vswitch.appctl("version")
    assert (narrow != wide) is (is_in_userspace and keeps_old_entries(version)), entries
