"""The OVN driver: compile, write down who has to confirm, write the Northbound rows."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from oslo_log import log as logging

from portchain.core.model import (
    VLAN,
    ChainSnapshot,
    FailureMode,
    FunctionKind,
    HealthCheck,
    Port,
    PortPair,
    PortPairGroup,
)
from portchain.db import realisation
from portchain.drivers.base import (
    Capabilities,
    ChainsFailed,
    ChainStatusReporter,
    OwnChains,
    PeriodicTask,
    PortChainDriver,
)
from portchain.drivers.ovn import carry, checks, northbound, refusals
from portchain.drivers.ovn.commands import removal
from portchain.drivers.ovn.compile import MECHANISM, compile_chain
from portchain.drivers.ovn.confirm import Confirmation
from portchain.drivers.ovn.health import Health
from portchain.drivers.ovn.repair import Repair

LOG = logging.getLogger(__name__)


class OvnDriver(PortChainDriver):
    """Realises chains with rows of OVN's Northbound database, beside Neutron's mechanism driver ``ovn``."""

    name = "ovn"
    capabilities = Capabilities(
        lb_fields=frozenset({frozenset(), frozenset({"ip_src"})}),
        symmetric=True,
        asymmetric=False,
        pair_correlations=frozenset({None, VLAN}),
        function_kinds=frozenset({FunctionKind.L2}),
        ethertypes=frozenset({"IPv4", "IPv6"}),
        health_checks=frozenset(HealthCheck),
        failure_modes=frozenset(FailureMode),
    )

    def initialize(self, status: ChainStatusReporter) -> None:
        """Get ready to connect; each process connects when it first has to."""
        super().initialize(status)
        self._northbound, southbound = northbound.northbound(), northbound.southbound()
        self._health = Health(southbound)
        self._confirmation = Confirmation(self._northbound, southbound, self._health)
        self._repair = Repair(self._northbound, self._health)

    def claims(self, port: Port) -> bool:
        """Ports that ML2/OVN has bound."""
        return port.mechanism == MECHANISM

    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """Follow the chassis and the functions' health, repair what others changed, and look at everything now and then."""
        return (
            PeriodicTask("confirmation", 1, self._confirm),
            PeriodicTask("health", 1, self._follow_health),
            PeriodicTask("repair", 1, self._repair.run),
        )

    # Before the commit.

    def check_port_pair(self, pair: PortPair) -> None:
        """Refuse a function with a single port."""
        refusals.check_pair(pair)

    def check_port_pair_group(self, group: PortPairGroup) -> None:
        """Refuse too many pairs."""
        refusals.check_group(group)

    def check_port_chain(self, snapshot: ChainSnapshot) -> None:
        """Refuse what OVN cannot express, and what this OVN has no room for."""
        refusals.check_chain(snapshot)
        self._northbound.connect()
        ports = {name: replace(port, plugged=True) for name, port in snapshot.ports.items()}
        whole = compile_chain(replace(snapshot, ports=ports))
        checks.check_chain(self._northbound, snapshot, whole.rows)

    # After the commit.

    def create_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Write a new chain's rows."""
        self._realise(context, [snapshot])

    def update_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Make a chain's rows what they should be."""
        self._realise(context, [snapshot])

    def refresh_port_chains(self, context: Any, snapshots: Sequence[ChainSnapshot]) -> None:
        """Make several chains' rows what they should be, a transaction each."""
        self._realise(context, snapshots)

    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Remove a chain's rows and give its functions' ports back to their network."""
        self._northbound.run(removal(self._northbound, snapshot.chain.id))

    def freeze_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Keep what there is of a chain, and drop what it classifies and nothing takes."""
        carry.hold(self._northbound, snapshot)

    def _realise(self, context: Any, snapshots: Iterable[ChainSnapshot]) -> None:
        failures = self._try(context, snapshots)
        if failures:
            raise ChainsFailed(failures)

    def _try(self, context: Any, snapshots: Iterable[ChainSnapshot]) -> dict[str, Exception]:
        """Realise chains; return what went wrong with some of them, by their ids."""
        self._northbound.connect()
        failures: dict[str, Exception] = {}
        for snapshot in snapshots:
            try:
                self._realise_one(context, snapshot)
            except Exception as error:
                # The other chains of the call must not wait for this one to be put right.
                LOG.exception("Cannot write the rows of port chain %s", snapshot.chain.id)
                failures[snapshot.chain.id] = error
        return failures

    def _realise_one(self, context: Any, snapshot: ChainSnapshot) -> None:
        compiled = carry.compiled(self._northbound, self._health, snapshot)
        chain, obstacle = snapshot.chain, compiled.obstacle
        # Only where it is classified and where its functions are: a destination may be on another driver's host.
        functions = {port.name for port in compiled.rows.moved}
        functions |= {child.parent for child in compiled.rows.children}
        hosts = {snapshot.ports[name].host for name in {*compiled.rows.sources, *functions}} - {""}
        if realisation.record_plan(
            context,
            chain.id,
            chain.revision,
            hosts,
            down_reason=obstacle,
            warning=compiled.caution,
        ):
            carry.write(self._northbound, snapshot, compiled)

    def _confirm(self, context: Any, _chains: OwnChains) -> None:
        self._confirmation.run(context)

    def _follow_health(self, context: Any, chains: OwnChains) -> None:
        """Deal the traffic of chains anew of which a function went offline or came back, and say so in their status."""
        changed = self._health.changed()
        if not changed:
            return
        try:
            own = [one.snapshot for one in chains(context, changed) if not one.refusal]
            failures = self._try(context, own)
            for chain_id, error in failures.items():
                realisation.mark_failed(context, [chain_id], f"driver {self.name}: {error}")
            for snapshot in own:
                if snapshot.chain.id not in failures:
                    self._confirmation.review(context, snapshot.chain)
        except Exception:
            # Not one chain's: nobody knows which of them were looked at.
            self._health.later(changed)
            raise
