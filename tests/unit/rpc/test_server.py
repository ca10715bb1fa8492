"""Calls of hosts over a message bus in memory, to servers of this release and of the one before."""

from typing import Any

import oslo_messaging
from neutron_lib import context as neutron_context

from portchain.rpc import contract
from portchain.rpc.fields import as_mapping, read_int, read_uuid
from portchain.rpc.server import ServerClient, ServerEndpoint
from tests.message_bus import MessageBusTestCase
from tests.plans import ident

KNOWN = {ident("pc1"): 3}


class ServerBefore113:
    """What contract 1.12 does with a request for changes: it checks it and knows no other chain."""

    target = oslo_messaging.Target(version=contract.VERSION)

    def sync(self, context: Any, host: str, known: Any) -> dict[str, Any]:
        del context, host
        revisions = as_mapping(known, "known")
        removed = {
            read_uuid({"id": chain_id}, "id"): read_int(revisions, chain_id, 0)
            for chain_id in revisions
        }
        return contract.encode_update(contract.PlanUpdate(removed=tuple(removed.items())))


class ServerTest(MessageBusTestCase):
    def sync(self, endpoint: Any) -> contract.PlanUpdate:
        """Let a host of this release ask a server for changes."""
        self.serve(contract.SERVER_TOPIC, "api-1", endpoint)
        context = neutron_context.get_admin_context_without_session()
        known = contract.HostKnowledge(KNOWN, contract.MINOR_VERSION)
        return ServerClient().sync(context, "h1", known)

    def test_the_server_learns_the_version_of_a_host(self) -> None:
        said: list[tuple[str, contract.HostKnowledge]] = []

        def answer(
            _context: Any, host: str, knowledge: contract.HostKnowledge
        ) -> contract.PlanUpdate:
            said.append((host, knowledge))
            return contract.PlanUpdate()

        endpoint = ServerEndpoint(answer, *[lambda *_: None] * 4)
        assert self.sync(endpoint) == contract.PlanUpdate()
        assert said == [("h1", contract.HostKnowledge(KNOWN, contract.MINOR_VERSION))]

    def test_an_older_server_takes_the_version_for_a_chain_that_has_gone(self) -> None:
        answer = self.sync(ServerBefore113())
        assert answer.removed == (
            (ident("pc1"), 3),
            ("00000000-0000-0000-0000-000000000000", contract.MINOR_VERSION),
        )
