"""Loads the configured drivers, checks requests with them, and notifies them after the commit."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from neutron_lib import exceptions as lib
from oslo_db import exception as db_exc
from oslo_log import log as logging
from stevedore import named

from portchain import errors
from portchain.core import capabilities
from portchain.core.counters import HostCounts
from portchain.core.model import (
    ChainSnapshot,
    FlowClassifier,
    PortChain,
    PortPair,
    PortPairGroup,
)
from portchain.core.ownership import owner_of
from portchain.core.plan_records import PortChanges
from portchain.core.rules import Violation
from portchain.db import port_cache, snapshots
from portchain.db.drift import mark_realised
from portchain.drivers import periodic
from portchain.drivers.base import ChainsFailed, OwnChain, PortChainDriver
from portchain.drivers.status import DatabaseStatusReporter

LOG = logging.getLogger(__name__)

NAMESPACE = "portchain.drivers"

_PAGE = 100  # chains that are loaded at a time
_LONGEST_WAIT = 2.0  # seconds that a chain waits for ports that are being bound
_WAITS_AGAIN = 60.0  # seconds from one such wait of a chain to the next
_UNBOUND = "No port of the chain is bound to a host yet"

_NO_CHANGES: Mapping[str, PortChanges] = {}
_DriverCall = Callable[[PortChainDriver, Sequence[ChainSnapshot]], None]


def load(names: Sequence[str]) -> dict[str, PortChainDriver]:
    """Return new drivers by name.

    :param names: entry points in the namespace ``portchain.drivers``.
    :raises DriverNotLoaded: no name is given, or a driver does not exist or cannot be imported. The
        exception names the driver, the reason, and the drivers that are available.
    """
    reasons: dict[str, str] = {}

    def ignore_missing(_names: Any) -> None:
        """Missing drivers are reported below, with those that are available."""

    def keep_reason(_manager: Any, entry_point: Any, error: BaseException) -> None:
        reasons[entry_point.name] = f"{type(error).__name__}: {error}"

    found = named.NamedExtensionManager(
        NAMESPACE,
        list(names),
        on_load_failure_callback=keep_reason,
        on_missing_entrypoints_callback=ignore_missing,
    )
    available = ", ".join(sorted(found.entry_points_names())) or "none"
    if not names:
        raise errors.DriverNotLoaded(
            name="", reason="the option drivers is empty", available=available
        )
    drivers: dict[str, PortChainDriver] = {}
    for name in names:
        if name not in found:
            reason = reasons.get(name, "there is no driver with this name")
            raise errors.DriverNotLoaded(name=name, reason=reason, available=available)
        drivers[name] = found[name].plugin()
    return drivers


@dataclass(frozen=True, slots=True)
class PendingNotifications:
    """Changes that the drivers are notified of once a transaction is committed.

    :param created: new chains, as the transaction has written them.
    :param updated: ids of chains that were changed themselves.
    :param refreshed: ids of chains that share something that was changed.
    :param deleted: last states of deleted chains.
    """

    created: list[PortChain] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    refreshed: list[str] = field(default_factory=list)
    deleted: list[ChainSnapshot] = field(default_factory=list)


class _Assessment(NamedTuple):
    """The driver that owns a chain, and whether it can realise the chain.

    ``owner`` is empty while no port of the chain is bound, or if no driver can own the chain.
    ``refusal`` says why the chain cannot be realised as it is now; empty if it can.
    """

    owner: str
    refusal: str


class DriverManager:
    """Calls each driver for the chains that belong to it."""

    def __init__(self, drivers: Mapping[str, PortChainDriver]) -> None:
        """Initialize the drivers.

        :param drivers: by name, in the order in which they are called.
        """
        self._drivers = dict(drivers)
        self._status = DatabaseStatusReporter()
        self._waiting_since: dict[str, float] = {}  # chain id -> see `_without_waiting`
        for name, driver in self._drivers.items():
            driver.initialize(self._status)
            LOG.info("Port chain driver %s is ready", name)

    @property
    def all(self) -> list[PortChainDriver]:
        """The drivers, in the order in which they are called."""
        return list(self._drivers.values())

    def rpc_endpoints(self) -> list[tuple[str, Sequence[Any]]]:
        """Return the topics to serve in the RPC server process, with their endpoints."""
        return [pair for driver in self._drivers.values() for pair in driver.rpc_endpoints()]

    def periodic_tasks(self) -> list[periodic.Runner]:
        """Return the drivers' periodic tasks."""
        return [
            periodic.Runner(name, task, partial(self._own_chains, name))
            for name, driver in self._drivers.items()
            for task in driver.periodic_tasks()
        ]

    # Before anything is written.

    def check(self, subject: capabilities.Subject) -> None:
        """Check that drivers support what is about to be written.

        For a chain, the driver that owns it must support it. Anything else must be supported by at
        least one driver, because it may become part of any driver's chain.

        :raises Violation: no driver owns the chain, or the driver lacks a capability.
        :raises NeutronException: a driver rejects it for a reason of its own.
        """
        if isinstance(subject, ChainSnapshot):
            owner = owner_of(subject, self._drivers)
            if owner is not None:
                self._check_with(owner, subject)
                return
        refusals: list[Exception] = []
        for name in self._drivers:
            try:
                self._check_with(name, subject)
            except (Violation, lib.NeutronException) as refusal:
                refusals.append(refusal)
            else:
                return
        if refusals:
            raise refusals[0]

    def check_accepted(self, snapshot: ChainSnapshot) -> None:
        """Check that the owner of a chain supports it still, of which only weights change.

        :raises Violation: as ``check``, but for what drivers find out when they realise the chain.
        :raises NeutronException: as ``check``.
        """
        owner = owner_of(snapshot, self._drivers)
        if owner is None:
            self.check(snapshot)
        else:
            self._check_accepted_with(owner, snapshot)

    def _check_accepted_with(self, name: str, snapshot: ChainSnapshot) -> None:
        capabilities.check(snapshot, self._drivers[name].capabilities, name)
        self._drivers[name].check_accepted_chain(snapshot)

    def _check_with(self, name: str, subject: capabilities.Subject) -> None:
        driver = self._drivers[name]
        capabilities.check(subject, driver.capabilities, name)
        match subject:
            case FlowClassifier():
                driver.check_flow_classifier(subject)
            case PortPair():
                driver.check_port_pair(subject)
            case PortPairGroup():
                driver.check_port_pair_group(subject)
            case ChainSnapshot():
                driver.check_port_chain(subject)

    # After the commit. Nothing below raises: the change is made, and stays made if its realisation
    # fails.

    def notify(self, context: Any, pending: PendingNotifications) -> list[ChainSnapshot]:
        """Notify the drivers of what a transaction has changed.

        :returns: the new chains, as far as they could be loaded.
        """
        created = self.create_port_chain(context, pending.created)
        self.update_port_chain(context, pending.updated)
        self.refresh_port_chains(context, pending.refreshed)
        for snapshot in pending.deleted:
            self.delete_port_chain(context, snapshot)
        return created

    def create_port_chain(self, context: Any, created: Sequence[PortChain]) -> list[ChainSnapshot]:
        """Have new chains realised, and return what they were realised from."""

        def create(driver: PortChainDriver, chains: Sequence[ChainSnapshot]) -> None:
            for chain in chains:
                driver.create_port_chain(context, chain)

        loaded = self._load_new(context, created)
        for snapshot in self._without_waiting(loaded):
            self._realise(context, [snapshot], create)
        return loaded

    def repair_port_chain(self, context: Any, chain_ids: Iterable[str]) -> None:
        """Have chains realised that have waited for long, whatever they have waited for."""
        self._update(context, self._load(context, chain_ids))

    def update_port_chain(self, context: Any, chain_ids: Iterable[str]) -> None:
        """Have changed chains realised, with one call of a driver for each."""
        self._update(context, self._without_waiting(self._load(context, chain_ids)))

    def _update(self, context: Any, chains: Iterable[ChainSnapshot]) -> None:

        def update(driver: PortChainDriver, chains: Sequence[ChainSnapshot]) -> None:
            for chain in chains:
                driver.update_port_chain(context, chain)

        for snapshot in chains:
            self._realise(context, [snapshot], update)

    def refresh_port_chains(self, context: Any, chain_ids: Iterable[str]) -> None:
        """Have chains realised, with one call of each driver for all of its chains."""

        def refresh(driver: PortChainDriver, chains: Sequence[ChainSnapshot]) -> None:
            driver.refresh_port_chains(context, chains)

        chains = self._without_waiting(self._load(context, chain_ids))
        if chains:
            self._realise(context, chains, refresh)

    def refresh_changed_ports(self, context: Any, chain_ids: Sequence[str]) -> None:
        """Have chains realised of which ports have changed.

        As ``refresh_port_chains``; but what has not changed is read from caches.
        """
        try:
            loaded, changes = snapshots.load_after_events(context, chain_ids)
        except db_exc.DBError:
            LOG.exception("Cannot load port chains %s; retrying later", ", ".join(chain_ids))
            return

        def refresh(driver: PortChainDriver, chains: Sequence[ChainSnapshot]) -> None:
            own = {one.chain.id for one in chains} & changes.keys()
            driver.refresh_changed_ports(context, chains, {one: changes[one] for one in own})

        chains = self._without_waiting(loaded)
        if chains:
            self._realise(context, chains, refresh, changes)

    def observed(self, snapshot: ChainSnapshot) -> ChainSnapshot:
        """Return a chain as its owner would realise it now, see ``PortChainDriver.observe``."""
        try:
            owner = owner_of(snapshot, self._drivers)
        except Violation:
            return snapshot
        return self._observed(owner or "", snapshot)

    def _observed(self, owner: str, snapshot: ChainSnapshot) -> ChainSnapshot:
        """Return a chain as a driver would realise it now; unchanged if the name is empty."""
        try:
            return self._drivers[owner].observe(snapshot) if owner else snapshot
        except Exception:
            LOG.exception("Driver %s cannot look at port chain %s", owner, snapshot.chain.id)
            return snapshot

    def read_counters(self, context: Any, snapshot: ChainSnapshot) -> HostCounts | None:
        """Ask the network what it has counted of a chain.

        :returns: None if no driver owns the chain, or its driver does not count.
        """
        try:
            owner = owner_of(snapshot, self._drivers)
        except Violation:
            return None
        return self._drivers[owner].read_counters(context, snapshot.chain.id) if owner else None

    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Have the realisation of a deleted chain removed."""

        def delete(driver: PortChainDriver, chains: Sequence[ChainSnapshot]) -> None:
            for chain in chains:
                driver.delete_port_chain(context, chain)

        # A failure is not recorded, because the chain's row is gone. The periodic comparison of the
        # driver removes what is left.
        try:
            owner = owner_of(snapshot, self._drivers)
        except Violation:
            owner = None
        for name in self._drivers if owner is None else [owner]:
            self._call(name, delete, [snapshot])

    def _without_waiting(self, chains: Iterable[ChainSnapshot]) -> list[ChainSnapshot]:
        """Leave out chains with a port that Neutron is about to bind, for a moment.

        If the profile of a binding changes, as at the beginning of a live migration, Neutron takes
        the binding away, reports that, and binds the port again. The port's packets would bypass
        the chain in between. The chain is realised when Neutron reports the new binding; if that
        never comes, by the periodic repair. Machines that boot without a pause on a chain's network
        must not keep it waiting: a chain waits once in ``_WAITS_AGAIN`` seconds.
        """
        now, ready = time.monotonic(), []
        for snapshot in chains:
            chain_id = snapshot.chain.id
            if not any(port.being_bound for port in snapshot.ports.values()):
                self._waiting_since.pop(chain_id, None)
                ready.append(snapshot)
                continue
            waited = now - self._waiting_since.get(chain_id, -_WAITS_AGAIN)
            if waited >= _WAITS_AGAIN:
                self._waiting_since[chain_id] = now
            elif waited >= _LONGEST_WAIT:
                ready.append(snapshot)
        return ready

    def _freeze_port_chain(self, context: Any, snapshot: ChainSnapshot, owner: str) -> None:
        """Have a chain frozen by its owner; by all drivers if it has none."""

        def freeze(driver: PortChainDriver, chains: Sequence[ChainSnapshot]) -> None:
            for chain in chains:
                driver.freeze_port_chain(context, chain)

        for name in [owner] if owner else self._drivers:
            self._call(name, freeze, [snapshot])

    def _load(self, context: Any, chain_ids: Iterable[str]) -> list[ChainSnapshot]:
        """Return the present state of chains.

        This reads after the commit, so that no change of a port is lost: either the port's change
        is visible here, or the handler of that change sees the chain.
        """
        wanted = list(chain_ids)
        return _loaded(lambda: snapshots.load(context, wanted), wanted)

    def _load_new(self, context: Any, created: Sequence[PortChain]) -> list[ChainSnapshot]:
        """Return new chains with the present state of their ports, read after the commit, too."""
        ids = [chain.id for chain in created]
        return _loaded(lambda: snapshots.of_new_chains(context, created), ids)

    def _own_chains(
        self, name: str, context: Any, chain_ids: Collection[str] | None
    ) -> Iterator[OwnChain]:
        """Yield the chains that belong to a driver or to none, loading a page at a time.

        :param chain_ids: the chains to look at; None for all.
        """
        ids = list(snapshots.chain_ids(context) if chain_ids is None else chain_ids)
        for start in range(0, len(ids), _PAGE):
            for snapshot in snapshots.load(context, ids[start : start + _PAGE]):
                owner, refusal = self._assess(snapshot)
                if owner in (name, ""):
                    yield OwnChain(snapshot, refusal)

    def _realise(
        self,
        context: Any,
        chains: Sequence[ChainSnapshot],
        call: _DriverCall,
        changes: Mapping[str, PortChanges] = _NO_CHANGES,
    ) -> None:
        """Have the owners realise chains, and record for each chain whether that succeeded.

        :param call: calls a driver for its chains.
        :param changes: chain id -> changes that need not be passed again after a success.
        """
        try:
            for owner, stored in self._by_owner(context, chains).items():
                # Looked at once: the digest below is of what the driver has realised.
                own = [self._observed(owner, snapshot) for snapshot in stored]
                failed = self._call(owner, call, own) if owner else {}
                for failure in set(failed.values()):
                    ids = [chain_id for chain_id, reason in failed.items() if reason == failure]
                    self._status.mark_failed(context, ids, failure)
                done = [snapshot for snapshot in own if snapshot.chain.id not in failed]
                mark_realised(context, done)
                successful = {one.chain.id for one in done} & changes.keys()
                events = {event for one in successful for event in changes[one].events}
                port_cache.forget_events(context, events)
        except db_exc.DBError:
            LOG.exception("Cannot record whether port chains are realised; retrying later")

    def _by_owner(
        self, context: Any, chains: Sequence[ChainSnapshot]
    ) -> dict[str, list[ChainSnapshot]]:
        """Sort chains by the drivers that own them; freeze those that cannot be realised.

        A chain was checked when it was accepted. Since then, its ports may have moved, or other
        drivers been configured.

        :returns: driver's name -> chains; under the empty name chains without a bound port.
        """
        found: dict[str, list[ChainSnapshot]] = defaultdict(list)
        for snapshot in chains:
            chain = snapshot.chain
            owner, refusal = self._assess(snapshot)
            if refusal and refusal != _UNBOUND:
                self._status.mark_failed(context, [chain.id], refusal)
                self._freeze_port_chain(context, snapshot, owner)
                continue
            if refusal:
                self._status.record_plan(context, chain.id, chain.revision, (), down_reason=refusal)
            found[owner].append(snapshot)
        return found

    def _assess(self, snapshot: ChainSnapshot) -> _Assessment:
        """Return which driver a chain belongs to now, and why it cannot be realised."""
        owner = ""
        try:
            owner = owner_of(snapshot, self._drivers) or ""
            if owner:
                self._check_accepted_with(owner, snapshot)
        except (Violation, lib.NeutronException) as refusal:
            reason = refusal.rule if isinstance(refusal, Violation) else str(refusal)
            return _Assessment(owner, reason)
        except Exception as error:
            # A driver's mistake must not keep the chains after this one from being realised.
            LOG.exception("Cannot check port chain %s", snapshot.chain.id)
            return _Assessment(owner, _reason(error))
        return _Assessment(owner, "" if owner else _UNBOUND)

    def _call(
        self, name: str, call: _DriverCall, chains: Sequence[ChainSnapshot]
    ) -> dict[str, str]:
        """Call a driver for chains.

        :returns: chain id -> reason, for the chains for which the driver failed.
        """
        try:
            call(self._drivers[name], chains)
        except ChainsFailed as some:
            LOG.error("Port chain driver %s failed for %s", name, some)
            failures = some.failures
        except Exception as error:
            # Drivers are other people's code, and the request is committed: no caller can handle
            # the error.
            LOG.exception("Port chain driver %s failed", name)
            failures = {snapshot.chain.id: error for snapshot in chains}
        else:
            return {}
        return {
            chain_id: error.rule
            if isinstance(error, Violation)
            else f"driver {name}: {_reason(error)}"
            for chain_id, error in failures.items()
        }


def _reason(error: Exception) -> str:
    """Return an error's text for users. A database error's text would show them SQL."""
    if isinstance(error, db_exc.DBError):
        return f"the database failed ({type(error).__name__}); see the log of the Neutron server"
    return str(error) or type(error).__name__


def _loaded(load: Callable[[], list[ChainSnapshot]], ids: Sequence[str]) -> list[ChainSnapshot]:
    """Return chains; none if the database fails. The search for unrealised chains retries."""
    try:
        return load() if ids else []
    except db_exc.DBError:
        LOG.exception("Cannot load port chains %s; retrying later", ", ".join(ids))
        return []
