"""The common driver API: what the driver manager calls to realise port chains in a network.

This API is stable. A driver, in this repository or in a package of its own, may import

* ``portchain.drivers.base``: the classes below;
* ``portchain.core`` and its modules: chains as values (``model``), the rules and ``Violation``
  (``rules``), kinds of functions (``function_kinds``), the wording of reasons (``availability``).

Until the release notes of a major version announce otherwise, it is promised that

* methods of ``PortChainDriver`` keep their names and parameters. New ones come with a default, so
  that an existing driver keeps working.
* fields of ``Capabilities``, of ``ChainStatusReporter`` and of the classes in ``model`` are added,
  not removed. A capability that a driver does not name is one that it does not have.
* the manager calls a driver as ``docs/drivers.md`` describes.

Nothing else in ``portchain`` is promised: not the database, the RPC, or the data plane of the
driver ``ovs``.

Drivers are level-triggered: the manager says *which* chains may have changed, and passes their
whole present state. A driver that is called twice, or once for several changes, must arrive at the
same realisation.
"""

import abc
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portchain.core.capabilities import Capabilities
from portchain.core.counters import HostCounts
from portchain.core.model import (
    ChainSnapshot,
    FlowClassifier,
    HostReport,
    Port,
    PortPair,
    PortPairGroup,
)
from portchain.core.plan_records import HostChanges, PlanRecord, PortChanges

__all__ = [
    "Capabilities",
    "ChainStatusReporter",
    "ChainsFailed",
    "OwnChain",
    "OwnChains",
    "PeriodicTask",
    "PortChainDriver",
]


@dataclass(frozen=True, slots=True)
class OwnChain:
    """The present state of a chain that belongs to the driver, or to no driver.

    :param refusal: why no driver can realise the chain as it is now; empty if the driver can. Keep
        the existing steering of such a chain, and drop traffic that would bypass it, as in
        ``PortChainDriver.freeze_port_chain``.
    """

    snapshot: ChainSnapshot
    refusal: str = ""


OwnChains = Callable[[Any, Collection[str] | None], Iterator[OwnChain]]
"""Called with a context and chain ids (None for all chains); yields those that the driver has to
realise or freeze. The driver removes what it finds of any other chain.
"""


class ChainsFailed(Exception):  # noqa: N818 - the other chains of the call succeeded
    """Some chains of a call could not be realised, each for a reason of its own.

    :param failures: chain id -> exception. All other chains of the call were realised.
    """

    def __init__(self, failures: Mapping[str, Exception]) -> None:
        reasons = "; ".join(f"{chain_id}: {error}" for chain_id, error in failures.items())
        super().__init__(f"{len(failures)} port chains: {reasons}")
        self.failures = dict(failures)


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """Work that a driver repeats at intervals, in the process of Neutron's periodic workers.

    :param name: names the task in the log.
    :param interval: seconds from the end of one run to the start of the next.
    :param run: called with an administrator's context and the driver's chains.
    """

    name: str
    interval: float
    run: Callable[[Any, OwnChains], None]


class ChainStatusReporter(abc.ABC):
    """Records how far chains are realised; their status in the API follows from it.

    Each method runs in one transaction, in that of the context if it has one. Calls may be
    repeated, late or out of order: anything older than what is recorded is ignored.
    """

    @abc.abstractmethod
    def record_plan(
        self,
        context: Any,
        chain_id: str,
        revision: int,
        hosts: Iterable[str],
        *,
        down_reason: str = "",
        warning: str = "",
        packet_hosts: Collection[str] = (),
    ) -> bool:
        """Record which hosts have to confirm a revision of a chain, before they are notified.

        The chain is in BUILD until all of them confirm. Without hosts, it is ACTIVE once the
        driver's method returns.

        :param down_reason: why the chain cannot forward traffic even when all hosts have confirmed,
            for its owner; the chain is DOWN then. Empty if it can.
        :param warning: what is wrong although the chain forwards traffic; shown in its
            ``status_reason``. Empty if nothing is.
        :param packet_hosts: for the drivers of agents and controllers: which of the hosts accept
            packets in MPLS, by the plan.
        :returns: False if a newer revision is recorded, or the chain was deleted: nothing is
            recorded then, and the driver has nothing to do.
        """

    @abc.abstractmethod
    def record_plans(
        self, context: Any, records: Sequence[PlanRecord], *, quiet: Collection[str] = ()
    ) -> Mapping[str, HostChanges]:
        """Record the plans of several chains, for drivers that know what each host must know.

        A host whose part is the same as before is neither notified nor waited for: it keeps the
        revision that it has.

        :param records: at most one for each chain.
        :param quiet: chains whose status must not change: hosts that had confirmed the plan before
            count as if they had confirmed this one.
        :returns: chain id -> which hosts to notify. Without the chains for which ``record_plan``
            returns False.
        """

    @abc.abstractmethod
    def confirm(
        self, context: Any, host: str, reports: Sequence[HostReport]
    ) -> Mapping[str, Sequence[tuple[str, int]]]:
        """Record what a host has done.

        :param reports: at most one for each chain. Reports about chains or revisions that nobody
            expects of the host are ignored.
        :returns: host -> (chain id, revision) pairs that all hosts of the chain have prepared with
            this report, and that the host has not applied yet. For drivers that change chains in
            two phases, see ``HostReport.prepared``.
        """

    @abc.abstractmethod
    def mark_failed(self, context: Any, chain_ids: Iterable[str], reason: str) -> None:
        """Set chains to ERROR; the manager has them realised again some seconds later.

        For failures outside of the manager's calls, such as in a periodic task. Within a call,
        raise an exception instead.

        :param reason: shown to the chains' owners.
        """

    @abc.abstractmethod
    def hosts_of(self, context: Any, chain_ids: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """Return the hosts recorded for each chain; chains without hosts are left out."""

    @abc.abstractmethod
    def expected_on(self, context: Any, host: str) -> Mapping[str, int]:
        """Return the chains that a host has to realise, as chain id -> revision."""

    @abc.abstractmethod
    def ready_on(self, context: Any, host: str) -> Sequence[tuple[str, int]]:
        """Return the (chain id, revision) pairs that all hosts have prepared and this one has not
        applied yet.
        """


class PortChainDriver(abc.ABC):
    """Realises port chains in a network.

    ``check_*`` methods run before anything is written. They reject a request by raising a
    ``portchain.core.rules.Violation`` or a ``NeutronException``. All other methods run after the
    commit: an exception does not undo the change. The chain's status becomes ERROR with the
    exception's text, and the manager calls the driver again later. ``ChainsFailed`` does the same
    to some of the chains of a call.
    """

    name: str = ""
    capabilities: Capabilities = Capabilities()
    status: ChainStatusReporter

    def initialize(self, status: ChainStatusReporter) -> None:
        """Prepare the driver; called once in each server process, before the first request.

        :param status: records the status of chains; afterwards available as ``self.status``.
        """
        self.status = status

    def rpc_endpoints(self) -> Sequence[tuple[str, Sequence[Any]]]:
        """Return the topics to serve in the RPC server process, each with its endpoint objects."""
        return ()

    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """Return what to run at intervals, such as a comparison of the network with all chains."""
        return ()

    @abc.abstractmethod
    def claims(self, port: Port) -> bool:
        """Return whether this driver programs the switch behind a bound port.

        A chain belongs to the driver that claims all of its bound ports.
        """

    def observe(self, snapshot: ChainSnapshot) -> ChainSnapshot:
        """Return a chain with what the driver's network knows better than Neutron's database.

        What this returns is realised. It is asked again later: if it differs then from what was
        realised, the chain is realised again. Must not raise or change anything.
        """
        return snapshot

    def read_counters(self, context: Any, chain_id: str) -> HostCounts | None:
        """Ask the network what it has counted of a chain that belongs to the driver.

        :returns: None if the driver's network does not count.
        """
        return None

    # For what ``capabilities`` cannot express. These run before anything is written.

    def check_flow_classifier(self, classifier: FlowClassifier) -> None:
        """Reject a classifier that the driver cannot match."""

    def check_port_pair(self, pair: PortPair) -> None:
        """Reject a port pair that the driver cannot send packets through."""

    def check_port_pair_group(self, group: PortPairGroup) -> None:
        """Reject a group that the driver cannot balance over."""

    def check_port_chain(self, snapshot: ChainSnapshot) -> None:
        """Reject a chain that the driver cannot realise."""

    def check_accepted_chain(self, snapshot: ChainSnapshot) -> None:
        """Reject a chain that was accepted, and that the driver cannot realise any more.

        Since it was accepted, ports, weights of pairs, or the configuration may have changed. A
        driver can leave out what it finds out, and raises, when it realises the chain.
        """
        self.check_port_chain(snapshot)

    # After the commit.

    @abc.abstractmethod
    def create_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Realise a new chain."""

    @abc.abstractmethod
    def update_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Bring the realisation of a chain to its present state."""

    @abc.abstractmethod
    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Remove the realisation of a chain.

        :param snapshot: the last state of the chain, which is no longer in the database.
        """

    def refresh_port_chains(self, context: Any, snapshots: Sequence[ChainSnapshot]) -> None:
        """Bring several chains to their present state.

        Called when something changed that they share: a group, a pair or a port.

        :raises ChainsFailed: some of the chains could not be realised.
        """
        for snapshot in snapshots:
            self.update_port_chain(context, snapshot)

    def refresh_changed_ports(
        self,
        context: Any,
        snapshots: Sequence[ChainSnapshot],
        changes: Mapping[str, PortChanges],
    ) -> None:
        """Bring several chains to their present state, of which ports have changed.

        For drivers that need not look at what has not changed. May not rely on it that a call with
        earlier changes was successful: changes are passed until a call is.

        :param changes: chain id -> what has changed since the last successful call. Anything may
            have changed of chains that are left out.
        :raises ChainsFailed: some of the chains could not be realised.
        """
        self.refresh_port_chains(context, snapshots)

    def freeze_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Keep the existing steering of a chain that cannot be realised as it is now, and drop
        traffic that would bypass the chain.

        The chain may have belonged to another driver before.
        """
