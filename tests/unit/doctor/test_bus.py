"""Questions to agent and server over a message bus in memory, and brokers that do not answer."""

import socket
from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg

from portchain.doctor.readers import bus
from portchain.rpc import contract
from portchain.rpc.agent import AgentEndpoint
from portchain.rpc.server import ServerEndpoint
from portchain.rpc.state_codec import AgentState
from tests.message_bus import MessageBusTestCase
from tests.unit.doctor.hosts import plan

STATE = AgentState(contract.MINOR_VERSION, is_in_sync=True, revisions={}, plans=(plan(),))


class Older:
    """What agent and server of contract 1.18 offer."""

    target = oslo_messaging.Target(version=contract.VERSION)

    def ping(self, context: Any) -> None:
        raise NotImplementedError


class BusTest(MessageBusTestCase):
    def agent(self, endpoint: Any = None) -> None:
        made = AgentEndpoint(
            lambda _: None, lambda _: {}, lambda _: {}, lambda _: STATE, lambda *_: None
        )
        self.serve(contract.AGENT_TOPIC, "h1", endpoint or made)

    def server(self, endpoint: Any = None) -> None:
        def plans(_context: Any, host: str) -> contract.PlanUpdate:
            assert host == "h1"
            return contract.PlanUpdate(chains=(plan(),), parts_sent={})

        made = ServerEndpoint(*[lambda *_: None] * 4, plans=plans)  # type: ignore[arg-type]
        self.serve(contract.SERVER_TOPIC, "api-1", endpoint or made)

    def test_both_answer(self) -> None:
        self.agent()
        self.server()
        agent, plans = bus.Bus(30).ask("h1", {7: "agent"})
        assert (agent.state, agent.processes, agent.is_alive) == (STATE, {7: "agent"}, True)
        assert plans.of_server == (plan(),)

    def test_both_are_of_an_older_release(self) -> None:
        self.agent(Older())
        self.server(Older())
        agent, plans = bus.Bus(30).ask("h1", {})
        assert (agent.state, agent.is_older, agent.is_alive) == (None, True, True)
        assert plans.of_server is None
        assert "before contract 1.19" in plans.silence

    def test_nobody_answers(self) -> None:
        agent, plans = bus.Bus(1).ask("h1", {})
        assert (agent.state, agent.is_alive, plans.of_server) == (None, False, None)
        assert agent.silence == plans.silence == "no answer within 1 s"


@pytest.fixture
def port() -> int:
    """A TCP port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the address of the message broker."""

    parse = oslo_messaging.TransportURL.parse

    def configure(url: str) -> None:
        found = parse(cfg.CONF, url)
        monkeypatch.setattr(bus.oslo_messaging.TransportURL, "parse", lambda _: found)

    return configure


def test_a_broker_that_accepts_connections_is_reached(broker: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        there = f"127.0.0.1:{listening.getsockname()[1]}"
        broker(f"rabbit://u:p@{there}/")
        assert bus.why_unreachable(5) == ""
        # One of a cluster is enough.
        broker(f"rabbit://u:p@127.0.0.1:1,u:p@{there}/")
        assert bus.why_unreachable(5) == ""


def test_a_broker_that_refuses_is_named_without_its_password(broker: Any, port: int) -> None:
    broker(f"rabbit://u:secret@127.0.0.1:{port}/")
    reason = bus.why_unreachable(5)
    assert f"127.0.0.1:{port} (Connection refused)" in reason
    assert "secret" not in reason


def test_a_broker_that_is_not_configured_is_not_looked_for(broker: Any) -> None:
    broker("rabbit://")
    assert "names no message broker" in bus.why_unreachable(5)
    broker("fake:")
    assert bus.why_unreachable(5) == ""
