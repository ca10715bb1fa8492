"""What the API says of the packets of a chain: along each path, hop by hop. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from portchain.core.counters import Count, CounterKind, DropReason, HostCounts
from portchain.core.model import ChainSnapshot, FlowClassifier, PortPair, PortPairGroup

Shown = dict[str, Any]


def chain_stats(
    snapshot: ChainSnapshot,
    counts: HostCounts,
    at: datetime,
    *,
    shows_hosts: bool,
    sees: Callable[[str], bool],
) -> Shown:
    """Return the counters of a chain as a tree.

    :param at: when the hosts answered.
    :param shows_hosts: whether the reader may know the hosts' names.
    :param sees: called with a project; returns whether the reader sees its pairs and classifiers.
    """
    chain = snapshot.chain
    shown = _Shown(snapshot, counts, shows_hosts, sees)
    directions = [(False, chain.port_pair_groups)]
    if chain.symmetric:
        directions.append((True, chain.port_pair_groups[::-1]))
    return {
        "id": chain.id,
        "name": chain.name,
        "project_id": chain.project_id,
        "updated_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "paths": [shown.path(reverse, groups) for reverse, groups in directions],
        "hosts_without_answer": [
            {**({"host": host} if shows_hosts else {}), "reason": reason}
            for host, reason in sorted(counts.failures.items())
        ],
    }


class _Shown:
    def __init__(
        self,
        snapshot: ChainSnapshot,
        counts: HostCounts,
        shows_hosts: bool,
        sees: Callable[[str], bool],
    ) -> None:
        self._snapshot = snapshot
        self._shows_hosts = shows_hosts
        self._sees = sees
        self._totals: dict[tuple[bool, str, str], Count] = {}
        for answer in counts.answers.values():
            for counter, count in answer.items():
                key = (counter.reverse, counter.kind, counter.subject)
                self._totals[key] = self._totals.get(key, Count()).plus(count)

    def path(self, reverse: bool, groups: Sequence[PortPairGroup]) -> Shown:
        classifiers = self._snapshot.chain.flow_classifiers
        return {
            "direction": "reverse" if reverse else "forward",
            "flow_classifiers": [self._classifier(reverse, one) for one in classifiers],
            "hops": [self._hop(reverse, group) for group in groups],
            "dropped": list(self._dropped(reverse)),
        }

    def _total(self, reverse: bool, kind: str, subject: str) -> Count:
        return self._totals.get((reverse, kind, subject), Count())

    def _classifier(self, reverse: bool, classifier: FlowClassifier) -> Shown:
        count = self._total(reverse, CounterKind.CLASSIFIED, classifier.id)
        return {**self._named(classifier), **_plain(count)}

    def _hop(self, reverse: bool, group: PortPairGroup) -> Shown:
        return {
            "port_pair_group": {"id": group.id, "name": group.name},
            "port_pairs": [self._pair(reverse, pair) for pair in group.port_pairs],
        }

    def _pair(self, reverse: bool, pair: PortPair) -> Shown:
        shown = self._named(pair)
        if self._shows_hosts:
            port = self._snapshot.ports.get(pair.ingress)
            shown["host"] = port.host if port else ""
        for kind in (CounterKind.IN, CounterKind.OUT):
            count = self._total(reverse, kind, pair.id)
            shown |= {f"packets_{kind}": count.packets, f"bytes_{kind}": count.bytes}
        shown["learned_flows"] = self._total(reverse, CounterKind.LEARNED, pair.id).packets
        return shown

    def _dropped(self, reverse: bool) -> Iterable[Shown]:
        for reason in DropReason:
            count = self._total(reverse, CounterKind.DROPPED, reason)
            if count.packets:
                yield {"reason": str(reason), **_plain(count)}

    def _named(self, resource: FlowClassifier | PortPair) -> Shown:
        """Return id and name; no name of what the reader does not see."""
        return {"id": resource.id, "name": resource.name if self._sees(resource.project_id) else ""}


def _plain(count: Count) -> Mapping[str, int]:
    return {"packets": count.packets, "bytes": count.bytes}
