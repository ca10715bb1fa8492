"""What Prometheus reads of hosts, over HTTP."""

import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg
from prometheus_client.parser import text_string_to_metric_families

from portchain.conf import GROUP
from portchain.core.counters import Count, Counter
from portchain.host.health.checks import Finding
from portchain.host.metrics import HostCollector
from portchain.metrics.exporter import serve
from portchain.metrics.options import METRICS_OPTS

IN, OUT, LEFT, CLASSIFIED, DROPPED, LEARNED, LEARNED_LEFT = (
    Counter("c1", False, kind, subject)
    for kind, subject in (
        ("in", "pair"),
        ("out", "pair"),
        ("in", "former"),
        ("classified", "fc"),
        ("dropped", "fragment"),
        ("learned", "pair"),
        ("learned", "former"),
    )
)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def worker(host: str, counts: Mapping[Counter, Count] | Exception) -> Any:
    def counts_of() -> Mapping[Counter, Count]:
        if isinstance(counts, Exception):
            raise counts
        return counts

    reconciler = SimpleNamespace(
        hop_numbers=lambda: {("c1", False, "pair"): 2}, repaired_flows=3, is_in_sync=True
    )
    functions = SimpleNamespace(
        findings=[Finding("pair", is_up=True, failures=3)], answer_seconds={"pair": 0.003}
    )
    peers = SimpleNamespace(findings=[Finding("192.0.2.2", is_up=False, failures=3)])
    return SimpleNamespace(
        host=host,
        health=SimpleNamespace(functions=functions, peers=peers),
        counts_of=counts_of,
        reconciler=reconciler,
        queue_lengths={"tasks": 1, "reports": 0},
        sync_seconds=0.5,
    )


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    made = cfg.ConfigOpts()
    made.register_opts(METRICS_OPTS, GROUP)
    made([])
    made.set_override("enable_prometheus_exporter", True, GROUP)
    made.set_override("prometheus_listen_addresses", ["127.0.0.1:0"], GROUP)
    return made


@pytest.fixture
def scrape(conf: cfg.ConfigOpts) -> Iterator[Callable[..., Samples]]:
    started = []

    def read(*workers: Any) -> Samples:
        (server,) = serve(HostCollector(workers), conf=conf)
        started.append(server)
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(url) as answer:  # our own
            text = answer.read().decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    yield read
    for server in started:
        server.shutdown()
        server.server_close()


def labels(**values: str) -> frozenset[tuple[str, str]]:
    return frozenset(values.items())


def test_counters_have_ids_and_no_names(scrape: Callable[..., Samples]) -> None:
    counts = {
        IN: Count(7, 70),
        OUT: Count(6, 60),
        LEFT: Count(1, 10),
        CLASSIFIED: Count(9, 90),
        DROPPED: Count(2, 20),
        LEARNED: Count(4),
        LEARNED_LEFT: Count(1),
    }
    found = scrape(worker("h1", counts), worker("h2", {IN: Count(1, 1)}))
    chain = {"host": "h1", "chain_id": "c1", "direction": "forward"}
    hop = {**chain, "hop": "2", "port_pair_id": "pair"}
    assert found["portchain_hop_packets_total", labels(**hop, side="in")] == 7
    assert found["portchain_hop_bytes_total", labels(**hop, side="out")] == 60
    assert found["portchain_hop_packets_total", labels(**{**hop, "host": "h2"}, side="in")] == 1
    classified = labels(**chain, flow_classifier_id="fc")
    assert found["portchain_classified_packets_total", classified] == 9
    assert found["portchain_dropped_packets_total", labels(**chain, reason="fragment")] == 2
    assert found["portchain_learned_flows", labels(**hop)] == 4
    assert not [key for key in found if "former" in str(key)]


def test_workers_tell_of_themselves(scrape: Callable[..., Samples]) -> None:
    found = scrape(worker("h1", {}))
    host = labels(host="h1")
    assert found["portchain_repaired_flows_total", host] == 3
    assert found["portchain_sync_seconds", host] == 0.5
    assert found["portchain_switch_in_sync", host] == 1
    assert found["portchain_queue_length", labels(host="h1", queue="tasks")] == 1


def test_a_switch_that_does_not_answer_takes_no_other_along(
    scrape: Callable[..., Samples],
) -> None:
    found = scrape(worker("h1", RuntimeError("down")), worker("h2", {IN: Count(1, 1)}))
    assert found["portchain_switch_up", labels(host="h1")] == 0
    assert found["portchain_switch_up", labels(host="h2")] == 1
    assert len([name for name, _ in found if name == "portchain_hop_packets_total"]) == 1


def test_nothing_is_served_unless_asked_for(conf: cfg.ConfigOpts) -> None:
    conf.set_override("enable_prometheus_exporter", False, GROUP)
    assert serve(conf=conf) == []


@pytest.mark.parametrize("wrong", ["127.0.0.1", "9105", "h1:port", ""])
def test_a_malformed_address_is_refused(conf: cfg.ConfigOpts, wrong: str) -> None:
    conf.set_override("prometheus_listen_addresses", [wrong], GROUP)
    with pytest.raises(ValueError, match="prometheus_listen_addresses"):
        serve(conf=conf)


def test_an_address_that_is_taken_does_not_stop_the_program(conf: cfg.ConfigOpts) -> None:
    (first,) = serve(conf=conf)
    conf.set_override("prometheus_listen_addresses", [f"127.0.0.1:{first.server_port}"], GROUP)
    assert serve(conf=conf) == []
    first.shutdown()
    first.server_close()


def test_tls_needs_both_files(conf: cfg.ConfigOpts, tmp_path: Path) -> None:
    conf.set_override("prometheus_tls_enable", True, GROUP)
    with pytest.raises(cfg.RequiredOptError, match="certfile"):
        serve(conf=conf)
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    request = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=h1")
    subprocess.run([*request, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    conf.set_override("prometheus_tls_certfile", str(certificate), GROUP)
    conf.set_override("prometheus_tls_keyfile", str(key), GROUP)
    (server,) = serve(HostCollector([]), conf=conf)
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics")
    server.shutdown()
    server.server_close()
