"""Records the status of chains in Neutron's database, on behalf of the drivers."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from portchain.core.model import HostReport
from portchain.core.plan_records import HostChanges, PlanRecord
from portchain.db import realisation, redaction, sent_plans
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
        packet_hosts: Collection[str] = (),
    ) -> bool:
        """See ``ChainStatusReporter``, also for the other methods."""
        parts = dict.fromkeys(hosts, "")
        record = PlanRecord(chain_id, revision, parts, down_reason, warning, packet_hosts)
        return bool(self.record_plans(context, [record]))

    def record_plans(
        self, context: Any, records: Sequence[PlanRecord], *, quiet: Collection[str] = ()
    ) -> Mapping[str, HostChanges]:
        return sent_plans.record(
            context, [_record_for_owner(context, record) for record in records], quiet=quiet
        )

    def confirm(
        self, context: Any, host: str, reports: Sequence[HostReport]
    ) -> Mapping[str, Sequence[tuple[str, int]]]:
        return realisation.record_reports(context, host, reports)

    def mark_failed(self, context: Any, chain_ids: Iterable[str], reason: str) -> None:
        texts: dict[str, list[str]] = defaultdict(list)
        for chain_id in chain_ids:
            texts[_for_owner(context, chain_id, reason)].append(chain_id)
        for text, ids in texts.items():
            realisation.mark_failed(context, ids, text)

    def hosts_of(self, context: Any, chain_ids: Iterable[str]) -> Mapping[str, frozenset[str]]:
        return realisation.hosts_of(context, chain_ids)

    def expected_on(self, context: Any, host: str) -> Mapping[str, int]:
        return realisation.expected_on(context, host)

    def ready_on(self, context: Any, host: str) -> Sequence[tuple[str, int]]:
        return realisation.ready_on(context, host)


def _record_for_owner(context: Any, record: PlanRecord) -> PlanRecord:
    return replace(
        record,
        down_reason=_for_owner(context, record.chain_id, record.down_reason),
        warning=_for_owner(context, record.chain_id, record.warning),
    )


def _for_owner(context: Any, chain_id: str, text: str) -> str:
    """Return a text as the owner of a chain may read it."""
    if not redaction.ids_in(text):
        return text
    return redaction.redact(context, text, realisation.project_of(context, chain_id))
