"""What the server tells Prometheus: the names of chains, and their status."""

from collections.abc import Iterator

from neutron import worker
from neutron_lib import context as neutron_context
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from portchain.core.model import ChainStatus
from portchain.db import lookup
from portchain.metrics.exporter import serve

_FIELDS = ("id", "name", "project_id", "status")


class ChainCollector(Collector):
    """Reads the chains from the database at each request."""

    def collect(self) -> Iterator[Metric]:
        """Return one series of each kind for each chain."""
        info = GaugeMetricFamily(
            "portchain_chain_info",
            "1 for each port chain; the only series with names",
            labels=["chain_id", "name", "project_id"],
        )
        status = GaugeMetricFamily(
            "portchain_chain_status",
            "1 for the status that the port chain has, 0 for all others",
            labels=["chain_id", "status"],
        )
        context = neutron_context.get_admin_context()
        for chain in lookup.show_page(context, lookup.PORT_CHAIN, fields=_FIELDS):
            info.add_metric([chain["id"], chain["name"], chain["project_id"]], 1)
            for each in ChainStatus:
                status.add_metric([chain["id"], str(each)], chain["status"] == each)
        yield info
        yield status


class MetricsWorker(worker.NeutronBaseWorker):
    """Serves them in the process of Neutron's periodic workers."""

    def __init__(self) -> None:
        super().__init__(worker_process_count=0, desc="port chain metrics")

    def start(self, **_: object) -> None:
        """Begin to serve, if the exporter is enabled."""
        super().start()
        self._servers = serve(ChainCollector())

    def stop(self) -> None:
        """Stop serving."""
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def wait(self) -> None:
        """Return at once: the threads end with the process."""

    def reset(self) -> None:
        """Do nothing: a changed configuration counts after a restart."""
