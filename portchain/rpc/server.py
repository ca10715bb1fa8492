"""To the server: the agent's side calls (``ServerClient``), the server's side answers (``ServerEndpoint``)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import oslo_messaging
from neutron_lib import rpc as n_rpc

from portchain.core.model import HostReport
from portchain.rpc import contract


class ServerClient:
    """Asks the server, and tells it what became of plans."""

    def __init__(self) -> None:
        self._client = n_rpc.get_client(
            oslo_messaging.Target(topic=contract.SERVER_TOPIC, version=contract.VERSION)
        )

    def sync(self, context: Any, host: str, known: Mapping[str, int]) -> contract.PlanUpdate:
        """Ask what this host does not know yet.

        :param known: chain id -> revision of the plans the host holds.
        :raises Exception: of oslo.messaging, when no server answers; ContractError for an answer that cannot be read.
        """
        answer = self._client.prepare().call(context, "sync", host=host, known=dict(known))
        return contract.decode_update(answer)

    def report(self, context: Any, host: str, reports: Sequence[HostReport]) -> None:
        """Tell what became of plans; returns when the server has written it down.

        :raises Exception: of oslo.messaging, when no server answers.
        """
        self._client.prepare().call(
            context, "report", host=host, reports=contract.encode_reports(reports)
        )


class ServerEndpoint:
    """Answers agents.

    :param sync: (context, host, known) -> what the host must change.
    :param report: (context, host, reports) -> None.
    """

    target = oslo_messaging.Target(version=contract.VERSION)

    def __init__(
        self,
        sync: Callable[[Any, str, Mapping[str, int]], contract.PlanUpdate],
        report: Callable[[Any, str, Sequence[HostReport]], None],
    ) -> None:
        self._sync = sync
        self._report = report

    def sync(self, context: Any, host: str, known: Any) -> dict[str, Any]:
        """Compare what a host knows with what it should.

        :raises ContractError: the agent sent something else.
        """
        return contract.encode_update(self._sync(context, host, contract.decode_known(known)))

    def report(self, context: Any, host: str, reports: Any) -> None:
        """Write down what became of plans.

        :raises ContractError: the agent sent something else.
        """
        self._report(context, host, contract.decode_reports(reports))
