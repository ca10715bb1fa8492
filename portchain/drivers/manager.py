"""Loads the configured drivers, asks them before a change is written and tells them after it is."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import methodcaller
from typing import Any

from neutron_lib import exceptions as lib
from oslo_db import exception as db_exc
from oslo_log import log as logging
from stevedore import named

from portchain import errors
from portchain.core import capabilities
from portchain.core.model import ChainSnapshot, FlowClassifier, PortPair, PortPairGroup
from portchain.core.ownership import owner_of
from portchain.core.rules import Violation
from portchain.db import realisation, snapshots
from portchain.db.drift import digest
from portchain.drivers import periodic
from portchain.drivers.base import ChainsFailed, OwnChain, PortChainDriver

LOG = logging.getLogger(__name__)

NAMESPACE = "portchain.drivers"

_PAGE = 100
_UNBOUND = "No port of the chain is bound to a host, so none of the drivers has anything to do yet"

_CHECKS: Mapping[type, str] = {
    FlowClassifier: "check_flow_classifier",
    PortPair: "check_port_pair",
    PortPairGroup: "check_port_pair_group",
    ChainSnapshot: "check_port_chain",
}


def load(names: Sequence[str]) -> dict[str, PortChainDriver]:
    """Return new drivers by name.

    :param names: entry points in the namespace ``portchain.drivers``.
    :raises DriverNotLoaded: none is named, or one does not exist or cannot be imported; says which
        and what is available.
    """
    reasons: dict[str, str] = {}

    def ignore(_names: Any) -> None:
        """Say nothing yet: the exception below does."""

    def note(_manager: Any, entry_point: Any, error: BaseException) -> None:
        reasons[entry_point.name] = f"{type(error).__name__}: {error}"

    found = named.NamedExtensionManager(
        NAMESPACE,
        list(names),
        on_load_failure_callback=note,
        on_missing_entrypoints_callback=ignore,
    )
    available = ", ".join(sorted(found.entry_points_names())) or "none"
    if not names:
        raise errors.DriverNotLoaded(name="", reason="no driver is named", available=available)
    drivers: dict[str, PortChainDriver] = {}
    for name in names:
        if name not in found:
            reason = reasons.get(name, "there is no such driver")
            raise errors.DriverNotLoaded(name=name, reason=reason, available=available)
        drivers[name] = found[name].plugin()
    return drivers


@dataclass(frozen=True, slots=True)
class PendingNotifications:
    """What the drivers have to be told once a transaction is committed.

    :param created: ids of new chains. ``updated``: of chains that were changed themselves.
    :param refreshed: ids of chains that share what was changed.
    :param deleted: last states of chains that are gone.
    """

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    refreshed: list[str] = field(default_factory=list)
    deleted: list[ChainSnapshot] = field(default_factory=list)


class DriverManager:
    """All drivers as one."""

    def __init__(self, drivers: Mapping[str, PortChainDriver]) -> None:
        """Prepare the drivers.

        :param drivers: by name, in the order in which they are asked and told.
        """
        self._drivers = dict(drivers)
        for name, driver in self._drivers.items():
            driver.initialize()
            LOG.info("Port chain driver %s is ready", name)

    def rpc_endpoints(self) -> list[tuple[str, Sequence[Any]]]:
        """Return the topics to be served in the RPC server process, with their endpoints."""
        return [pair for driver in self._drivers.values() for pair in driver.rpc_endpoints()]

    def periodic_tasks(self) -> list[periodic.Runner]:
        """Return what the drivers want to do again and again."""
        return [
            periodic.Runner(name, task, partial(self._own_chains, name))
            for name, driver in self._drivers.items()
            for task in driver.periodic_tasks()
        ]

    def check(self, subject: capabilities.Subject) -> None:
        """Ask whether what is about to be written can be carried out: a chain, the driver that owns
        it; what may become part of any driver's chain, whether one of them can.

        :raises Violation: no driver owns the chain, or the driver's capabilities do not include it.
        :raises NeutronException: a driver refuses it for a reason of its own.
        """
        if isinstance(subject, ChainSnapshot):
            owner = owner_of(subject, self._drivers)
            if owner is not None:
                self._ask(owner, subject)
                return
        refusals: list[Exception] = []
        for name in self._drivers:
            try:
                self._ask(name, subject)
            except (Violation, lib.NeutronException) as refusal:
                refusals.append(refusal)
            else:
                return
        if refusals:
            raise refusals[0]

    def _ask(self, name: str, subject: capabilities.Subject) -> None:
        driver = self._drivers[name]
        capabilities.check(subject, driver.capabilities, name)
        getattr(driver, _CHECKS[type(subject)])(subject)

    # After the commit. Nothing here raises: the change is made and stays, whatever becomes of its
    # realisation.

    def tell(self, context: Any, due: PendingNotifications) -> None:
        """Tell the drivers what a transaction has changed."""
        self.create_port_chain(context, due.created)
        self.update_port_chain(context, due.updated)
        self.refresh_port_chains(context, due.refreshed)
        for snapshot in due.deleted:
            self.delete_port_chain(context, snapshot)

    def create_port_chain(self, context: Any, chain_ids: Iterable[str]) -> None:
        """Have new chains realised."""
        for snapshot in self._load(context, chain_ids):
            self._realise(context, [snapshot], methodcaller("create_port_chain", context, snapshot))

    def update_port_chain(self, context: Any, chain_ids: Iterable[str]) -> None:
        """Have chains realised in their present state, each by itself."""
        for snapshot in self._load(context, chain_ids):
            self._realise(context, [snapshot], methodcaller("update_port_chain", context, snapshot))

    def refresh_port_chains(self, context: Any, chain_ids: Iterable[str]) -> None:
        """Have chains realised in their present state; each driver gets all of its own in one call."""
        snapshots = self._load(context, chain_ids)
        if snapshots:
            self._realise(context, snapshots)

    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Have the realisation of a chain removed that is no longer in the database."""
        # No row is left to keep a failure in. Drivers are level-triggered: what they have realised
        # is compared with what should be there sooner or later.
        try:
            owner = owner_of(snapshot, self._drivers)
        except Violation:
            owner = None
        for name in self._drivers if owner is None else [owner]:
            self._tell(name, methodcaller("delete_port_chain", context, snapshot), [snapshot])

    def _load(self, context: Any, chain_ids: Iterable[str]) -> list[ChainSnapshot]:
        """Return the present state of chains.

        It is read after the commit: a port that changes meanwhile is either seen here, or its
        change sees the chain.
        """
        wanted = list(chain_ids)
        try:
            return snapshots.load(context, wanted) if wanted else []
        except db_exc.DBError:
            LOG.exception("Cannot load port chains %s; they wait for repair", ", ".join(wanted))
            return []

    def _own_chains(
        self, name: str, context: Any, chain_ids: Collection[str] | None
    ) -> Iterator[OwnChain]:
        """Yield the chains, all or some, that no other driver owns; loaded a page at a time."""
        ids = list(snapshots.chain_ids(context) if chain_ids is None else chain_ids)
        for start in range(0, len(ids), _PAGE):
            for snapshot in snapshots.load(context, ids[start : start + _PAGE]):
                owner, refusal = self._judged(snapshot)
                if owner in (name, ""):
                    yield OwnChain(snapshot, refusal)

    def _realise(
        self,
        context: Any,
        snapshots: Sequence[ChainSnapshot],
        tell: Callable[[Any], None] | None = None,
    ) -> None:
        """Tell the owners of chains about them and keep the outcome, by which the chains count as
        realised or are repaired.

        :param tell: calls a driver; without it, each owner is told to refresh all of its own.
        """
        try:
            for owner, own in self._by_owner(context, snapshots).items():
                call = tell or methodcaller("refresh_port_chains", context, own)
                failed = self._tell(owner, call, own) if owner else {}
                for failure in set(failed.values()):
                    ids = [chain_id for chain_id, reason in failed.items() if reason == failure]
                    realisation.mark_failed(context, ids, failure)
                done = [snapshot for snapshot in own if snapshot.chain.id not in failed]
                revisions = [(s.chain.id, s.chain.revision) for s in done]
                realisation.mark_realised(context, revisions, {s.chain.id: digest(s) for s in done})
        except db_exc.DBError:
            LOG.exception("Cannot note the outcome of port chains; they wait for repair")

    def _by_owner(
        self, context: Any, snapshots: Sequence[ChainSnapshot]
    ) -> dict[str, list[ChainSnapshot]]:
        """Sort chains by the drivers that own them now and can do them; note why others fail.

        Ports may have been bound elsewhere since a chain was accepted, and other drivers be
        configured. A chain that belongs to nobody until a port is bound is under the empty name.
        """
        found: dict[str, list[ChainSnapshot]] = defaultdict(list)
        for snapshot in snapshots:
            chain = snapshot.chain
            owner, refusal = self._judged(snapshot)
            if refusal and refusal != _UNBOUND:
                realisation.mark_failed(context, [chain.id], refusal)
                for name in [owner] if owner else self._drivers:
                    self._tell(name, methodcaller("hold_port_chain", context, snapshot), [snapshot])
                continue
            if refusal:
                realisation.record_plan(context, chain.id, chain.revision, (), down_reason=refusal)
            found[owner].append(snapshot)
        return found

    def _judged(self, snapshot: ChainSnapshot) -> tuple[str, str]:
        """Whose a chain is now, and why it cannot be carried out; empty if it is nobody's, or can be."""
        owner = ""
        try:
            owner = owner_of(snapshot, self._drivers) or ""
            if owner:
                self._ask(owner, snapshot)
        except (Violation, lib.NeutronException) as refusal:
            return owner, refusal.rule if isinstance(refusal, Violation) else str(refusal)
        except Exception as error:
            # As for `_tell`; and what comes after this chain must not wait for ever.
            LOG.exception("Port chain %s cannot be checked", snapshot.chain.id)
            return owner, _described(error)
        return owner, "" if owner else _UNBOUND

    def _tell(
        self, name: str, call: Callable[[Any], None], about: Sequence[ChainSnapshot]
    ) -> dict[str, str]:
        """Call a driver; return how it failed, by the ids of the chains for which it did."""
        try:
            call(self._drivers[name])
        except ChainsFailed as some:
            LOG.error("Port chain driver %s failed for %s", name, some)
            failures = some.failures
        except Exception as error:
            # The boundary to code of others, after the change is made: nobody is left to answer to.
            LOG.exception("Port chain driver %s failed", name)
            failures = {snapshot.chain.id: error for snapshot in about}
        else:
            return {}
        return {
            chain_id: f"driver {name}: {_described(error)}" for chain_id, error in failures.items()
        }


def _described(error: Exception) -> str:
    """An error for users: drivers say what they mean them to know, the database says what its tables are."""
    if isinstance(error, db_exc.DBError):
        return f"the database refused it ({type(error).__name__}); the log of the Neutron server has more"
    return str(error) or type(error).__name__
