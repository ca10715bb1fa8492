"""Completes and repairs the Northbound rows of chains, in the process of periodic tasks.

Level-triggered: whatever has happened, the rows of a chain are compared with what its plan needs.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from oslo_config import cfg

from portchain.conf import GROUP
from portchain.db import realisation
from portchain.drivers.base import OwnChain, OwnChains
from portchain.drivers.ovn import northbound, takeover
from portchain.drivers.ovn.northbound import RemoveChains, Wanted, WriteChains
from portchain.drivers.ovn.rows import Phase, rows_of
from portchain.drivers.ovn.takeover import TakeOver
from portchain.ovsdb.ovn import Database, Noted

_DRAIN = 3.0
"""Seconds for which a deleted chain keeps its gates: hosts send into them until they know."""


class Upkeep:
    """Compares rows with plans: of chains that change, that others have changed, and now and then
    of all.
    """

    def __init__(self, database: Database, renew: Callable[[Any, Sequence[str]], None]) -> None:
        """Look after the rows of chains.

        :param renew: plans chains, by their ids, as a new revision.
        """
        self._northbound = database
        self._renew = renew
        self._touched = Noted()
        self._is_watching = False
        self._next = 0.0
        self._changing: set[str] = set()
        self._gone_since: dict[str, float] = {}

    def run(self, context: Any, chains: OwnChains) -> None:
        """Look once. Costs nothing while no chain changes.

        :raises Unreachable: the database does not answer.
        """
        self._northbound.connect()
        if not self._is_watching:
            self._northbound.watch(lambda row: self._touched.add(northbound.chains_of(row)))
            self._is_watching = True
        if former := takeover.former_chains(self._northbound):
            self._take_over(context, chains, former)
        touched = self._touched.take()
        is_time = time.monotonic() >= self._next
        try:
            self._compare(context, chains, None if is_time else touched)
        except Exception:
            # Nobody knows which of them were compared.
            self._touched.add(touched)
            raise
        if is_time:
            self._next = time.monotonic() + cfg.CONF[GROUP].ovn_sync_interval

    def _take_over(self, context: Any, chains: OwnChains, former: Collection[str]) -> None:
        """Replace the rows of the former driver."""
        own = list(chains(context, former))
        # As if all hosts had confirmed: what enters a chain is dropped until they have.
        wanted = [_wanted(one, one.snapshot.chain.revision) for one in own]
        self._northbound.run(TakeOver(self._northbound, wanted))
        self._renew(context, [one.snapshot.chain.id for one in own if not one.refusal])

    def _compare(self, context: Any, chains: OwnChains, touched: Collection[str] | None) -> None:
        """Compare the rows of some chains.

        :param touched: ids of chains; None for all.
        """
        if touched is None:
            present = {anchor.chain_id for anchor in northbound.anchors(self._northbound)}
            ids = None
        else:
            due = self._changing - set(touched)
            applied = realisation.applied(context, due) if due else {}
            present = {*touched, *applied, *self._gone_since}
            ids = present
        if present or ids is None:
            self._write(context, chains, ids, present)

    def _write(
        self, context: Any, chains: OwnChains, ids: Collection[str] | None, present: set[str]
    ) -> None:
        """Write the rows of chains, and remove those of others.

        :param ids: of the chains to look at; None for all.
        :param present: ids of chains that may have rows.
        """
        own = {one.snapshot.chain.id: one for one in chains(context, ids)}
        applied = realisation.applied(context, own)
        wanted = [
            _wanted(one, applied.get(chain_id)) for chain_id, one in own.items() if not one.refusal
        ]
        if wanted:
            self._northbound.run(WriteChains(self._northbound, wanted))
        for each in wanted:
            if each.phase is Phase.CHANGING:
                self._changing.add(each.chain_id)
            else:
                self._changing.discard(each.chain_id)
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


def _wanted(own: OwnChain, applied: int | None) -> Wanted:
    """Return what the rows of a chain have to be.

    :param applied: the revision that all hosts have applied.
    """
    snapshot = own.snapshot
    chain = snapshot.chain
    phase = Phase.COMPLETE if applied == chain.revision else Phase.CHANGING
    return Wanted(chain.id, chain.revision, phase, rows_of(snapshot))
