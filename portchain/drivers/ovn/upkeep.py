"""Completes and repairs the Northbound rows of chains, in the process of periodic tasks.

Level-triggered: whatever has happened, the rows of a chain are compared with what its plan needs.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from oslo_config import cfg

from portchain.conf import GROUP
from portchain.db import realisation
from portchain.drivers.base import OwnChain, OwnChains
from portchain.drivers.ovn import northbound, takeover
from portchain.drivers.ovn.northbound import RemoveChains, Wanted, WriteChains
from portchain.drivers.ovn.rows import Phase
from portchain.drivers.ovn.takeover import TakeOver
from portchain.ovsdb.ovn import Database, Noted

_BATCH = 500
"""Chains whose rows one transaction compares: all of them might take longer than ovn_timeout."""

_DRAIN = 3.0
"""Seconds for which a deleted chain keeps its gates: hosts send into them until they know."""


class Renewal(NamedTuple):
    """How to plan chains as a new revision, for a reason that the driver manager does not know of.

    :param increment: writes the new revisions. Chains that are not planned after that are planned
        by the manager, some seconds later.
    :param plan: plans the chains, and notifies their hosts.
    """

    increment: Callable[[Any, Sequence[str]], None]
    plan: Callable[[Any, Sequence[str]], None]


class Upkeep:
    """Compares rows with plans: of chains that change, that others have changed, and now and then
    of all.
    """

    def __init__(self, database: Database, renewal: Renewal) -> None:
        """Look after the rows of chains.

        :param renewal: how to plan chains as a new revision.
        """
        self._northbound = database
        self._renewal = renewal
        self._touched = Noted()
        self._is_watching = False
        self._next = 0.0
        self._changing: set[str] = set()
        self._gone_since: dict[str, float] = {}

    def run(self, context: Any, chains: OwnChains) -> None:
        """Look once. Costs nothing while no chain changes, but for a comparison of all chains now
        and then.

        :raises Unreachable: the database does not answer.
        """
        self._northbound.connect()
        if not self._is_watching:
            self._northbound.watch(lambda row: self._touched.add(northbound.chains_of(row)))
            self._is_watching = True
        touched = self._touched.take()
        is_time = time.monotonic() >= self._next
        try:
            if is_time and (former := takeover.former_chains(self._northbound)):
                self._take_over(context, chains, former)
            self._compare(context, chains, touched, everything=is_time)
        except Exception:
            # Nobody knows which of them were compared.
            self._touched.add(touched)
            raise
        if is_time:
            self._next = time.monotonic() + cfg.CONF[GROUP].ovn_sync_interval

    def _take_over(self, context: Any, chains: OwnChains, former: Collection[str]) -> None:
        """Replace the rows of the former driver."""
        own = list(chains(context, former))
        usable = [one.snapshot.chain.id for one in own if not one.refusal]
        # As if all hosts had confirmed: what enters a chain is dropped until they have.
        applied = {one.snapshot.chain.id: one.snapshot.chain.revision for one in own}
        # Written first: if this process ends after the takeover, the manager plans the chains.
        self._renewal.increment(context, usable)
        self._northbound.run(TakeOver(self._northbound, _wanted(own, applied)))
        self._renewal.plan(context, usable)

    def _compare(
        self, context: Any, chains: OwnChains, touched: set[str], *, everything: bool
    ) -> None:
        """Compare the rows of some chains, or of all.

        :param touched: ids of chains whose rows have changed. Some may have no anchor any more.
        """
        if everything:
            anchors = northbound.anchors(self._northbound)
            present = touched | {anchor.chain_id for anchor in anchors}
            self._write(context, chains, None, present)
            return
        due = self._changing - touched
        applied = realisation.applied(context, due) if due else {}
        if present := {*touched, *applied, *self._gone_since}:
            self._write(context, chains, present, present)

    def _write(
        self, context: Any, chains: OwnChains, ids: Collection[str] | None, present: set[str]
    ) -> None:
        """Write the rows of chains, and remove those of others.

        :param ids: of the chains to look at; None for all.
        :param present: ids of chains that may have rows.
        """
        own = {one.snapshot.chain.id: one for one in chains(context, ids)}
        usable = [one for one in own.values() if not one.refusal]
        wanted = list(_wanted(usable, realisation.applied(context, own)))
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            self._northbound.run(WriteChains(self._northbound, batch))
        # The rows of the others stay as they are, until the chains are realised again.
        self._changing -= own.keys()
        self._changing |= {each.chain_id for each in wanted if each.phase is Phase.CHANGING}
        self._remove(present - own.keys(), own)

    def _remove(self, gone: Collection[str], own: Collection[str]) -> None:
        """Remove the rows of chains that have been deleted, or are another driver's, for a while.

        :param own: ids of chains that are neither.
        """
        now = time.monotonic()
        since = {chain_id: self._gone_since.get(chain_id, now) for chain_id in gone}
        self._gone_since = {
            chain_id: seen
            for chain_id, seen in (self._gone_since | since).items()
            if chain_id not in own
        }
        over = [chain_id for chain_id, seen in since.items() if now - seen >= _DRAIN]
        if over:
            self._northbound.run(RemoveChains(self._northbound, over))
        for chain_id in over:
            self._gone_since.pop(chain_id)
            self._changing.discard(chain_id)


def _wanted(own: Iterable[OwnChain], applied: Mapping[str, int]) -> Iterator[Wanted]:
    """Yield what the rows of chains have to be.

    :param applied: chain id -> the revision that all hosts have applied.
    """
    for chain, rows in northbound.planned_rows(one.snapshot for one in own):
        phase = Phase.COMPLETE if applied.get(chain.id) == chain.revision else Phase.CHANGING
        yield Wanted(chain.id, chain.revision, phase, rows)
