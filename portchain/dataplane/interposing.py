"""Which rows br-chain needs in a host's Open vSwitch database: what is there -> what must change.

br-chain stands between the ports of chains and OVN's br-int. The row of such a port is moved from
br-int to br-chain, and two patch ports represent it in br-int: one has its ``iface-id``, so that
OVN binds its logical port there, and the other one that of its gate. Tunnels of br-chain lead to
the other hosts (docs/decisions/0062).

Everything follows from the rows that exist and from what chains need. So a host that was
interrupted at any point goes on from there.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from portchain.dataplane.gates import gate_name, is_gate
from portchain.dataplane.host_switch import HostNeeds

BR_CHAIN = "br-chain"

OWNER = "portchain"
"""Key in ``external_ids`` of all rows that belong to us. Its value is the id of the Neutron port
that a patch port is for, or the address that a tunnel leads to."""

IFACE_ID, IFACE_ID_VER = "iface-id", "iface-id-ver"
_BINDING_KEYS = (IFACE_ID, IFACE_ID_VER, "encap-ip")
"""Keys of a port's ``external_ids`` that ovn-controller reads."""

_INSTALLED = "ovn-installed"  # key of interfaces that ovn-controller has bound

NO_DEVICE = -1
"""``ofport`` of an interface that Open vSwitch cannot open."""

PATCH = "patch"
"""Type of the interfaces that connect two bridges."""

_PLAIN = ""  # type of an interface of the operating system
_IMMOVABLE = frozenset({"internal", PATCH})
"""Open vSwitch creates these devices itself, and anew when their port is moved."""

_MAX_OFPORT = 0xFE00


@dataclass(frozen=True, slots=True)
class PortRow:
    """A port with one interface in the database.

    :param ofport: OpenFlow port number; ``NO_DEVICE``, or None if it has none yet.
    :param record: id of the interface's row.
    :param ifindex: number of the device in the operating system; 0 if it has gone since Open
        vSwitch has opened it.
    """

    name: str
    on_br_chain: bool
    type: str = _PLAIN
    ofport: int | None = None
    record: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    external_ids: Mapping[str, str] = field(default_factory=dict)
    ifindex: int | None = None

    @property
    def is_own(self) -> bool:
        """Whether the row belongs to us."""
        return OWNER in self.external_ids

    @property
    def is_plugged(self) -> bool:
        """Whether Open vSwitch has the device."""
        return self.ofport is not None and self.ofport > 0 and not self.has_gone

    @property
    def has_gone(self) -> bool:
        """Whether the device has gone for good. Nova then deletes its port from br-int only.

        A device that Open vSwitch opens itself, as for vhost-user, can come back.
        """
        return self.type == _PLAIN and (self.ofport == NO_DEVICE or self.ifindex == 0)

    @property
    def is_bound(self) -> bool:
        """Whether ovn-controller has bound the logical port."""
        return self.external_ids.get(_INSTALLED) == "true"


@dataclass(frozen=True, slots=True)
class OwnPort:
    """A port of ours as it should be; its name identifies it.

    :param unset: keys that ``external_ids`` must not have.
    """

    name: str
    on_br_chain: bool
    type: str
    options: Mapping[str, str]
    external_ids: Mapping[str, str]
    unset: frozenset[str] = frozenset()

    def is_realised_by(self, row: PortRow) -> bool:
        """Return whether a row is as it should be. ovn-controller adds keys of its own."""
        kept = {key: row.external_ids.get(key) for key in self.external_ids}
        return (
            (row.on_br_chain, row.type, dict(row.options))
            == (self.on_br_chain, self.type, dict(self.options))
            and kept == dict(self.external_ids)
            and self.unset.isdisjoint(row.external_ids)
        )


@dataclass(frozen=True, slots=True)
class RowChange:
    """What one transaction changes.

    :param put: ports of ours to create, or to write again.
    :param delete: names of ports to delete: ours, and those of devices that have gone.
    :param interpose: name -> OpenFlow port, of ports to move from br-int to br-chain.
    :param give_back: names of ports to move from br-chain to br-int.
    """

    put: tuple[OwnPort, ...] = ()
    delete: tuple[str, ...] = ()
    interpose: Mapping[str, int] = field(default_factory=dict)
    give_back: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.put or self.delete or self.interpose or self.give_back)


HOLD_SECONDS = 10.0
"""How long a port stays on br-chain after the last chain that used it. Moving it takes OVN's port
down for a moment, and a chain may leave out a port that is down."""


@dataclass(frozen=True, slots=True)
class HeldNeeds:
    """What chains need, and have needed not long ago.

    :param needs: both.
    :param unused: ports that no chain needs any more -> since when, in seconds.
    """

    needs: HostNeeds = field(default_factory=HostNeeds)
    unused: Mapping[str, float] = field(default_factory=dict)

    def replace(self, needs: HostNeeds, now: float) -> "HeldNeeds":
        """Return what to provide when chains have other needs.

        Gates are not held: a port that migrates has its gate on the other host at once.
        """
        left = {name for name in self.needs.ports - needs.ports if not is_gate(name)}
        unused = {
            name: since
            for name, since in (dict.fromkeys(left, now) | dict(self.unused)).items()
            if name in left and now - since < HOLD_SECONDS
        }
        return HeldNeeds(needs | HostNeeds(frozenset(unused)), unused)


def network_patch(port_id: str) -> str:
    """Return the name of the patch port of br-chain to a port's own logical port."""
    return f"pc-to-port-{port_id}"


def gate_patch(port_id: str) -> str:
    """Return the name of the patch port of br-chain to a port's gate."""
    return f"pc-to-gate-{port_id}"


def network_peer(port_id: str) -> str:
    """Return the name of the patch port of br-int that represents a port."""
    return f"pc-port-{port_id}"


def interfaces_of_ports(rows: Iterable[PortRow]) -> dict[str, PortRow]:
    """Return Neutron port id -> the row of its interface, on either bridge.

    Nova may have plugged a port in again while its former row is on br-chain. Then the device that
    Open vSwitch has counts.
    """
    found: dict[str, PortRow] = {}
    for row in sorted(rows, key=lambda row: (row.is_plugged, not row.on_br_chain, row.name)):
        port_id = row.external_ids.get(IFACE_ID)
        if port_id and not row.is_own and row.type not in _IMMOVABLE:
            found[port_id] = row
    return found


def prepare(rows: Iterable[PortRow], needs: HostNeeds) -> RowChange:
    """Return what must be there before ports are moved to br-chain: patch ports without a port.

    Flows can name them then, so that a port is connected from the moment on in which it is moved.
    """
    rows = tuple(rows)
    present = {row.name for row in rows}
    new = {
        port_id: row for port_id, row in _to_interpose(rows, needs).items() if not row.on_br_chain
    }
    patches = (patch for port_id in sorted(new) for patch in _patches(port_id, None, needs))
    return RowChange(put=tuple(patch for patch in patches if patch.name not in present))


def interpose(rows: Iterable[PortRow], needs: HostNeeds) -> RowChange:
    """Return how all rows become as they should be, in one transaction."""
    rows = tuple(rows)
    own = {row.name: row for row in rows if row.is_own}
    interposed = _to_interpose(rows, needs)
    wanted = {
        port.name: port
        for port_id, row in sorted(interposed.items())
        for port in _patches(port_id, row, needs)
    }
    wanted |= {port.name: port for port in _tunnels(rows, needs)}
    foreign = [row for row in rows if row.on_br_chain and not row.is_own and _port_id(row)]
    kept = {row.name for row in interposed.values()}
    gone = [row.name for row in foreign if row.name not in kept and row.has_gone]
    return RowChange(
        put=tuple(
            port
            for name, port in wanted.items()
            if name not in own or not port.is_realised_by(own[name])
        ),
        delete=tuple(sorted((own.keys() - wanted.keys()) | set(gone))),
        interpose=_numbers(rows, interposed.values()),
        give_back=tuple(
            row.name for row in foreign if row.name not in kept and row.name not in gone
        ),
    )


def _to_interpose(rows: Iterable[PortRow], needs: HostNeeds) -> dict[str, PortRow]:
    """Return the ports that must be on br-chain: those of chains whose device is there."""
    return {
        port_id: row
        for port_id, row in interfaces_of_ports(rows).items()
        if port_id in needs.ports and (row.is_plugged or (row.on_br_chain and not row.has_gone))
    }


def _port_id(row: PortRow) -> str:
    return row.external_ids.get(IFACE_ID, "")


def _patches(port_id: str, port: PortRow | None, needs: HostNeeds) -> Iterator[OwnPort]:
    """Yield the patch ports of a port, those of br-int and those of br-chain.

    :param port: its row; None before it is on br-chain: only one port of br-int may have its
        ``iface-id``.
    """
    bound = {} if port is None else _binding(port)
    yield from _pair(network_patch(port_id), network_peer(port_id), port_id, bound)
    gate = gate_name(port_id)
    if gate in needs.ports:
        yield from _pair(gate_patch(port_id), gate, port_id, {IFACE_ID: gate})


def _binding(port: PortRow) -> dict[str, str]:
    """Return the keys by which ovn-controller binds a logical port to the patch port.

    If Nova plugs a port in again, ovn-controller binds the logical port to the new interface. When
    that leaves br-int, it looks at the patch port again only if one of these keys has changed. The
    version differs for each interface; OVN ignores it unless the logical port requires one.

    A port that is about to be moved is up. ovn-controller would say for a moment that it is down,
    if the patch port did not say so from the beginning.
    """
    keys = _BINDING_KEYS if port.on_br_chain else (*_BINDING_KEYS, _INSTALLED)
    ids = {key: port.external_ids.get(key, "") for key in keys}
    return {IFACE_ID_VER: port.record} | {key: value for key, value in ids.items() if value}


def _pair(inner: str, outer: str, port_id: str, binding: Mapping[str, str]) -> Iterator[OwnPort]:
    """Yield a port of br-chain, and its peer of br-int, which ovn-controller looks at."""
    owner = {OWNER: port_id}
    unset = frozenset(_BINDING_KEYS) - binding.keys()
    yield OwnPort(inner, True, PATCH, {"peer": outer}, owner)
    yield OwnPort(outer, False, PATCH, {"peer": inner}, {**owner, **binding}, unset)


def tunnel_name(peer: str) -> str:
    """Return the name of br-chain's tunnel to an address."""
    return f"pc-tun-{peer}"


def _tunnels(rows: Iterable[PortRow], needs: HostNeeds) -> Iterator[OwnPort]:
    """Yield tunnels that are like ovn-controller's to the same hosts, but for the tunnel key.

    OVN never uses key 0. Open vSwitch looks for tunnels with a fixed key first, so both exist
    beside each other. While ovn-controller has no tunnel to a host, ours stays as it is.
    """
    of_ovn: dict[str, PortRow] = {}
    for row in sorted(rows, key=lambda row: (row.options.get("local_ip", ""), row.name)):
        if not row.on_br_chain and (remote := row.options.get("remote_ip")):
            of_ovn.setdefault(_normal(remote), row)
    present = {row.name: row for row in rows if row.is_own}
    for peer in sorted(needs.peers):
        name, owner = tunnel_name(_normal(peer)), {OWNER: peer}
        if (model := of_ovn.get(_normal(peer))) is not None:
            yield OwnPort(name, True, model.type, {**model.options, "key": "0"}, owner)
        elif (kept := present.get(name)) is not None:
            yield OwnPort(name, True, kept.type, kept.options, owner)


def _normal(address: str) -> str:
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def _numbers(rows: Iterable[PortRow], interposed: Iterable[PortRow]) -> dict[str, int]:
    """Return name -> OpenFlow port, for the ports that are about to be moved to br-chain.

    They are requested, so that their flows can be there before.
    """
    taken = {row.ofport for row in rows if row.on_br_chain}
    free = (number for number in range(1, _MAX_OFPORT) if number not in taken)
    movers = sorted(row.name for row in interposed if not row.on_br_chain)
    return dict(zip(movers, free, strict=False))
