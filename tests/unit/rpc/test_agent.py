"""Questions of the server to hosts over a message bus in memory; some hosts do not answer."""

import time
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any
from unittest import mock

import oslo_messaging
from neutron.tests import base
from neutron_lib import context as neutron_context
from neutron_lib import rpc
from oslo_config import cfg

from portchain.core.counters import Count, Counter, HostCounts
from portchain.rpc import contract
from portchain.rpc.agent import AgentClient, AgentEndpoint
from tests.plans import ident

CHAIN = ident("pc1")
VISITS, OF_OTHER = (Counter(ident(name), False, "in", ident("a")) for name in ("pc1", "pc2"))


class HostBefore117:
    """What an older release offers the server."""

    target = oslo_messaging.Target(version=contract.VERSION)

    def apply(self, context: Any, update: Any) -> None:
        raise NotImplementedError


class ConfusedHost(HostBefore117):
    def counters(self, context: Any, chain_ids: Any) -> Any:
        return [{"chain_id": "everything"}]


class AgentTest(base.BaseTestCase):
    def setUp(self) -> None:
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
        cfg.CONF.set_override("rpc_response_timeout", 30)
        self.asked: list[Collection[str]] = []

    def host(self, name: str, endpoint: Any) -> None:
        target = oslo_messaging.Target(topic=contract.AGENT_TOPIC, server=name)
        server = rpc.get_server(target, [endpoint])
        server.start(override_pool_size=1)
        self.addCleanup(server.wait)
        self.addCleanup(server.stop)

    def counting(self, name: str, counts: Mapping[Counter, Count]) -> None:
        def count(chain_ids: Collection[str]) -> Mapping[Counter, Count]:
            self.asked.append(chain_ids)
            return counts

        self.host(name, AgentEndpoint(lambda _: None, count, lambda _: {}))

    def ask(self, *hosts: str, timeout: float = 30) -> HostCounts:
        context = neutron_context.get_admin_context_without_session()
        return AgentClient().counters(context, hosts, CHAIN, timeout)

    def test_each_host_answers_for_the_chain(self) -> None:
        self.counting("h1", {VISITS: Count(2**40, 2**50), OF_OTHER: Count(5, 5)})
        self.counting("h2", {})
        counts = self.ask("h1", "h2")
        assert counts == HostCounts({"h1": {VISITS: Count(2**40, 2**50)}, "h2": {}}, {})
        assert self.asked == [(CHAIN,)] * 2

    def test_no_hosts_are_no_question(self) -> None:
        assert self.ask() == HostCounts()

    def test_a_host_that_does_not_answer_is_named_with_the_reason(self) -> None:
        def fail(_: Collection[str]) -> Mapping[Counter, Count]:
            raise RuntimeError("ovs-vswitchd is not running")

        self.counting("h1", {VISITS: Count(1, 2)})
        self.host("older", HostBefore117())
        self.host("confused", ConfusedHost())
        self.host("failing", AgentEndpoint(lambda _: None, fail, lambda _: {}))
        counts = self.ask("h1", "older", "confused", "failing")
        assert counts.answers == {"h1": {VISITS: Count(1, 2)}}
        assert counts.failures == {
            "older": "its release is older and cannot answer",
            "confused": "its answer cannot be read",
            "failing": "it failed, or cannot be reached; the logs say why",
        }

    def test_a_host_that_is_down_is_not_waited_for_longer_than_asked(self) -> None:
        self.counting("h1", {VISITS: Count(1, 2)})
        counts = self.ask("h1", "down", timeout=2)
        assert counts == HostCounts({"h1": {VISITS: Count(1, 2)}}, {"down": "no answer within 2 s"})
