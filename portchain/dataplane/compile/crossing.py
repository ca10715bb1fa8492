"""A crossing: packets of a path go from one host to a port of another one."""

from dataclasses import dataclass

from portchain.dataplane.compile.context import PathOnHost
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.pipeline import frame_ttl
from portchain.dataplane.plan import Segment, Source, Target

# Traffic class of the path's label: on the way to a function, or back to the origin after the last.
TO_FUNCTION, TO_ORIGIN = 0, 1


@dataclass(frozen=True, slots=True)
class Crossing:
    """What the sending and the receiving host need to know of packets between them.

    :param context: the path, on one of these hosts.
    :param to: the source or target that the packets are for.
    :param mac: MAC address of its port that they are for.
    :param index: index of the hop that they are about to visit.
    :param traffic_class: ``TO_FUNCTION`` or ``TO_ORIGIN``.
    """

    context: PathOnHost
    to: Source | Target
    mac: str
    index: int
    traffic_class: int

    @property
    def switch(self) -> LocalSwitch:
        """The switch of this host."""
        return self.context.switch

    @property
    def label(self) -> int:
        """The path's label."""
        return self.context.label

    @property
    def ttl(self) -> int:
        """The TTL of the path's label."""
        return frame_ttl(self.context.generation, self.index)

    @property
    def senders(self) -> list[str]:
        """The other hosts that send such packets, sorted."""
        return sorted(self.context.sender_hosts(self.index) - {self.switch.host})

    @property
    def segment(self) -> Segment | None:
        """The segment of the port that the packets are for."""
        if isinstance(self.to, Source):
            return self.to.segment
        is_ingress = self.traffic_class == TO_FUNCTION
        return self.to.ingress_segment if is_ingress else self.to.egress_segment

    @property
    def tunnel(self) -> int | None:
        """The OpenFlow port of br-tun that leads to the other host; None without a tunnel.

        On a host with br-chain it is a port of br-chain itself.
        """
        switch = self.switch
        has_br_tun = switch.patch_to_tun is not None and switch.patch_to_int is not None
        if not has_br_tun and not switch.has_br_chain:
            return None
        return switch.tunnels.get(self.to.tunnel_ip)
