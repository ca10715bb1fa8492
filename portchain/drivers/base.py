"""The common driver API: what the driver manager asks of whatever realises port chains.

A driver is level-triggered: it is told *which* chains may have changed and gets their whole present state. Being told twice,
or of several changes at once, must end in the same realisation.
"""

import abc
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portchain.core.capabilities import Capabilities
from portchain.core.model import (
    ChainSnapshot,
    FlowClassifier,
    Port,
    PortPair,
    PortPairGroup,
)

__all__ = [
    "Capabilities",
    "ChainsFailed",
    "OwnChain",
    "OwnChains",
    "PeriodicTask",
    "PortChainDriver",
]


@dataclass(frozen=True, slots=True)
class OwnChain:
    """The present state of a chain that is not another driver's.

    :param refusal: why no driver can carry it out as it is now; empty if the driver can. What there is of such a chain stays,
        and what of its traffic is let by is held back.
    """

    snapshot: ChainSnapshot
    refusal: str = ""


OwnChains = Callable[[Any, Collection[str] | None], Iterator[OwnChain]]
"""Called with a context and chain ids (None for all); yields those of the chains that are a driver's to realise. What a driver
finds of any other chain is to be removed.
"""


class ChainsFailed(Exception):  # noqa: N818 - the others of the same call did not
    """Some of several chains could not be carried out, each for a reason of its own; the others were.

    :param failures: chain id -> what went wrong.
    """

    def __init__(self, failures: Mapping[str, Exception]) -> None:
        reasons = "; ".join(f"{chain_id}: {error}" for chain_id, error in failures.items())
        super().__init__(f"{len(failures)} port chains: {reasons}")
        self.failures = dict(failures)


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """Something a driver does at intervals, in the process of Neutron's periodic workers.

    :param interval: seconds from the end of one run to the start of the next.
    :param run: called with an administrator's context and the driver's chains.
    """

    name: str
    interval: float
    run: Callable[[Any, OwnChains], None]


class PortChainDriver(abc.ABC):
    """Realises port chains in a network.

    ``check_*`` methods run before anything is written and refuse by raising an exception of ``portchain.errors`` or a
    ``rules.Violation``; the others run after the commit. An exception from those does not undo the change: the chain's status
    becomes ERROR with the exception's text, and the manager tries again later. ``ChainsFailed`` does so to some of the chains
    of a call.
    """

    name: str = ""
    capabilities: Capabilities = Capabilities()

    def initialize(self) -> None:
        """Prepare the driver; called once in each server process, before the first request."""

    def rpc_endpoints(self) -> Sequence[tuple[str, Sequence[Any]]]:
        """Topics the driver wants to be served in the RPC server process, each with its endpoint objects."""
        return ()

    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """What the driver wants to be called for again and again, e.g. to compare and repair."""
        return ()

    @abc.abstractmethod
    def claims(self, port: Port) -> bool:
        """Tell whether the switch behind a bound port is this driver's; a chain is realised by the one driver that claims
        its ports.
        """

    # What capabilities alone cannot express can be refused here.

    def check_flow_classifier(self, classifier: FlowClassifier) -> None:
        """Refuse a classifier the driver cannot match."""

    def check_port_pair(self, pair: PortPair) -> None:
        """Refuse a port pair the driver cannot reach."""

    def check_port_pair_group(self, group: PortPairGroup) -> None:
        """Refuse a group the driver cannot balance over."""

    def check_port_chain(self, snapshot: ChainSnapshot) -> None:
        """Refuse a chain the driver cannot realise."""

    # After the commit.

    @abc.abstractmethod
    def create_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Realise a new chain."""

    @abc.abstractmethod
    def update_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Bring the realisation of a chain to its present state."""

    @abc.abstractmethod
    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Remove the realisation of a chain that is no longer in the database; ``snapshot`` is its last state."""

    def refresh_port_chains(self, context: Any, snapshots: Sequence[ChainSnapshot]) -> None:
        """Bring several chains to their present state after something they share changed (a group, a pair, a port)."""
        for snapshot in snapshots:
            self.update_port_chain(context, snapshot)

    def hold_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Keep the realisation of a chain that can no longer be carried out; hold back what of its traffic is let by.

        It may be a chain that another driver had.
        """
