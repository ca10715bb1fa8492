"""The packet of a trace, and how ``ofproto/trace`` is told about it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from portchain.core.protocols import ICMP, ICMPV6, SCTP, TCP, UDP
from portchain.dataplane.match import protocol_words

_MPLS, _NSH = 0x8847, 0x894F
_TRANSPORTS = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}
_FIRST_TTL = 64
_SYN, _ACK = 0x002, 0x010


@dataclass(frozen=True, slots=True)
class Label:
    """An MPLS label with its traffic class and TTL."""

    value: int
    traffic_class: int = 0
    ttl: int = 255


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet of a trace, at one place of its way.

    :param eth_src: MAC address, ``xx:xx:xx:xx:xx:xx``; ``eth_dst`` likewise.
    :param ethertype: ``IPv4`` or ``IPv6``.
    :param source: IP address; ``destination`` likewise.
    :param protocol: IP protocol number.
    :param source_port: transport port; for ICMP, the type.
    :param destination_port: transport port; for ICMP, the code.
    :param is_established: whether it belongs to a connection that is open already.
    :param vlan: 0..4095; None if the frame is untagged.
    :param tunnel_id: of the tunnel that the packet is in.
    :param tunnel_metadata: what OVN writes beside it: the keys of the logical ports that the packet
        comes from and goes to (ovn-architecture(7)).
    :param labels: MPLS labels, the outermost one first.
    :param outer: source and destination MAC address of the Ethernet header around a chain frame,
        or around an NSH, which follows it; None if there is no other header than the packet's.
    :param nsh: service path identifier, service index and TTL (RFC 8300); None without NSH.
    """

    eth_src: str
    eth_dst: str
    ethertype: str
    source: str
    destination: str
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    is_established: bool = False
    vlan: int | None = None
    tunnel_id: int = 0
    labels: tuple[Label, ...] = ()
    outer: tuple[str, str] | None = None
    nsh: tuple[int, int, int] | None = None
    tunnel_metadata: int = 0

    @property
    def depth(self) -> int:
        """How many headers are in front of the IP packet, besides Ethernet."""
        return len(self.labels) + (self.nsh is not None)

    @property
    def bare(self) -> "Packet":
        """The packet without what hosts put around it."""
        bare = replace(self, labels=(), outer=None, nsh=None, vlan=None)
        return replace(bare, tunnel_id=0, tunnel_metadata=0)

    def flow_text(self, in_port: int, fields: Mapping[str, str] | None = None) -> str:
        """Return the packet in the notation of ``ofproto/trace``.

        :param in_port: OpenFlow port at which it arrives.
        :param fields: registers and other metadata with their values.
        """
        eth_src, eth_dst = self.outer or (self.eth_src, self.eth_dst)
        words = [f"in_port={in_port}", f"dl_src={eth_src}", f"dl_dst={eth_dst}"]
        words += [f"{name}={value}" for name, value in (fields or {}).items()]
        words += [f"tun_id={self.tunnel_id:#x}"] if self.tunnel_id else []
        words += [f"tun_metadata0={self.tunnel_metadata:#x}"] if self.tunnel_metadata else []
        words += [f"dl_vlan={self.vlan}"] if self.vlan is not None else []
        if self.nsh is not None:
            return ",".join([*words, *self._nsh_words(*self.nsh)])
        return ",".join([*words, *(self._label_words() if self.labels else self._ip_words())])

    @staticmethod
    def _nsh_words(path: int, index: int, ttl: int) -> list[str]:
        return [
            *(f"dl_type={_NSH:#x}", "nsh_mdtype=1", "nsh_np=3"),
            *(f"nsh_spi={path:#x}", f"nsh_si={index}", f"nsh_ttl={ttl}"),
        ]

    def _label_words(self) -> list[str]:
        label, last = self.labels[0], len(self.labels) == 1
        return [
            *(f"dl_type={_MPLS:#x}", f"mpls_label={label.value}", f"mpls_ttl={label.ttl}"),
            *(f"mpls_tc={label.traffic_class}", f"mpls_bos={int(last)}"),
        ]

    def _ip_words(self) -> list[str]:
        prefix = "nw" if self.ethertype == "IPv4" else "ipv6"
        words = [
            *protocol_words(self.ethertype, self.protocol),
            *(f"{prefix}_src={self.source}", f"{prefix}_dst={self.destination}"),
            f"nw_ttl={_FIRST_TTL}",
        ]
        if self.protocol in (ICMP, ICMPV6):
            kind = "icmp" if self.protocol == ICMP else "icmpv6"
            return [
                *words,
                f"{kind}_type={self.source_port}",
                f"{kind}_code={self.destination_port}",
            ]
        if name := _TRANSPORTS.get(self.protocol):
            words += [f"{name}_src={self.source_port}", f"{name}_dst={self.destination_port}"]
        if self.protocol == TCP:
            words.append(f"tcp_flags={_ACK if self.is_established else _SYN:#05x}")
        return words
