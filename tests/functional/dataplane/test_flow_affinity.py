"""Flow affinity in a real Open vSwitch: flows keep their pair while the group changes."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from portchain.dataplane.balance import SLOTS
from portchain.dataplane.flow import Bridge, Flow
from portchain.dataplane.pipeline import REG_PROJECT, TABLES
from portchain.dataplane.plan import opposite_field
from tests.functional.dataplane.fabric import DST_MAC, VM_MAC, Fabric
from tests.plans import after, chain, classifier, source, target

ANY_TCP = (classifier(source_ports=None),)
A, B, C = target("a", "h1"), target("b", "h2"), target("c", "h2")
CHANGED = after(chain([A, B], classifiers=ANY_TCP), chain([A]))
"""A chain to whose group B has just been added."""
PORTS = range(2000, 2064)
NEW = range(3000, 3064)


@pytest.fixture
def fabric(vswitch):
    fabric = Fabric(vswitch)
    fabric.plug("h1", "vm", "dst", "a-in", "a-out")
    fabric.plug("h2", "b-in", "b-out", "c-in", "c-out")
    return fabric


def grouped(*targets, **changes):
    return chain(list(targets), **{"classifiers": ANY_TCP, **changes})


def symmetric(*targets, lb_fields=()):
    """Return a symmetric chain with one hop, for all sources in a prefix."""
    there = grouped(
        *targets, classifiers=(classifier(source_ports=None, source_prefixes=("10.0.0.0/24",)),)
    ).paths[0]
    (outward,) = there.classifiers
    back = replace(
        there,
        classifiers=(
            replace(
                outward,
                source_ports=outward.destination_ports,
                destination_ports=outward.source_ports,
                source_prefixes=outward.destination_prefixes,
                destination_prefixes=outward.source_prefixes,
            ),
        ),
        sources=(source("dst", "h1", "10.0.0.20"),),
        hops=(
            replace(
                there.hops[0],
                lb_fields=tuple(map(opposite_field, lb_fields)),
                targets=tuple(
                    replace(
                        pair,
                        ingress_port=pair.egress_port,
                        ingress_mac=pair.egress_mac,
                        egress_port=pair.ingress_port,
                        egress_mac=pair.ingress_mac,
                    )
                    for pair in targets
                ),
            ),
        ),
        reverse=True,
    )
    there = replace(there, hops=(replace(there.hops[0], lb_fields=lb_fields),))
    return replace(grouped(*targets), paths=(there, back))


def reply(port, flags="A", dst="10.0.0.10"):
    return (
        Ether(src=DST_MAC, dst=VM_MAC)
        / IP(src="10.0.0.20", dst=dst)
        / TCP(sport=100, dport=port, flags=flags)
    )


def segment(port, flags="A", src="10.0.0.10"):
    return (
        Ether(src=VM_MAC, dst=DST_MAC)
        / IP(src=src, dst="10.0.0.20")
        / TCP(sport=port, dport=100, flags=flags)
    )


def visits(fabric, frames, port="vm", side="in", by=lambda frame: frame.sport):
    """Send frames, and return which function got each of them.

    :param by: maps a frame to the key of its flow.
    :returns: key -> name of the function.
    """
    names = ("a", "b", "c")
    before = {name: len(fabric.vswitch.received(f"{name}-{side}", 0)) for name in names}
    fabric.vswitch.send(port, *frames)
    marker = Ether(src=VM_MAC, dst=DST_MAC, type=0x88B5) / b"handled in order"
    fabric.vswitch.send("vm", marker)
    seen = {}
    for _ in range(200):
        arrived = {
            name: fabric.vswitch.received(f"{name}-{side}", 0)[before[name] :] for name in names
        }
        if sum(map(len, arrived.values())) >= len(frames):
            break
    for name, frames_there in arrived.items():
        for frame in frames_there:
            if frame.type != 0x88B5:
                assert seen.setdefault(by(frame), name) == name, "one flow at two functions"
    return seen


def connect(fabric, ports):
    """Open connections; their later packets must visit the same functions as the first ones."""
    opened = visits(fabric, [segment(port, "S") for port in ports])
    assert visits(fabric, [segment(port) for port in ports]) == opened
    assert opened.keys() == set(ports)
    return opened


def learned(fabric, host="h1"):
    table = f"table={TABLES['AFFINITY'].number}"
    text = fabric.hosts[host].ofctl(Bridge.INT, "dump-flows", "--no-stats", table)
    return [line for line in text.splitlines() if "load:" in line]


@pytest.mark.parametrize("flags", ["A", "PA", "FA", "R"])
def test_connections_stay_when_a_pair_is_added(fabric, flags):
    fabric.program(grouped(A, B))
    before = connect(fabric, PORTS)
    fabric.program(after(grouped(A, B, C), grouped(A, B)))
    assert visits(fabric, [segment(port, flags) for port in PORTS]) == before
    shares = Counter(connect(fabric, NEW).values())
    assert min(shares[name] for name in "abc") >= len(NEW) / 8


def test_connections_of_single_pair_stay_when_a_second_is_added(fabric):
    fabric.program(grouped(A))
    assert set(connect(fabric, PORTS).values()) == {"a"}
    fabric.program(after(grouped(A, B), grouped(A)))
    assert set(visits(fabric, [segment(port) for port in PORTS]).values()) == {"a"}
    shares = Counter(connect(fabric, NEW).values())
    assert min(shares[name] for name in "ab") >= len(NEW) / 4
    fabric.program(after(grouped(A, B, C), grouped(A), grouped(A, B)))
    assert set(visits(fabric, [segment(port) for port in PORTS]).values()) == {"a"}


def test_removing_a_pair_moves_only_its_own_connections(fabric):
    fabric.program(grouped(A, B, C))
    before = connect(fabric, PORTS)
    fabric.program(after(grouped(A, B), grouped(A, B, C)))
    now = visits(fabric, [segment(port) for port in PORTS])
    assert {port for port in PORTS if now[port] != before[port]} == {
        port for port in PORTS if before[port] == "c"
    }
    fabric.program(after(grouped(A, B, C), grouped(A, B, C), grouped(A, B)))
    assert visits(fabric, [segment(port) for port in PORTS]) == now, (
        "adding it again moves none either"
    )


def test_drained_pair_keeps_its_connections_and_gets_no_new_ones(fabric):
    fabric.program(grouped(A, B))
    before = connect(fabric, PORTS)
    drained = replace(B, weight=0)
    fabric.program(after(grouped(A, drained), grouped(A, B)))
    assert visits(fabric, [segment(port) for port in PORTS]) == before
    assert set(connect(fabric, NEW).values()) == {"a"}


def test_last_pair_can_be_drained(fabric):
    fabric.program(grouped(A))
    connect(fabric, PORTS)
    fabric.program(after(grouped(replace(A, weight=0)), grouped(A)))
    assert set(visits(fabric, [segment(port) for port in PORTS]).values()) == {"a"}
    assert visits(fabric, [segment(port, "S") for port in NEW[:1]]) == {}


def test_weights_apply_to_new_connections_only(fabric):
    fabric.program(grouped(A, B))
    before = connect(fabric, PORTS)
    fabric.program(after(grouped(replace(A, weight=1), replace(B, weight=50)), grouped(A, B)))
    assert visits(fabric, [segment(port) for port in PORTS]) == before
    assert Counter(connect(fabric, NEW).values())["b"] > len(NEW) * 0.8


def test_both_directions_keep_their_pair(fabric):
    def replies(flags):
        frames = [reply(port, flags) for port in PORTS]
        return visits(fabric, frames, port="dst", side="out", by=lambda frame: frame.dport)

    fabric.program(symmetric(A, B))
    before = connect(fabric, PORTS)
    assert replies("SA") == before
    fabric.program(after(symmetric(A, B, C), symmetric(A, B)))
    assert visits(fabric, [segment(port) for port in PORTS]) == before
    assert replies("A") == before
    fabric.program(after(symmetric(A, C), symmetric(A, B), symmetric(A, B, C)))
    moved = visits(fabric, [segment(port) for port in PORTS])
    assert replies("A") == moved
    assert all(moved[port] == "a" for port in PORTS if before[port] == "a")


def test_nothing_is_learned_while_a_group_does_not_change(fabric):
    fabric.program(grouped(A, B))
    connect(fabric, PORTS)
    assert learned(fabric) == []


def test_learned_flows_are_not_repaired_and_are_removed_with_the_chain(fabric):
    fabric.program(CHANGED)
    opened = connect(fabric, PORTS)
    host = fabric.hosts["h1"]
    before, present = sorted(host.dump_entries(), key=str), learned(fabric)
    assert len(present) == sum(pair == "b" for pair in opened.values())
    fabric.program(CHANGED)  # as a restarted agent or a repair does
    assert sorted(host.dump_entries(), key=str) == before
    assert learned(fabric) == present
    fabric.program()
    assert learned(fabric) == []
    assert host.flow_counts() == {Bridge.INT: len(host.neutron_flows), Bridge.TUN: 0}


def test_connections_stay_that_an_older_release_has_learned(fabric):
    """It learned each connection, did not match slots, and hashed otherwise."""
    plan = symmetric(A, B)
    for name, host in fabric.hosts.items():
        host.put({_as_before(entry) for entry in fabric.desired(name, plan)})
    before = connect(fabric, PORTS)
    assert len(learned(fabric)) == len(PORTS)
    assert set(before.values()) == {"a", "b"}
    fabric.program(plan)
    assert visits(fabric, [segment(port) for port in PORTS]) == before
    assert len(learned(fabric)) == len(PORTS)
    assert len(set(connect(fabric, NEW).values())) == 2
    assert len(learned(fabric)) == len(PORTS), "of new connections, nothing is learned"


def _as_before(entry):
    """Return an entry with the actions that the release before decision 58 gave it."""
    if not isinstance(entry, Flow):
        return entry
    actions = entry.actions.replace("NXM_NX_REG11[],", "")
    if entry.key.table == TABLES["HOP"].number and "multipath" in actions:
        hashing, _, onward = actions.partition("pop:NXM_OF_ETH_SRC[],")
        fields = "symmetric_l3l4" if "TCP_SRC" in hashing else "symmetric_l3"
        actions = f"multipath({fields},0,modulo_n,{SLOTS},0,NXM_NX_REG11[0..6]),{onward}"
    if entry.key.table in (TABLES["BALANCE"].number, TABLES["CHOICE"].number):
        actions = actions.replace("->reg9,goto", "->reg9,resubmit(,156),goto")
    return replace(entry, actions=actions)


def test_chains_that_share_a_group_learn_separately(fabric):
    other = grouped(
        A, B, name="pc2", path_id=2, classifiers=(classifier(protocol=17, source_ports=None),)
    )
    fabric.program(CHANGED, after(other, grouped(A)))
    before = connect(fabric, PORTS)
    fabric.program(after(grouped(A, B, C), grouped(A), grouped(A, B)))
    assert visits(fabric, [segment(port) for port in PORTS]) == before


def test_a_new_connection_goes_by_the_new_pairs_although_a_cached_decision_is_older(fabric):
    """The datapath's entries were made by first packets of connections that go on."""
    fabric.program(grouped(A))
    before = connect(fabric, PORTS)
    both = [segment(port, flags) for port in PORTS for flags in ("S", "A")]
    fabric.program(CHANGED)
    assert visits(fabric, [frame for frame in both if "A" in str(frame[TCP].flags)]) == before


FROM_ANY_PORT = {"classifiers": ANY_TCP}
FROM_EACH_PORT = {
    "classifiers": tuple(classifier(source_ports=(port, port)) for port in PORTS),
    "sources": tuple(source("vm", "h1", "10.0.0.10", number=index) for index in range(len(PORTS))),
}
"""The datapath has entries of their own for each connection, whether it is learned or not."""


def history(*plans):
    """Return plans of which each replaces the one before it."""
    return [after(plan, *plans[:number]) for number, plan in enumerate(plans)]


def weighted(pair, weight):
    return replace(pair, weight=weight)


@pytest.mark.parametrize(
    "plans",
    [
        pytest.param(
            history(*(grouped(*pairs, **FROM_EACH_PORT) for pairs in ((A,), (A, B), (A, B, C)))),
            id="a-pair-is-added",
        ),
        pytest.param(
            history(*(grouped(*pairs) for pairs in ((A,), (A, B), (A, C)))),
            id="the-pair-has-left",
        ),
        pytest.param(
            history(
                grouped(A, **FROM_EACH_PORT),
                grouped(weighted(A, 20), B, **FROM_EACH_PORT),
                grouped(weighted(A, 20), C, **FROM_EACH_PORT),
            ),
            id="other-slots-move",  # SYN and others go by the same selection while it remembers
        ),
        pytest.param(
            [
                *history(grouped(A), grouped(A, C)),
                replace(after(grouped(A, C), grouped(A)), generation=1),
            ],
            id="the-list-of-groups-changes",
        ),
    ],
)
def test_a_connection_with_the_header_of_an_earlier_one_visits_one_pair(fabric, plans):
    """The datapath still has entries for the SYN or the later packets of the earlier one."""
    *before, present = plans
    for plan in before:
        fabric.program(plan)
    cached = ("SA", "AS", "S", "A")
    for kept, flags in enumerate(cached):
        ports = [port for port in PORTS if port % len(cached) == kept]
        for flag in flags:
            visits(fabric, [segment(port, flag) for port in ports])
    fabric.vswitch.appctl("revalidator/wait")
    fabric.program(present)
    opened = [segment(port, flag) for port in PORTS for flag in "SA"]
    assert "c" in visits(fabric, opened).values()


def test_the_datapath_needs_no_entry_for_each_connection(fabric):
    fabric.program(symmetric(A, B))
    ports = range(20000, 21500)
    fabric.vswitch.send("vm", *(segment(port, "S") for port in ports))
    fabric.vswitch.send("dst", *(reply(port, "SA") for port in ports))
    entries = [flow for flow in fabric.vswitch.datapath_flows() if "tcp" in flow]
    assert len(entries) <= 4 * 256, "for both directions, hop and end, the values of eight bits"


def test_others_than_connections_are_dealt_anew_when_the_time_of_new_flows_is_over(fabric):
    def places(sport):
        frames = [datagram(src, sport) for src in ADDRESSES]
        return visits(fabric, frames, by=lambda frame: frame[IP].src)

    one, two = (grouped(*targets, classifiers=FROM_ANYWHERE) for targets in ((A,), (A, B)))
    fabric.program(one)
    fabric.program(after(two, one))
    some = ADDRESSES[:8]
    known = [datagram(src, 1) for src in some]
    assert set(visits(fabric, known, by=lambda frame: frame[IP].src).values()) == {"a"}
    fabric.program(after(two, one, new_flows=False))
    now = places(2)
    assert {now[src] for src in some} == {"a"}, "these have been seen since the change"
    assert set(now.values()) == {"a", "b"}


# lb_fields.


def by(*lb_fields, targets=(A, B), **changes):
    plan = grouped(*targets, **changes)
    path = plan.paths[0]
    return replace(plan, paths=(replace(path, hops=(replace(path.hops[0], lb_fields=lb_fields),)),))


ADDRESSES = [f"10.0.0.{number}" for number in range(64, 128)]
FROM_ANYWHERE = (
    classifier(
        protocol=None, source_ports=None, destination_ports=None, source_prefixes=("10.0.0.0/24",)
    ),
)


def datagram(src, sport, eth_src=VM_MAC, dport=100):
    return (
        Ether(src=eth_src, dst=DST_MAC)
        / IP(src=src, dst="10.0.0.20")
        / UDP(sport=sport, dport=dport)
    )


def test_packets_with_same_lb_fields_keep_their_pair(fabric):
    def from_everyone(sport):
        frames = [datagram(src, sport + 1) for src in ADDRESSES]
        frames += [segment(sport, src=src) for src in ADDRESSES]
        return visits(fabric, frames, by=lambda frame: frame[IP].src)

    fabric.program(by("ip_src", targets=(A,), classifiers=FROM_ANYWHERE))
    some = ADDRESSES[:8]
    assert set(
        visits(fabric, [segment(1, src=src) for src in some], by=lambda f: f[IP].src).values()
    ) == {"a"}
    one, two, three = (
        by("ip_src", targets=targets, classifiers=FROM_ANYWHERE)
        for targets in ((A,), (A, B), (A, B, C))
    )
    fabric.program(after(two, one))
    visits(fabric, [datagram(src, 1) for src in some], by=lambda frame: frame[IP].src)
    fabric.program(after(two, one, new_flows=False))
    before = from_everyone(2000)
    assert {before[src] for src in some} == {"a"}
    assert min(Counter(before.values())[name] for name in "ab") >= len(ADDRESSES) / 4
    fabric.program(after(three, one, two))
    assert from_everyone(3000) == before


@pytest.mark.parametrize(
    ("fields", "same", "different"),
    [
        (("udp_src",), ["10.0.0.64", "10.0.0.65"], PORTS),
        (("udp_src", "eth_src", "ip_dst"), ["10.0.0.64", "10.0.0.65"], PORTS),
        (("udp_src", "udp_dst", "eth_src", "eth_dst", "ip_dst"), ["10.0.0.64", "10.0.0.65"], PORTS),
    ],
)
def test_only_named_lb_fields_matter(fabric, fields, same, different):
    fabric.program(by(*fields, classifiers=FROM_ANYWHERE))
    frames = [datagram(src, port) for port in different for src in same]
    assert Counter(visits(fabric, frames).values()).keys() == {"a", "b"}
    # Packets without such ports are balanced by the other fields only.
    tcp = [segment(port, src=src) for port in different for src in same]
    assert len(set(visits(fabric, tcp).values())) == 1


@pytest.mark.parametrize(
    "fields", [("ip_src",), ("ip_src", "tcp_dst"), ("tcp_src", "ip_dst", "ip_src")]
)
def test_replies_visit_the_pair_of_their_lb_fields(fabric, fields):
    fabric.program(symmetric(A, B, lb_fields=fields))
    there = visits(fabric, [segment(7, src=src) for src in ADDRESSES], by=lambda f: f[IP].src)
    back = visits(
        fabric, [reply(7, dst=src) for src in ADDRESSES], "dst", "out", by=lambda f: f[IP].dst
    )
    assert there == back
    assert set(there.values()) == {"a", "b"}


def test_all_slots_are_in_use(fabric):
    assert SLOTS == 128
    fabric.program(by("ip_src", "tcp_src", classifiers=FROM_ANYWHERE))
    frames = [segment(port, src=src) for port in PORTS[:16] for src in ADDRESSES[:16]]
    shares = Counter(visits(fabric, frames, by=lambda frame: (frame[IP].src, frame.sport)).values())
    assert abs(shares["a"] - shares["b"]) < len(frames) / 3


def test_a_full_table_evicts_flows_of_the_project_that_has_most(fabric):
    """However many hops and chains a project has, it cannot evict what others have learned."""
    limit, attackers, of_victim = 300, 15, range(2000, 2149)
    row = ("flow_limit=300", "overflow_policy=evict", f'groups="NXM_NX_{REG_PROJECT.upper()}[]"')
    fabric.vswitch.run(
        *("ovs-vsctl", "--id=@limits", "create", "Flow_Table", *row),
        *("--", "set", "bridge", "h1-int", f"flow_tables:{TABLES['AFFINITY'].number}=@limits"),
    )
    # All connections are from before a change, so the switch learns each of them.
    drained = (replace(A, weight=0), B)
    plans = [after(replace(grouped(*drained), owner="victim"), grouped(A))]
    for number in range(attackers):
        own = (classifier(source_ports=None, destination_ports=(200 + number, 200 + number)),)
        plan = grouped(*drained, name=f"attacker{number}", path_id=100 + number, classifiers=own)
        plans.append(after(replace(plan, owner="attacker"), grouped(A)))
    fabric.program(*plans)
    fabric.vswitch.send("vm", *(segment(port) for port in of_victim))
    for number in range(attackers):
        frames = [segment(port) for port in range(5000, 5019)]
        for frame in frames:
            frame[TCP].dport = 200 + number
        fabric.vswitch.send("vm", *frames)
    positions = Counter(re.search(r"reg8=(\w+)", line).group(1) for line in learned(fabric))
    assert sum(positions.values()) == limit
    assert positions["0x10001"] == len(of_victim)
