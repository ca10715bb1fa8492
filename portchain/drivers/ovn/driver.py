"""The driver of OVN's hosts: plans chains as ``ovs`` does, and writes rows beside.

On these hosts chains are steered on a bridge of their own, in front of br-int. What that needs of
OVN is in the Northbound database: gates, by which packets leave and enter OVN's pipeline, and
guards, which drop what should have left it and did not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from neutron_lib.db import api as db_api

from portchain.core.model import ChainSnapshot, Port
from portchain.core.plan_records import PortChanges
from portchain.dataplane.planning.mtu import TunnelEnd
from portchain.db import realisation, writer
from portchain.drivers.base import ChainStatusReporter, OwnChains, PeriodicTask
from portchain.drivers.hosts.driver import HostDriver
from portchain.drivers.hosts.logical_ports import OVN_MECHANISM, LogicalPorts
from portchain.drivers.ovn import northbound, refusals
from portchain.drivers.ovn.northbound import Wanted, WriteChains
from portchain.drivers.ovn.rows import NOTHING, Phase
from portchain.drivers.ovn.upkeep import Renewal, Upkeep


class OvnDriver(HostDriver):
    """Realises chains on the hosts of Neutron's mechanism driver ``ovn``."""

    name = "ovn"
    has_chassis = True

    def initialize(self, status: ChainStatusReporter) -> None:
        """Prepare the connections; each process connects when it first has to."""
        super().initialize(status)
        self._northbound = northbound.open_database()
        self._logical_ports = LogicalPorts(self._northbound)
        self._upkeep = Upkeep(
            self._northbound, Renewal(self._increment_revisions, self._plan_again)
        )
        self._known_ends: dict[str, TunnelEnd] | None = None

    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """Complete and repair rows, and follow the hosts' tunnel endpoints."""
        return (
            *super().periodic_tasks(),
            PeriodicTask("rows", 1, self._upkeep.run),
            PeriodicTask("chassis", 5, self._follow_chassis),
        )

    def claims(self, port: Port) -> bool:
        """Claim ports that ML2/OVN has bound."""
        return port.mechanism == OVN_MECHANISM

    def observe(self, snapshot: ChainSnapshot) -> ChainSnapshot:
        """Return a chain in which ports that OVN has bound are plugged in.

        If the replica in this process is late, the periodic repair finds the chain again.
        """
        return self._logical_ports.without_seemingly_unplugged(snapshot)

    def check_port_chain(self, snapshot: ChainSnapshot) -> None:
        """Reject a chain that flows cannot realise, or that OVN cannot hand over to them."""
        refusals.check_chain(snapshot)
        super().check_port_chain(snapshot)

    def check_accepted_chain(self, snapshot: ChainSnapshot) -> None:
        """Do what ``check_port_chain`` does: rows are written before the chain is planned."""
        self.check_port_chain(snapshot)

    def _refresh(
        self, context: Any, snapshots: Sequence[ChainSnapshot], *, quiet: bool = False
    ) -> None:
        """Write the rows that the hosts will need, then plan the chains and notify the hosts.

        :raises Unreachable: the Northbound database does not answer; no host is notified.
        :raises ChainsFailed: some chains cannot be planned; the hosts are notified of the others.
        """
        wanted = [
            Wanted(chain.id, chain.revision, Phase.CHANGING, rows)
            for chain, rows in northbound.planned_rows(snapshots)
        ]
        if wanted:
            self._northbound.run(WriteChains(self._northbound, wanted))
        super()._refresh(context, snapshots, quiet=quiet)

    def refresh_changed_ports(
        self,
        context: Any,
        snapshots: Sequence[ChainSnapshot],
        changes: Mapping[str, PortChanges],
    ) -> None:
        """Do what ``refresh_port_chains`` does: rows depend on all ports.

        :raises Unreachable: see ``_refresh``.
        :raises ChainsFailed: some of the chains could not be realised.
        """
        self.refresh_port_chains(context, snapshots)

    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Remove the chain's guards, and notify its hosts. The gates are removed later.

        :raises Unreachable: the Northbound database does not answer; guards are removed later, too.
        """
        removed = Wanted(snapshot.chain.id, snapshot.chain.revision, Phase.REMOVED, NOTHING)
        try:
            self._northbound.run(WriteChains(self._northbound, [removed]))
        finally:
            super().delete_port_chain(context, snapshot)

    def _follow_chassis(self, context: Any, chains: OwnChains) -> None:
        """Plan the chains on hosts whose tunnel endpoints have changed."""
        ends = self._chassis.all_tunnel_ends()
        known = ends if self._known_ends is None else self._known_ends
        changed = {host for host in known | ends if known.get(host) != ends.get(host)}
        found = {chain for host in changed for chain in realisation.chains_on(context, host)}
        own = chains(context, found) if found else ()
        usable = [one.snapshot.chain.id for one in own if not one.refusal]
        self._increment_revisions(context, usable)
        self._known_ends = ends
        self._plan_again(context, usable)

    def _increment_revisions(self, context: Any, chain_ids: Sequence[str]) -> None:
        if chain_ids:
            with db_api.CONTEXT_WRITER.using(context) as session:
                writer.increment_revision(session, chain_ids)
