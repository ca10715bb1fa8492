"""Counts the packets of a host's chains, from the counts of flows that come and go."""

import threading
import time
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Mapping

from oslo_log import log

from portchain.core.counters import Count, Counter
from portchain.dataplane.counting import Learned
from portchain.dataplane.flow import Flow, FlowKey, SwitchEntry
from portchain.host.counter_store import CounterStore, FlowCount
from portchain.host.switch import Switch

LOG = log.getLogger(__name__)

_ATTEMPTS = 3


class FlowCounters:
    """The counters of one host. Thread-safe.

    A failure to count is logged, and never keeps flows from being programmed.

    :param fresh_seconds: what was read so recently is not read again: users can ask as often as
        they like, and Open vSwitch counts packets about as late.
    """

    def __init__(self, switch: Switch, store: CounterStore, *, fresh_seconds: float = 1.0) -> None:
        self._switch = switch
        self._store = store
        self._fresh_seconds = fresh_seconds
        self._reading = threading.Lock()
        self._read_at: dict[str, float] = {}  # chain id -> when it was read, if that is recent
        self._learned: dict[str, dict[Counter, Count]] = {}  # chain id -> what was learned then

    def totals(
        self,
        chain_ids: Collection[str],
        desired: Callable[[str], Iterable[Flow]],
        learning: Callable[[str], Mapping[Learned, Counter]] = lambda _: {},
    ) -> dict[Counter, Count]:
        """Ask the switch, and return what chains have counted on this host since they came to it.

        :param desired: returns the flows of a chain that count.
        :param learning: returns what the learned flows of a chain count for.
        :raises Exception: as ``Switch.read_counts``; sqlite3.Error, if the store fails.
        """
        with self._reading:  # what has been read last is noted last
            now = time.monotonic()
            recent = {
                chain_id: at
                for chain_id, at in self._read_at.items()
                if now - at < self._fresh_seconds
            }
            wanted = [chain_id for chain_id in chain_ids if chain_id not in recent]
            if wanted:
                self._read(wanted, desired)
                self._learned = {
                    **{one: self._learned[one] for one in recent},
                    **self._read_learned({one: learning(one) for one in wanted}),
                }
            self._read_at = recent | dict.fromkeys(wanted, now)
            learned = [self._learned[one] for one in chain_ids]
        return self._store.totals(chain_ids) | dict(ChainMap(*learned))

    def _read_learned(
        self, wanted: Mapping[str, Mapping[Learned, Counter]]
    ) -> dict[str, dict[Counter, Count]]:
        """Return what the switch has learned for each chain."""
        labels = {label for of_chain in wanted.values() for label, _ in of_chain}
        found = self._switch.count_learned(labels) if labels else {}
        return {
            chain_id: {
                counter: Count(found[place])
                for place, counter in of_chain.items()
                if found.get(place)
            }
            for chain_id, of_chain in wanted.items()
        }

    def _read(self, chain_ids: Collection[str], desired: Callable[[str], Iterable[Flow]]) -> None:
        for _ in range(_ATTEMPTS):
            retirements = self._store.retirements
            flows = {flow.key: flow.counter for chain_id in chain_ids for flow in desired(chain_id)}
            counts = self._switch.read_counts(flows.keys())
            read = [(key, flows[key], count) for key, count in counts.items()]
            if self._store.observe(read, retirements):
                return

    # What the reconciler calls; it holds its lock.

    def read_before(self, deleted: Collection[SwitchEntry | FlowKey]) -> list[FlowCount]:
        """Read the counts of flows that are about to be deleted.

        :param deleted: flows, or the keys of flows that were found in the switch.
        """
        counting = {
            one.key: one.counter for one in deleted if isinstance(one, Flow) and one.counter
        }
        found = [one for one in deleted if isinstance(one, FlowKey)]
        if not counting and not found:
            return []
        try:
            wanted = {**self._store.counters_of(found), **counting}
            if not wanted:
                return []
            counts = self._switch.read_counts(wanted.keys())
        except Exception:
            LOG.exception("Could not read the counts of flows that are about to be deleted")
            return []
        return [(key, wanted[key], count) for key, count in counts.items()]

    def recounted(self, replacing: Collection[Flow]) -> list[FlowKey]:
        """Return which of the flows that replace others must not go on with the counts of those.

        :param replacing: flows that replace others which this process has not programmed.
        """
        try:
            known = self._store.counters_of(flow.key for flow in replacing) if replacing else {}
        except Exception:
            LOG.exception("Could not read the counts of flows")
            known = {}
        return [flow.key for flow in replacing if known.get(flow.key) != flow.counter]

    def begin(self, added: Collection[Flow]) -> None:
        """Note what flows count that have been added. Call ``retire`` before, if it is needed."""
        counting = [(flow.key, flow.counter) for flow in added if flow.counter]
        self._attempt(lambda: self._store.begin(counting), counting)

    def retire(self, counts: Collection[FlowCount]) -> None:
        """Keep the counts of flows that have been deleted."""
        self._attempt(lambda: self._store.retire(counts), counts)

    def lose(self, keys: Collection[FlowKey]) -> None:
        """Keep what is known of flows that were missing in the switch."""
        self._attempt(lambda: self._store.lose(keys), keys)

    def forget(self, chain_ids: Collection[str]) -> None:
        """Forget chains that the host has no part in any more."""
        self._attempt(lambda: self._store.forget(chain_ids), chain_ids)

    def keep_only(self, chain_ids: Collection[str]) -> None:
        """Forget all other chains."""
        self._attempt(lambda: self._store.forget(self._store.chain_ids() - set(chain_ids)), True)

    @staticmethod
    def _attempt(call: Callable[[], None], needed: object) -> None:
        try:
            if needed:
                call()
        except Exception:
            LOG.exception("Could not keep the counts of flows")
