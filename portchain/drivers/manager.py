"""Loads the configured drivers, asks them before a change is written and tells them after it is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Any

from oslo_db import exception as db_exc
from oslo_log import log as logging
from stevedore import named

from portchain import errors
from portchain.db import realisation, repository
from portchain.drivers import capabilities
from portchain.drivers.base import PortChainDriver
from portchain.model import ChainSnapshot, FlowClassifier, PortPair, PortPairGroup

LOG = logging.getLogger(__name__)

NAMESPACE = "portchain.drivers"

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
class Due:
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

    def check(self, subject: capabilities.Subject) -> None:
        """Ask every driver whether it can do what is about to be written.

        :raises Violation: a driver's capabilities do not include it.
        :raises NeutronException: a driver refuses it for a reason of its own.
        """
        for name, driver in self._drivers.items():
            capabilities.check(subject, driver.capabilities, name)
            getattr(driver, _CHECKS[type(subject)])(subject)

    # After the commit. Nothing here raises: the change is made and stays, whatever becomes of its
    # realisation.

    def tell(self, context: Any, due: Due) -> None:
        """Tell the drivers what a transaction has changed."""
        self.create_port_chain(context, due.created)
        self.update_port_chain(context, due.updated)
        self.refresh_port_chains(context, due.refreshed)
        for snapshot in due.deleted:
            self.delete_port_chain(context, snapshot)

    def create_port_chain(self, context: Any, chain_ids: Iterable[str]) -> None:
        """Have new chains realised."""
        for snapshot in self._load(context, chain_ids):
            tell = methodcaller("create_port_chain", context, snapshot)
            self._realise(context, [snapshot], tell)

    def update_port_chain(self, context: Any, chain_ids: Iterable[str]) -> None:
        """Have chains realised in their present state, each by itself."""
        for snapshot in self._load(context, chain_ids):
            tell = methodcaller("update_port_chain", context, snapshot)
            self._realise(context, [snapshot], tell)

    def refresh_port_chains(self, context: Any, chain_ids: Iterable[str]) -> None:
        """Have chains realised in their present state; each driver gets all of them in one call."""
        snapshots = self._load(context, chain_ids)
        if snapshots:
            tell = methodcaller("refresh_port_chains", context, snapshots)
            self._realise(context, snapshots, tell)

    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Have the realisation of a chain removed that is no longer in the database."""
        # No row is left to keep a failure in. Drivers are level-triggered: what they have realised
        # is compared with what should be there sooner or later.
        self._tell(methodcaller("delete_port_chain", context, snapshot))

    def _load(self, context: Any, chain_ids: Iterable[str]) -> list[ChainSnapshot]:
        """Return the present state of chains.

        It is read after the commit: a port that changes meanwhile is either seen here, or its
        change sees the chain.
        """
        wanted = list(chain_ids)
        try:
            return repository.snapshots(context, wanted) if wanted else []
        except db_exc.DBError:
            LOG.exception("Cannot load port chains %s; they wait for repair", ", ".join(wanted))
            return []

    def _realise(
        self, context: Any, snapshots: Sequence[ChainSnapshot], tell: Callable[[Any], None]
    ) -> None:
        """Tell the drivers about chains and keep the outcome, by which the chains count as realised
        or are repaired.
        """
        failures = self._tell(tell)
        try:
            if failures:
                realisation.fail_all(context, [s.chain.id for s in snapshots], "; ".join(failures))
            else:
                realisation.settle(context, [(s.chain.id, s.chain.revision) for s in snapshots])
        except db_exc.DBError:
            LOG.exception("Cannot note the outcome of port chains; they wait for repair")

    def _tell(self, call: Callable[[Any], None]) -> list[str]:
        """Call every driver; return how those that failed did."""
        failures = []
        for name, driver in self._drivers.items():
            try:
                call(driver)
            except Exception as error:
                # The boundary to code of others, after the change is made: nobody is left to answer
                # to.
                LOG.exception("Port chain driver %s failed", name)
                failures.append(f"driver {name}: {error}")
        return failures
