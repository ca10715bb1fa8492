"""A randomised search for packets that a function sends with the address of somebody else.

Service graphs of functions that route or bridge are planned and compiled. Each function sends
packets with any source address and MAC address. An oracle, which knows requests only, says which of
them the chain may take.
"""

from dataclasses import dataclass
from typing import Any

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from portchain.core.model import (
    AddressPair,
    ChainSnapshot,
    FlowClassifier,
    FunctionKind,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
)
from portchain.dataplane.compile import compile_chain
from portchain.dataplane.planning.planner import plan_chain
from tests.plans import TUNNEL_IPS, ident, mac, switch
from tests.shared_functions import are_accepted
from tests.simulated_network import Header, Host, Packet, move
from tests.stateful import EXPLORE

UDP, PORT = 17, 50
VMS = {f"vm{number}": f"10.0.0.{number}" for number in (1, 2, 3)}
VIRTUAL = {"vm1": "10.0.0.8", "vm2": "10.0.0.9"}  # further addresses of VMs
TRANSLATED = "10.0.0.40"
STRANGER = "10.0.0.99"
ADDRESSES = (*VMS.values(), *VIRTUAL.values(), TRANSLATED, STRANGER)


@dataclass(frozen=True)
class Wish:
    """A chain that a user asks for.

    :param kinds: of its functions, in their order; the names begin with the chain's number.
    :param translates: whether its first function translates to ``TRANSLATED``.
    :param before: numbers of the chains before it; if there are none, ``sources`` send its packets.
    """

    number: int
    kinds: tuple[FunctionKind, ...]
    translates: bool
    before: tuple[int, ...]
    sources: tuple[str, ...]

    @property
    def functions(self) -> dict[str, FunctionKind]:
        return {f"{self.number}f{index}": kind for index, kind in enumerate(self.kinds)}

    def chain(self) -> PortChain:
        groups = []
        for index, (name, kind) in enumerate(self.functions.items()):
            pair = PortPair(ident(name), "p", ident(f"{name}-in"), ident(f"{name}-out"), kind=kind)
            translates = self.translates and index == 0
            mapping = {"source_ip_prefix": f"{TRANSLATED}/32"} if translates else {}
            number = 10 * self.number + index
            groups.append(PortPairGroup(ident(f"g{name}"), "p", number, (pair,), name,
                                        egress_n_tuple=mapping))  # fmt: skip
        classifier = FlowClassifier(
            ident(f"fc{self.number}"), "p", protocol=UDP, destination_ports=(PORT, PORT)
        )
        return PortChain(
            ident(f"pc{self.number}"), "p", self.number, tuple(groups), (classifier,),
            serial=self.number,
        )  # fmt: skip


@st.composite
def graphs(draw: Any) -> list[Wish]:
    kind = st.sampled_from(FunctionKind)
    wishes = []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        # At most one chain follows another one, so one classifier suits all.
        free = [one.number for one in wishes if not any(one.number in w.before for w in wishes)]
        before = (
            draw(st.lists(st.sampled_from(free), min_size=draw(st.integers(0, 1)), unique=True))
            if free
            else []
        )
        wishes.append(
            Wish(
                number,
                tuple(draw(st.lists(kind, min_size=1, max_size=3))),
                draw(st.integers(0, 4)) == 0,
                tuple(sorted(before)),
                tuple(sorted(draw(st.sets(st.sampled_from(sorted(VMS)))))),
            )
        )
    return wishes


class World:
    """The graphs' snapshots, the switch with their flows, and the oracle."""

    def __init__(self, wishes: list[Wish]) -> None:
        self.wishes = {one.number: one for one in wishes}
        self.functions = {n: k for one in wishes for n, k in one.functions.items()}
        chains = {one.number: one.chain() for one in wishes}
        ports = self.ports()
        self.snapshots = [
            ChainSnapshot(
                chains[one.number],
                ports,
                {
                    chains[one.number].flow_classifiers[0].id: ()
                    if one.before
                    else tuple(map(ident, one.sources))
                },
                predecessors=tuple(chains[each] for each in one.before),
                successors=tuple(chains[w.number] for w in wishes if one.number in w.before),
                earlier=tuple(
                    chains[each] for each in sorted(self.upstream(one) - set(one.before))
                ),
                senders=tuple(map(ident, self.senders(one))) if one.before else (),
            )
            for one in wishes
        ]

    def ports(self) -> dict[str, Port]:
        found = {}
        for name, address in VMS.items():
            virtual = VIRTUAL.get(name)
            pairs = (AddressPair(f"{virtual}/32", mac(name)),) if virtual else ()
            found[ident(name)] = Port(ident(name), "net", "p", mac(name), (address,), "h1",
                                      plugged=True, address_pairs=pairs)  # fmt: skip
        for name in self.functions:
            for side in ("in", "out"):
                port = f"{name}-{side}"
                pairs = (AddressPair(f"{TRANSLATED}/32", mac(port)),)
                translates = name.endswith("f0") and self.wishes[int(name[0])].translates
                found[ident(port)] = Port(
                    ident(port), "net", "p", mac(port), (self.own_address(name),), "h1",
                    plugged=True, address_pairs=pairs if translates else (),
                )  # fmt: skip
        return found

    def own_address(self, function: str) -> str:
        return f"10.0.1.{list(self.functions).index(function) + 1}"

    # The oracle.

    def upstream(self, wish: Wish) -> set[int]:
        """Return the numbers of the chains that packets may have passed."""
        return {number for one in wish.before for number in (one, *self.upstream(self.wishes[one]))}

    def senders(self, wish: Wish) -> list[str]:
        first = [self.wishes[n] for n in self.upstream(wish)] if wish.before else [wish]
        return sorted({name for one in first if not one.before for name in one.sources})

    def addresses_in(self, wish: Wish) -> set[str]:
        """Return the source addresses that packets can have behind functions of a chain."""
        found = {VMS[name] for name in self.senders(wish)}
        found |= {VIRTUAL[name] for name in self.senders(wish) if name in VIRTUAL}
        translating = [self.wishes[number] for number in self.upstream(wish)] + [wish]
        for one in translating:
            if one.translates:
                # What the port of a translating function may send from.
                found |= {TRANSLATED, self.own_address(f"{one.number}f0")}
        return found

    def macs_at(self, wish: Wish, index: int) -> tuple[set[str], set[str]]:
        """Return the source MAC addresses that frames have behind a function, and may have."""
        for number in range(index, -1, -1):
            if wish.kinds[number] is FunctionKind.L3:
                only = {mac(f"{wish.number}f{number}-out")}
                return only, only
        possible = {mac(name) for name in self.senders(wish)}
        for number in self.upstream(wish):
            for name, kind in self.wishes[number].functions.items():
                possible |= {mac(f"{name}-out")} if kind is FunctionKind.L3 else set()
        if not wish.before:
            return possible, possible
        ends = [self.wishes[number] for number in wish.before]
        real = [self.macs_at(end, len(end.kinds) - 1)[0] for end in ends]
        return set.union(*real), possible

    # The switch.

    def host(self) -> Host:
        names = [*VMS, *(f"{name}-{side}" for name in self.functions for side in ("in", "out"))]
        local = switch("h1", *names)
        host = Host(local, {name: local.ports[ident(name)].ofport for name in names})
        host.install(
            flow
            for one in self.snapshots
            for flow in compile_chain(plan_chain(one, TUNNEL_IPS).plan, local).flows
        )
        host.bridging = frozenset(
            n for n, kind in self.functions.items() if kind == FunctionKind.L2
        )
        return host

    def check(self) -> None:
        host = self.host()
        macs = [mac(name) for name in (*VMS, "stranger")]
        macs += [mac(f"{name}-out") for name in self.functions]
        for wish in self.wishes.values():
            for index, name in enumerate(wish.functions):
                for address in (*ADDRESSES, self.own_address(name)):
                    for frame_mac in macs:
                        self.check_packet(host, wish, index, name, address, frame_mac)

    def check_packet(
        self, host: Host, wish: Wish, index: int, name: str, address: str, frame_mac: str
    ) -> None:
        header = Header(address, "10.0.0.200", UDP, 40, PORT)
        packet = Packet(0, header, ("function", "h1", name, "out"), forged=frame_mac)
        move(packet, {"h1": host})
        what = (name, address, frame_mac, packet.location, packet.visited)
        own, routes = mac(f"{name}-out"), wish.kinds[index] is FunctionKind.L3
        if packet.location == ("delivered", "own"):
            assert routes, "and port security checks it"
            return
        is_taken = packet.location[0] in ("delivered", "function")
        if address not in self.addresses_in(wish):
            assert not is_taken, what
        real, possible = self.macs_at(wish, index)
        if frame_mac not in possible:
            assert not is_taken, what
        if routes and frame_mac != own:
            assert not is_taken, what
        senders = {VMS[sender] for sender in self.senders(wish)}
        if address in senders and frame_mac in real and not self.is_translated(wish):
            assert is_taken, what

    def is_translated(self, wish: Wish) -> bool:
        return wish.translates or any(self.wishes[n].translates for n in self.upstream(wish))


@settings(deadline=None, derandomize=not EXPLORE, max_examples=EXPLORE or 60)
@given(graphs())
def test_no_function_sends_with_the_address_of_somebody_else(wishes: list[Wish]) -> None:
    world = World(wishes)
    assume(are_accepted(world.snapshots, []))
    event(f"chains: {len(wishes)}, linked: {sum(bool(one.before) for one in wishes)}")
    world.check()
