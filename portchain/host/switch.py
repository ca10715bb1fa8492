"""The interface between what decides about a host's flows and its Open vSwitch."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from portchain.core.counters import Count
from portchain.dataplane.counting import Learned
from portchain.dataplane.datapath import Feature
from portchain.dataplane.diff import Batch
from portchain.dataplane.flow import FlowKey, SwitchEntry
from portchain.dataplane.host_switch import HostNeeds, LocalSwitch
from portchain.host.health.channel import PacketChannel


class Switch(Protocol):
    """The bridges of one host; ``portchain.host.open_vswitch.OpenVSwitch`` is the implementation.

    Every method raises an exception if the switch or its database refuses or does not answer. The
    type depends on the implementation.

    :ivar lacks: as in ``LocalSwitch``; it may change at any time.
    """

    lacks: frozenset[Feature]

    def provide(self, needs: HostNeeds) -> None:
        """Note what all chains of the host need. ``read_ports`` provides it, if it can.

        Not called before the needs of all chains are known.
        """

    def read_ports(self) -> LocalSwitch:
        """Return the ports, tunnels and patch ports that the host has now."""

    def dump_entries(self) -> Iterable[SwitchEntry]:
        """Return our flows on all bridges, and our settings of ports.

        If it is a ``Dump``, comparisons parse only what has changed since the one before.
        """

    def read_counts(self, keys: Collection[FlowKey]) -> Mapping[FlowKey, Count]:
        """Return what those of some flows have counted that are there.

        The switch may not have counted the packets of the last second yet.
        """

    def count_learned(self, labels: Collection[int]) -> Mapping[Learned, int]:
        """Return how many flows the switch has learned for each pair of some paths, and others.

        :param labels: of the paths, see ``pipeline.path_label``.
        """

    def limit_tables(self, limits: Mapping[int, int]) -> None:
        """Limit the number of flows in tables of br-int.

        :param limits: table -> largest number of flows. Limits of other tables of ours are removed.
        """

    def open_channel(self, *, to_tunnels: bool = False) -> PacketChannel:
        """Return a new connection for frames to and from the ports of functions.

        :param to_tunnels: or to and from the tunnels to other hosts.
        """

    def apply(self, batch: Batch) -> None:
        """Apply a batch. Its flows are one bundle: the switch accepts all of them or none."""
