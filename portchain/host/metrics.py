"""What a host's agent, or a controller, tells Prometheus.

Labels are ids and small numbers; names are in ``portchain_chain_info`` of the server alone.
"""

from collections.abc import Iterator, Sequence

from oslo_log import log
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from portchain.core.counters import Count, Counter, CounterKind
from portchain.host.worker import HostWorker

LOG = log.getLogger(__name__)

_CHAIN = ("host", "chain_id", "direction")
_FAMILIES = {
    CounterKind.CLASSIFIED: ("classified", "that a flow classifier has matched"),
    CounterKind.IN: ("hop", "that a function has got or returned"),
    CounterKind.OUT: ("hop", "that a function has got or returned"),
    CounterKind.DROPPED: ("dropped", "that flows of the chain have dropped"),
}
_LABELS = {
    "classified": (*_CHAIN, "flow_classifier_id"),
    "hop": (*_CHAIN, "hop", "port_pair_id", "side"),
    "dropped": (*_CHAIN, "reason"),
}


class HostCollector(Collector):
    """Collects from the workers of the hosts that this process programs."""

    def __init__(self, workers: Sequence[HostWorker]) -> None:
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        """Ask the switches; hosts whose switch does not answer are left out, and are not up."""
        families = _new_families()
        learned = GaugeMetricFamily(
            "portchain_learned_flows",
            "Flows that stay at a port pair because the host's switch has learned it",
            labels=(*_CHAIN, "hop", "port_pair_id"),
        )
        up = GaugeMetricFamily(
            "portchain_switch_up", "Whether the host's switch answers", labels=["host"]
        )
        for worker in self._workers:
            try:
                counts = worker.counts_of()
            except Exception:
                # The other hosts' figures must not depend on this one.
                LOG.exception("Cannot read the counters of host %s", worker.host)
                up.add_metric([worker.host], 0)
                continue
            up.add_metric([worker.host], 1)
            hops = worker.reconciler.hop_numbers()
            for counter, count in counts.items():
                if counter.kind != CounterKind.LEARNED:
                    _add(families, worker.host, counter, count, hops)
                elif labels := _labels(worker.host, counter, hops):
                    learned.add_metric(labels, count.packets)
        yield up
        yield learned
        for packets, size in families.values():
            yield packets
            yield size
        yield from self._state()

    def _state(self) -> Iterator[Metric]:
        """Yield what workers know without asking anybody."""
        repairs = CounterMetricFamily(
            "portchain_repaired_flows",
            "Flows that were missing in the switch, or were others, and had to be repaired",
            labels=["host"],
        )
        queued = GaugeMetricFamily(
            "portchain_queue_length",
            "Changes that wait to be programmed, and reports that wait to be sent",
            labels=["host", "queue"],
        )
        synchronised = GaugeMetricFamily(
            "portchain_sync_seconds",
            "How long the last comparison with the server's plans took",
            labels=["host"],
        )
        in_sync = GaugeMetricFamily(
            "portchain_switch_in_sync",
            "Whether the switch holds what the plans require, as far as known",
            labels=["host"],
        )
        for worker in self._workers:
            repairs.add_metric([worker.host], worker.reconciler.repaired_flows)
            for name, length in worker.queue_lengths.items():
                queued.add_metric([worker.host, name], length)
            synchronised.add_metric([worker.host], worker.sync_seconds)
            in_sync.add_metric([worker.host], worker.reconciler.is_in_sync)
        yield from (repairs, queued, synchronised, in_sync)
        yield from self._health()

    def _health(self) -> Iterator[Metric]:
        """Yield what health checks have found out."""
        up = GaugeMetricFamily(
            "portchain_function_up",
            "Whether the function of a port pair answers its health check",
            labels=["host", "port_pair_id"],
        )
        seconds = GaugeMetricFamily(
            "portchain_probe_seconds",
            "How long the last answer to a health check took",
            labels=["host", "port_pair_id"],
        )
        peers = GaugeMetricFamily(
            "portchain_peer_up",
            "Whether the switch of another host returns what is sent to it",
            labels=["host", "peer"],
        )
        for worker in self._workers:
            functions = worker.health.functions
            for found in functions.findings:
                up.add_metric([worker.host, found.name], found.is_up)
            for pair_id, taken in functions.answer_seconds.items():
                seconds.add_metric([worker.host, pair_id], taken)
            for found in worker.health.peers.findings:
                peers.add_metric([worker.host, found.name], found.is_up)
        yield from (up, seconds, peers)


_Families = dict[str, tuple[CounterMetricFamily, CounterMetricFamily]]


def _new_families() -> _Families:
    found: _Families = {}
    for name, meaning in _FAMILIES.values():
        packets, size = (
            CounterMetricFamily(
                f"portchain_{name}_{unit}",
                f"{unit.capitalize()} of port chains {meaning}",
                labels=_LABELS[name],
            )
            for unit in ("packets", "bytes")
        )
        found.setdefault(name, (packets, size))
    return found


_Hops = dict[tuple[str, bool, str], int]


def _add(families: _Families, host: str, counter: Counter, count: Count, hops: _Hops) -> None:
    name, _ = _FAMILIES[CounterKind(counter.kind)]
    labels = [*_of_chain(host, counter), counter.subject]
    if name == "hop":
        labels = _labels(host, counter, hops)
        if not labels:
            return
        labels.append(str(counter.kind))
    packets, size = families[name]
    packets.add_metric(labels, count.packets)
    size.add_metric(labels, count.bytes)


def _labels(host: str, counter: Counter, hops: _Hops) -> list[str]:
    """Return the labels of a pair's figure; nothing if the pair has left the chain."""
    hop = hops.get((counter.chain_id, counter.reverse, counter.subject))
    return [*_of_chain(host, counter), str(hop), counter.subject] if hop is not None else []


def _of_chain(host: str, counter: Counter) -> list[str]:
    return [host, counter.chain_id, "reverse" if counter.reverse else "forward"]
