"""Neutron's limits of packet rates (QoS) count what functions receive and return."""

import re

import pytest

from portchain.dataplane.diff import diff
from portchain.dataplane.flow import Bridge
from tests.functional.dataplane.fabric import Fabric, returned, tcp
from tests.functional.dataplane.test_sfc_aware import ANSWERS, announce_destination
from tests.plans import chain, ident, mac, tap, target

LARGE, SMALL = 100_000, 1
KINDS = {"l3": {}, "l2": {"bridges": True}, **{name: {"encapsulation": name} for name in ANSWERS}}
HOSTS = {"a": "h1", "b": "h2"}


@pytest.fixture
def fabric(vswitch):
    fabric = Fabric(vswitch, has_rate_limits=True)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out")
    fabric.plug("h2", "b-in", "b-out", "dst2")
    return fabric


def limit(fabric, host, rate, *, receives, sends=""):
    """Limit what ports receive and send, with the flows that Neutron's agent uses."""
    switch = fabric.hosts[host]
    matches = {1: f"dl_vlan=1,dl_dst={mac(receives)}"}
    if sends:
        ofport = fabric.local(host).ports[ident(sends)].ofport
        matches[2] = f"in_port={ofport},dl_src={mac(sends)}"
    for meter in matches:
        band = f"meter={meter},pktps,burst,band=type=drop,rate={rate},burst_size={rate}"
        switch.ofctl(Bridge.INT, "add-meter", band)
    flows = [
        f"table=58,priority=100,{match},actions=meter:{meter},goto_table:59"
        for meter, match in matches.items()
    ]
    for table, successor in ((0, 58), (58, 59), (59, 60)):
        flows.append(f"table={table},priority=0,actions=goto_table:{successor}")
    switch.add_flows(Bridge.INT, flows)


def counted(fabric, host, meter=1):
    """How many packets a limit has counted, and how many of them it has dropped."""
    text = fabric.hosts[host].ofctl(Bridge.INT, "meter-stats", f"meter={meter}")
    return tuple(map(int, re.findall(r"packet(?:_in)?_count:(\d+)", text)))


def answer(kind, frame, name):
    """What a function returns for a frame."""
    if kind in ANSWERS:
        return ANSWERS[kind](frame, name)
    return frame if kind == "l2" else returned(frame, name)


def is_chained(frame):
    return frame.type in (0x0800, 0x8847, 0x894F)


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_function_receives_and_returns_counts_once(fabric, vswitch, kind, name):
    host = HOSTS[name]
    fabric.program(chain([target(name, host, **KINDS[kind])]))
    limit(fabric, host, LARGE, receives=f"{name}-in", sends=f"{name}-out")
    announce_destination(vswitch)
    vswitch.send("vm", *[tcp() for _ in range(7)])
    frames = vswitch.received(f"{name}-in", 7, is_chained)
    assert counted(fabric, host) == (7, 0)
    assert counted(fabric, host, 2) == (0, 0)
    vswitch.send(f"{name}-out", *[answer(kind, frame, name) for frame in frames])
    # Frames with the source's MAC address go on from the source's host.
    is_back = host == "h1" or kind in ("l2", "nsh")
    vswitch.received("dst" if is_back else "dst2", 7, is_chained)
    assert counted(fabric, host, 2) == (7, 0)


def test_packets_above_the_limit_are_dropped(fabric, vswitch):
    fabric.program(chain([target("a", "h1")]))
    limit(fabric, "h1", SMALL, receives="a-in")
    vswitch.send("vm", *[tcp() for _ in range(50)])
    seen, dropped = counted(fabric, "h1")
    assert seen == 50
    assert dropped > 0
    assert len(vswitch.received("a-in", seen - dropped, is_chained)) == seen - dropped


def test_copies_to_a_tap_count(fabric, vswitch):
    fabric.program(chain(tap(target("a", "h1")), [target("b", "h2")]))
    limit(fabric, "h1", LARGE, receives="a-in")
    vswitch.send("vm", tcp(), tcp())
    assert len(vswitch.received("a-in", 2, lambda frame: frame.dst == mac("a-in"))) == 2
    assert counted(fabric, "h1") == (2, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_flows_read_back_as_written(fabric, kind):
    plan = chain([target("a", "h1", **KINDS[kind])], tap(target("a", "h1")))
    fabric.program(plan)
    for name, host in fabric.hosts.items():
        assert diff(fabric.desired(name, plan), host.dump_entries()) == [], name
