"""Calls of hosts over a message bus in memory, to servers of this release and of the one before."""

import time
from types import SimpleNamespace
from typing import Any
from unittest import mock

import oslo_messaging
from neutron.tests import base
from neutron_lib import context as neutron_context
from neutron_lib import rpc
from oslo_config import cfg

from portchain.rpc import contract
from portchain.rpc.fields import as_mapping, read_int, read_uuid
from portchain.rpc.server import ServerClient, ServerEndpoint
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


class ServerTest(base.BaseTestCase):
    def setUp(self) -> None:
        # Threads that receive messages ask for the next one, and whether they are to stop, at
        # intervals that would be most of the time of these tests.
        for patch in (
            mock.patch("futurist._thread.ThreadWorker.MAX_IDLE_FOR", 0.005),
            mock.patch(
                "oslo_messaging._drivers.impl_fake.time",
                SimpleNamespace(time=time.time, sleep=lambda _seconds: time.sleep(0.005)),
            ),
        ):
            patch.start()
            self.addCleanup(patch.stop)
        super().setUp()
        cfg.CONF.set_override("rpc_response_timeout", 30)  # Neutron's tests wait for no answer

    def sync(self, endpoint: Any) -> contract.PlanUpdate:
        """Let a host of this release ask a server for changes."""
        target = oslo_messaging.Target(topic=contract.SERVER_TOPIC, server="api-1")
        server = rpc.get_server(target, [endpoint])
        server.start(override_pool_size=1)
        self.addCleanup(server.wait)
        self.addCleanup(server.stop)
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
