"""The way of a packet from host to host, put together from what each host says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from portchain.core.function_kinds import L2, L3, MPLS_AWARE, NSH_AWARE, FunctionTraits
from portchain.core.protocols import TCP
from portchain.dataplane.tracing.journey import (
    MOST_VISITS,
    Function,
    Journey,
    Outcome,
    follow,
)
from portchain.dataplane.tracing.packet import Label, Packet
from portchain.dataplane.tracing.steps import Decision, Exit, HostTrace, Reach, Start, Step
from tests.plans import HOSTS, TUNNEL_IPS, ident, mac

HOMES = {"vm": "h1", "in": "h1", "out": "h1", "vm2": "h1", "far": "h2"}
VM, IN, OUT, VM2, FAR = (ident(name) for name in HOMES)
PAIR = ident("pair")
PACKET = Packet(mac("vm"), mac("far"), "IPv4", "10.0.0.1", "10.0.0.2", TCP, 23, 100)
LOCALLY = replace(PACKET, eth_dst=mac("vm2"))


@dataclass
class Places:
    """Implements ``Topology`` for these ports and one function."""

    traits: FunctionTraits = L3
    tunnels: Mapping[str, str] = field(default_factory=lambda: TUNNEL_IPS)

    def host_of(self, port_id: str) -> str:
        return next((host for name, host in HOMES.items() if ident(name) == port_id), "")

    def host_at(self, address: str) -> str:
        return next((host for host, known in self.tunnels.items() if known == address), "")

    def tunnel_address(self, host: str) -> str:
        return self.tunnels.get(host, "")

    def mac_of(self, port_id: str) -> str:
        return next(mac(name) for name in HOMES if ident(name) == port_id)

    def port_with(self, address: str) -> str:
        return next((ident(name) for name in HOMES if mac(name) == address), "")

    def function(self, pair_id: str) -> Function | None:
        return Function(self.traits, {IN: OUT, OUT: IN}) if pair_id == PAIR else None


Asked = tuple[str, Start, Packet]


def way_of(
    answers: Sequence[HostTrace], packet: Packet = PACKET, places: Places | None = None
) -> tuple[Journey, list[Asked]]:
    """Return the way of a packet of ``vm``, and what hosts were asked: they answer in turn."""
    asked: list[Asked] = []

    def ask(host: str, start: Start, packet: Packet) -> HostTrace:
        asked.append((host, start, packet))
        return answers[len(asked) - 1]

    return follow(VM, packet, places or Places(), ask), asked


def to(reach: Reach, name: str, packet: Packet = PACKET, pair: str = "") -> HostTrace:
    return HostTrace((), (Exit(reach, name, packet, pair),))


ARRIVES = to(Reach.PORT, FAR)


def test_a_packet_goes_from_host_to_host_until_a_port_gets_it() -> None:
    sent, arrived = Step(Decision.FORWARDED, "by tunnel"), Step(Decision.DELIVERED, "here")
    labelled = replace(PACKET, labels=(Label(5),))
    journey, asked = way_of(
        [
            HostTrace((sent,), (Exit(Reach.TUNNEL, TUNNEL_IPS["h2"], labelled),)),
            replace(ARRIVES, steps=(arrived,)),
        ]
    )
    assert journey == Journey((("h1", sent), ("h2", arrived)), Outcome.DELIVERED)
    assert asked == [
        ("h1", Start(port_id=VM), PACKET),
        ("h2", Start(peer=TUNNEL_IPS["h1"]), labelled),
    ]


@pytest.mark.parametrize("vlan", [None, 5])
def test_on_a_physical_network_a_packet_goes_to_the_host_of_its_destination(
    vlan: int | None,
) -> None:
    tagged = replace(PACKET, vlan=vlan)
    _, asked = way_of([to(Reach.PHYSICAL, "net", tagged), ARRIVES])
    assert asked[1] == ("h2", Start(network="net"), tagged)
    framed = replace(PACKET, eth_dst=mac("vm2"), outer=(mac("x"), mac("far")))
    _, asked = way_of([to(Reach.PHYSICAL, "net", framed), ARRIVES])
    assert asked[1] == ("h2", Start(network="net"), framed)


@pytest.mark.parametrize(
    ("decision", "outcome"),
    [(Decision.DROPPED, Outcome.DROPPED), (Decision.LOST, Outcome.LOST)],
)
def test_a_packet_ends_where_it_has_no_way_on(decision: Decision, outcome: Outcome) -> None:
    steps = (Step(Decision.CLASSIFIED, ""), Step(decision, "why"))
    journey, _ = way_of([HostTrace(steps, ())])
    assert journey == Journey((("h1", steps[0]), ("h1", steps[1])), outcome)


@pytest.mark.parametrize(
    ("exits", "says"),
    [
        (to(Reach.TUNNEL, "192.0.2.99"), "no host has the tunnel address 192.0.2.99"),
        (to(Reach.PHYSICAL, "net", replace(PACKET, eth_dst=mac("router"))), "a router outside may"),
        (to(Reach.PHYSICAL, "net", LOCALLY), "a router outside may"),
        (to(Reach.UNKNOWN, "br-ex"), "it leaves by br-ex, which portchain does not know"),
        (to(Reach.PORT, IN, pair=ident("gone")), "does not know port pair " + ident("gone")),
        (to(Reach.PORT, VM2, pair=PAIR), "does not know port pair " + PAIR),
    ],
)
def test_a_packet_is_lost_where_nobody_knows_what_comes_next(exits: HostTrace, says: str) -> None:
    sent = Step(Decision.FORWARDED, "")
    journey, asked = way_of([replace(exits, steps=(sent,))])
    (way,) = exits.exits
    before, (host, step) = journey.steps
    assert before == ("h1", sent)
    assert (journey.outcome, host, len(asked)) == (Outcome.LOST, "h1", 1)
    assert step.decision is Decision.LOST
    assert says in step.reason
    known = {way.name: (step.peer, step.port_id)[way.reach is Reach.PORT]}
    assert known == {way.name: "" if way.reach is Reach.UNKNOWN else way.name}
    assert step.pair_id == way.pair_id


LABELS = (Label(0x10001, 0, 254), Label(7, 0, 9))
ROUTED = {"eth_src": mac("out"), "eth_dst": mac("far")}


@pytest.mark.parametrize(
    ("traits", "sent", "returned"),
    [
        (L3, {}, ROUTED),
        (L2, {}, {}),
        (MPLS_AWARE, {"labels": LABELS}, ROUTED | {"labels": (Label(0x10001, 0, 253), LABELS[1])}),
        (MPLS_AWARE, {}, ROUTED),
        (
            NSH_AWARE,
            {"nsh": (1, 255, 63)},
            {"nsh": (1, 254, 62), "outer": (mac("out"), mac("far"))},
        ),
        (NSH_AWARE, {}, ROUTED),
    ],
    ids=["routes", "bridges", "MPLS", "no label", "NSH", "no NSH"],
)
def test_a_function_returns_a_packet_as_its_kind_does(
    traits: FunctionTraits, sent: dict[str, object], returned: dict[str, object]
) -> None:
    """Whatever the switch did with the packet's addresses on its way to the function."""
    given = replace(PACKET, eth_dst=mac("in"), **sent)  # type: ignore[arg-type]
    journey, asked = way_of([to(Reach.PORT, IN, given, PAIR), ARRIVES], places=Places(traits))
    assert journey.outcome is Outcome.DELIVERED
    assert asked[1] == ("h1", Start(port_id=OUT), replace(given, **returned))  # type: ignore[arg-type]


def test_replies_come_back_at_the_ingress_port() -> None:
    _, asked = way_of([to(Reach.PORT, OUT, pair=PAIR), ARRIVES])
    assert asked[1][1:] == (
        Start(port_id=IN),
        replace(PACKET, eth_src=mac("in"), eth_dst=mac("far")),
    )


# --- Packets that a switch floods.


def flooded(*ways: tuple[Reach, str]) -> HostTrace:
    return HostTrace((), tuple(Exit(reach, name, PACKET) for reach, name in ways))


def test_of_a_flooded_packet_the_way_to_its_destination_is_followed() -> None:
    bystander, tunnels = (
        (Reach.PORT, IN),
        [(Reach.TUNNEL, TUNNEL_IPS[host]) for host in HOSTS[:0:-1]],
    )
    journey, asked = way_of([flooded(bystander, *tunnels), ARRIVES])
    assert [host for host, *_ in asked] == ["h1", "h2"]
    assert journey.outcome is Outcome.DELIVERED
    journey, asked = way_of([flooded(bystander, *tunnels, (Reach.PORT, VM2))], LOCALLY)
    assert (journey.outcome, len(asked)) == (Outcome.DELIVERED, 1)


@pytest.mark.parametrize("tunnels", [TUNNEL_IPS, {}])
def test_a_packet_flooded_to_a_physical_network_goes_to_its_destination_there(
    tunnels: dict[str, str],
) -> None:
    """And not to a port of this host that gets a copy."""
    ways = flooded((Reach.PORT, IN), (Reach.PHYSICAL, "net"), (Reach.PORT, VM2))
    _, asked = way_of([ways, ARRIVES], places=Places(tunnels=tunnels))
    assert [(host, start) for host, start, _ in asked[1:]] == [("h2", Start(network="net"))]
    journey, asked = way_of([ways], LOCALLY, places=Places(tunnels=tunnels))
    assert (journey.outcome, len(asked)) == (Outcome.DELIVERED, 1)


def test_a_flooded_packet_to_nobody_known_may_have_gone_outside() -> None:
    ways = [Exit(Reach.PORT, IN, PACKET), Exit(Reach.PHYSICAL, "net", PACKET)]
    stray = replace(PACKET, eth_dst=mac("router"))
    answer = HostTrace((), tuple(replace(way, packet=stray) for way in ways))
    assert way_of([answer], stray)[0].outcome is Outcome.LOST
    assert way_of([replace(answer, exits=answer.exits[:1] * 2)], stray)[0].outcome is (
        Outcome.DELIVERED
    )


# --- Loops, and chains that hosts cannot tell.


def test_a_packet_that_circles_is_given_up() -> None:
    sent = Step(Decision.FORWARDED, "")
    answers = [replace(to(Reach.TUNNEL, TUNNEL_IPS[host]), steps=(sent,)) for host in ("h2", "h1")]
    journey, asked = way_of(answers * MOST_VISITS)
    assert (journey.outcome, len(asked)) == (Outcome.LOST, MOST_VISITS)
    *visits, (host, last) = journey.steps
    assert visits == [("h1", sent), ("h2", sent)] * (MOST_VISITS // 2)
    assert (host, last.decision) == ("h1", Decision.LOST)
    assert last.reason.startswith("the packet does not arrive: it has visited too many hosts")


@pytest.mark.parametrize("decision", [Decision.RETURNED, Decision.LEFT])
def test_what_a_function_returns_is_of_the_chain_that_the_packet_was_in(decision: Decision) -> None:
    known = Step(Decision.CLASSIFIED, "", chain_id="chain", reverse=True)
    other = replace(known, chain_id="other", reverse=False)
    unknown, plain = Step(decision, ""), Step(Decision.DELIVERED, "")
    traces = [
        HostTrace((other, known, plain), (Exit(Reach.TUNNEL, TUNNEL_IPS["h2"], PACKET),)),
        replace(ARRIVES, steps=(unknown, replace(unknown, chain_id="told"))),
    ]
    journey, _ = way_of(traces)
    found = [(step.chain_id, step.reverse) for _, step in journey.steps]
    assert found == [
        ("other", False),
        ("chain", True),
        ("", False),
        ("chain", True),
        ("told", False),
    ]
    (first, *_) = way_of([replace(ARRIVES, steps=(unknown,))])[0].steps
    assert first == ("h1", unknown)
