"""Keeps the Northbound rows right: what others changed is repaired at once, everything now and then.

ML2/OVN writes whole columns of a function's port whenever Neutron's port changes, and its own sync
tool and maintenance tasks may do more. Nothing is to be agreed with them: whatever they did is a
difference between the rows that are there and those that are wanted.
"""

import queue
import threading
import time
from collections.abc import Collection
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging
from ovsdbapp.backend.ovs_idl.command import BaseCommand

from portchain.conf import GROUP
from portchain.db import realisation
from portchain.drivers.base import ChainsFailed, OwnChain, OwnChains
from portchain.drivers.ovn import carry
from portchain.drivers.ovn.commands import removal
from portchain.drivers.ovn.errors import Unreachable
from portchain.drivers.ovn.health import Health
from portchain.drivers.ovn.moved import WRITTEN, give_back, is_overwritten, restore
from portchain.drivers.ovn.northbound import CHAIN, TAGS, Database, Noted
from portchain.drivers.ovn.tagged import chains_at, is_had

LOG = logging.getLogger(__name__)


class Reassert(BaseCommand):
    """Write again what chains need in a port's columns, after Neutron wrote them; keep what it wrote.

    Where marks alone have come back, give the port back.
    """

    def __init__(self, database: Database, name: str) -> None:
        super().__init__(database)
        self._name = name

    def run_idl(self, txn: Any) -> None:
        """Called by ovsdbapp, within its transaction."""
        row = self.api.named("Logical_Switch_Port", self._name)
        if row is None:
            return
        row.verify("external_ids")
        if not is_had(self.api, row):
            give_back(row)
        elif is_overwritten(row):
            restore(row)


class Repair:
    """Compares and repairs, for the one process that has this to do."""

    def __init__(self, northbound: Database, health: Health) -> None:
        self._northbound = northbound
        self._health = health
        self._next = 0.0
        self._touched, self._shared = Noted(), Noted()
        self._up: dict[str, list[bool]] = {}
        self._overwritten: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def run(self, context: Any, chains: OwnChains) -> None:
        """Repair the chains whose rows were touched since the last time, or all if it is time.

        :raises Unreachable: the database does not answer.
        :raises ChainsFailed: some chains could not be repaired, or removed; the others were.
        """
        if self._thread is None:
            self._northbound.watch(self._note)
            self._thread = threading.Thread(target=self._reassert, daemon=True, name="reassert")
            self._thread.start()
        self._northbound.connect()
        touched = self._touched.take()
        for port in self._shared.take():
            touched |= chains_at(self._northbound, port)
        is_time = time.monotonic() >= self._next
        try:
            if is_time:
                failures = self._repair(context, chains, None, self._written())
            elif touched:
                failures = self._repair(context, chains, touched, set(touched))
            else:
                return
        except Exception:
            # Not one chain's: nobody knows which of them were looked at.
            self._touched.add(touched)
            raise
        if is_time:
            self._next = time.monotonic() + cfg.CONF[GROUP].ovn_sync_interval
        if failures:
            raise ChainsFailed(failures)

    def _note(self, row: Any) -> None:
        """Called from ovsdbapp's thread with a row that came, went or changed."""
        marks = getattr(row, "external_ids", {})
        if CHAIN in marks:
            self._touched.add([marks[CHAIN]])
        if TAGS in marks and self._up.get(row.name) != row.up:
            # Whatever else changes there is nothing to the chains; whose they are is looked up later.
            self._up[row.name] = row.up
            self._shared.add([row.name])
        if WRITTEN in marks:
            self._overwritten.put(row.name)

    def _reassert(self) -> None:
        """Write moved ports again as soon as Neutron has overwritten them: until then, their functions get nothing.

        Nothing is looked up for this. What cannot be done now is done by ``run``.
        """
        while True:
            name = self._overwritten.get()
            try:
                self._northbound.connect()
                row = self._northbound.named("Logical_Switch_Port", name)
                if row is not None and (is_overwritten(row) or not is_had(self._northbound, row)):
                    self._northbound.run(Reassert(self._northbound, name))
            except Exception:
                # The boundary of a loop that an exception would end for good.
                LOG.exception("Cannot restore the port %s of a chain now", name)

    def _repair(
        self, context: Any, chains: OwnChains, some: Collection[str] | None, known: set[str]
    ) -> dict[str, Exception]:
        """Make the rows of chains right; remove those of chains that are gone or another driver's.

        :param some: ids of the chains to look at; None for all.
        :param known: ids of chains that may have rows.
        :returns: what went wrong with some of them, by their ids; their statuses say so as well.
        """
        failures: dict[str, Exception] = {}
        for own in chains(context, some):
            chain_id = own.snapshot.chain.id
            known.discard(chain_id)
            try:
                self._repair_one(own)
            except Unreachable:
                raise
            except Exception as error:
                # One chain must not keep the others from being repaired, whatever is wrong with it.
                failures[chain_id] = error
                realisation.mark_failed(context, [chain_id], f"driver ovn: {error}")
        for chain_id in known:
            try:
                self._northbound.run(removal(self._northbound, chain_id))
            except Unreachable:
                raise
            except Exception as error:
                failures[chain_id] = error
        return failures

    def _repair_one(self, own: OwnChain) -> None:
        if own.refusal:
            carry.hold(self._northbound, own.snapshot)
        else:
            wanted = carry.compiled(self._northbound, self._health, own.snapshot)
            carry.write(self._northbound, own.snapshot, wanted)

    def _written(self) -> set[str]:
        """Ids of all chains that have rows."""
        rows = self._northbound.rows("Port_Group")
        return {row.external_ids[CHAIN] for row in rows if CHAIN in row.external_ids}
