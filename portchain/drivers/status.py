"""Records the status of chains in Neutron's database, on behalf of the drivers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from portchain.core.model import HostReport
from portchain.db import realisation
from portchain.drivers.base import ChainStatusReporter


class DatabaseStatusReporter(ChainStatusReporter):
    """The ``ChainStatusReporter`` that the driver manager gives to each driver."""

    def record_plan(
        self,
        context: Any,
        chain_id: str,
        revision: int,
        hosts: Iterable[str],
        *,
        down_reason: str = "",
        warning: str = "",
    ) -> bool:
        """See ``ChainStatusReporter``, also for the other methods."""
        return realisation.record_plan(
            context, chain_id, revision, hosts, down_reason=down_reason, warning=warning
        )

    def confirm(
        self, context: Any, host: str, reports: Sequence[HostReport]
    ) -> Mapping[str, Sequence[tuple[str, int]]]:
        return realisation.record_reports(context, host, reports)

    def mark_failed(self, context: Any, chain_ids: Iterable[str], reason: str) -> None:
        realisation.mark_failed(context, chain_ids, reason)

    def hosts_of(self, context: Any, chain_ids: Iterable[str]) -> Mapping[str, frozenset[str]]:
        return realisation.hosts_of(context, chain_ids)

    def expected_on(self, context: Any, host: str) -> Mapping[str, int]:
        return realisation.expected_on(context, host)

    def ready_on(self, context: Any, host: str) -> Sequence[tuple[str, int]]:
        return realisation.ready_on(context, host)
