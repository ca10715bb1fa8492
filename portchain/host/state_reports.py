"""What a host reports of its chains to the server."""

from collections.abc import Callable, Iterable, Mapping

from oslo_log import log

from portchain.core.model import HostReport
from portchain.dataplane.arbitration import Outcome
from portchain.dataplane.transition import ChainTransition, Phase

LOG = log.getLogger(__name__)


class StateReports:
    """Sends a report of a chain when it differs from the last one. Not thread-safe.

    :param send: called with the reports that are new; must not block.
    :ivar incomplete: chains that lack something on this host, by their last outcome.
    """

    def __init__(self, send: Callable[[list[HostReport]], None]) -> None:
        self._send = send
        self._sent: dict[str, HostReport] = {}
        self.incomplete: set[str] = set()

    def forget(self, chain_ids: Iterable[str]) -> None:
        """Report chains anew when they come back."""
        for chain_id in chain_ids:
            self._sent.pop(chain_id, None)

    def send(self, reports: Iterable[HostReport]) -> None:
        """Send those reports that the server does not have yet."""
        changed = [report for report in reports if self._sent.get(report.chain_id) != report]
        self._sent.update((report.chain_id, report) for report in changed)
        if changed:
            self._send(changed)

    def send_outcomes(
        self, outcomes: Mapping[str, Outcome], chains: Mapping[str, ChainTransition]
    ) -> None:
        """Report what has become of chains.

        :param outcomes: chain id -> outcome of its flows.
        :param chains: the states of all chains of this host.
        """
        self.incomplete -= outcomes.keys()
        self.incomplete |= {chain_id for chain_id, outcome in outcomes.items() if outcome.missing}
        reports = []
        for chain_id, outcome in outcomes.items():
            _log_failures(chain_id, outcome)
            state = chains.get(chain_id)
            if state is not None and state.plan is not None:
                reports.append(
                    HostReport(
                        chain_id,
                        state.plan.revision,
                        outcome.error,
                        "; ".join(outcome.missing),
                        # A change of pairs is done when new connections go by the new ones.
                        prepared=state.phase is not Phase.SWITCHED,
                        warning=outcome.warning,
                    )
                )
        self.send(reports)


def _log_failures(chain_id: str, outcome: Outcome) -> None:
    for failure in outcome.failures:
        LOG.error(
            "The latest plan of chain %s is not programmed: %s. Its previous plan stays in place, "
            "and traffic that would bypass the chain is dropped",
            chain_id,
            failure,
            exc_info=None if outcome.is_expected else failure,
        )
