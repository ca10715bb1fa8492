"""What a packet is like while a switch handles it: its headers, its registers, its port."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from portchain.dataplane.tracing.packet import Label, Packet

_REGISTER = re.compile(r"(?:NXM_NX_)?(REG\d+|reg\d+)(?:\[(?:(\d+)(?:\.\.(\d+))?)?\])?")
_SET = re.compile(r"(?:set_field|load):([^>]*)->(\S+)")
_MOVED = re.compile(r"(\S+) is now (\S+)")
_ETHERNET = {"NXM_OF_ETH_SRC[]": "eth_src", "NXM_OF_ETH_DST[]": "eth_dst"}
_NSH = ("nsh_spi", "nsh_si", "nsh_ttl")
_METADATA = re.compile(r"(?:NXM_NX_TUN_METADATA0|tun_metadata0)(?:\[(?:(\d+)\.\.(\d+))?\])?")
_TAG_BITS = 0xFFF


@dataclass(slots=True)
class PacketState:
    """A packet at one point of a switch's pipeline.

    :param in_port: OpenFlow port at which it counts as received.
    :param registers: name -> value other than 0, as far as actions have written it.
    :param hidden: how many headers the packet had when the trace began (``Packet.depth``): the
        switch was told of the outermost one only, and cannot tell what is below that.
    """

    packet: Packet
    in_port: int
    registers: dict[str, int] = field(default_factory=dict)
    hidden: int = 0

    def copy(self) -> "PacketState":
        """Return an independent copy."""
        return PacketState(self.packet, self.in_port, dict(self.registers), self.hidden)

    def in_next_bridge(self, in_port: int) -> "PacketState":
        """Return the state in which the packet enters another bridge."""
        return PacketState(self.packet, in_port, hidden=self.hidden)

    def register(self, name: str) -> int:
        """Return the value of a register."""
        return self.registers.get(name, 0)

    def apply(self, action: str, notes: Iterable[str] = ()) -> None:
        """Do what an action does to the packet.

        :param notes: what Open vSwitch says of it: the values that it has moved.
        """
        if found := _SET.fullmatch(action):
            self._set(found[2], found[1])
        elif changes := self._header_changes(action):
            self._change(**changes)
        for note in notes:
            if moved := _MOVED.fullmatch(note):
                self._set(_ETHERNET.get(moved[1], moved[1]), moved[2])

    def _header_changes(self, action: str) -> dict[str, object]:
        """Return what an action changes that adds or removes a header or a tag."""
        labels = self.packet.labels
        changes: dict[str, dict[str, object]] = {
            "push_mpls": {"labels": (labels[0] if labels else Label(0), *labels)},
            "pop_mpls": {"labels": labels[1:]},
            "encap(mpls)": {"labels": (Label(0),)},
            "encap(ethernet)": {"outer": ("", "")},
            "encap(nsh": {"nsh": (0, 0, 0)},
            "decap(": {"labels": (), "outer": None, "nsh": None},
            "pop_vlan": {"vlan": None},
            "strip_vlan": {"vlan": None},
            "push_vlan": {"vlan": 0},
        }
        if action.startswith("mod_vlan_vid:"):
            return {"vlan": int(action.partition(":")[2], 0)}
        return next((new for start, new in changes.items() if action.startswith(start)), {})

    def _change(self, **changes: object) -> None:
        self.packet = replace(self.packet, **changes)  # type: ignore[arg-type]

    def _set(self, name: str, value: str) -> None:
        if found := _REGISTER.fullmatch(name):
            register, first, last = found[1].lower(), found[2], found[3]
            self.registers[register] = _written(self.register(register), first, last, value)
        elif name in ("eth_src", "eth_dst"):
            self._set_address(name, value)
        elif name in _ETHERNET:
            self._set_address(_ETHERNET[name], _address(int(value, 0)))
        elif found := _METADATA.fullmatch(name):
            metadata = _written(self.packet.tunnel_metadata, found[1], found[2], value)
            self._change(tunnel_metadata=metadata)
        elif name.startswith("mpls_") and self.packet.labels:
            self._set_label(name, int(value, 0))
        elif name in _NSH and self.packet.nsh is not None:
            fields = list(self.packet.nsh)
            fields[_NSH.index(name)] = int(value, 0)
            self._change(nsh=tuple(fields))
        elif name in ("tun_id", "NXM_NX_TUN_ID[]"):
            self._change(tunnel_id=int(value.partition("/")[0], 0))
        elif name == "vlan_vid":
            self._change(vlan=int(value, 0) & _TAG_BITS)
        elif name == "in_port" and value.isdigit():
            self.in_port = int(value)

    def _set_address(self, name: str, value: str) -> None:
        if self.packet.outer is None:
            self._change(**{name: value})
            return
        source, destination = self.packet.outer
        self._change(outer=(value, destination) if name == "eth_src" else (source, value))

    def _set_label(self, name: str, value: int) -> None:
        names = {"mpls_label": "value", "mpls_tc": "traffic_class", "mpls_ttl": "ttl"}
        if name in names:
            top = replace(self.packet.labels[0], **{names[name]: value})
            self._change(labels=(top, *self.packet.labels[1:]))


def _written(old: int, first: str | None, last: str | None, value: str) -> int:
    """Return a field of 32 bits after some of them have been written.

    :param first: the lowest of them; None if it is all, or those of the value's mask.
    :param last: the highest; None if it is one.
    :param value: the number, and maybe a slash and a mask.
    """
    number, _, mask = value.partition("/")
    low = int(first or 0)
    if first is None:
        bits = int(mask, 0) if mask else 0xFFFFFFFF
    else:
        bits = (1 << int(last or first) - low + 1) - 1 << low
    return old & ~bits | int(number, 0) << low & bits


def _address(number: int) -> str:
    """Return the MAC address that a number means."""
    return number.to_bytes(6, "big").hex(":")
