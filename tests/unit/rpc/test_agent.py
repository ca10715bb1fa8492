"""Questions of the server to hosts over a message bus in memory; some hosts do not answer."""

import threading
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any
from unittest import mock

import oslo_messaging
import pytest
from neutron_lib import context as neutron_context

from portchain.core.counters import Count, Counter, HostCounts
from portchain.core.model import PairHealth
from portchain.dataplane.tracing.live import Direction, Spot
from portchain.dataplane.tracing.packet import Packet
from portchain.rpc import contract
from portchain.rpc.agent import AgentClient, AgentEndpoint, HostClient
from portchain.rpc.fields import ContractError
from portchain.rpc.live import LiveClient, LiveEndpoint
from portchain.rpc.live_codec import WatchRequest
from portchain.rpc.state_codec import AgentState, decode_state, encode_state
from tests.message_bus import MessageBusTestCase
from tests.plans import chain, ident, mac, target

CHAIN = ident("pc1")
STATE = AgentState(
    contract.MINOR_VERSION,
    is_in_sync=True,
    compared_seconds=4,
    revisions={CHAIN: 3},
    health=(PairHealth(ident("a"), False, "it has not answered 3 probes in a row"),),
    plans=(chain([target("a", "h1")]),),
    left_out=frozenset({ident("a")}),
)
VISITS, OF_OTHER = (Counter(ident(name), False, "in", ident("a")) for name in ("pc1", "pc2"))


def ignore(*_: Any) -> None:
    """Take a message and do nothing."""


class HostBefore117:
    """What an older release offers the server."""

    target = oslo_messaging.Target(version=contract.VERSION)

    def apply(self, context: Any, update: Any) -> None:
        raise NotImplementedError


class ConfusedHost(HostBefore117):
    def counters(self, context: Any, chain_ids: Any) -> Any:
        return [{"chain_id": "everything"}]


class WatchingHost:
    """Implements ``rpc.live.LiveService``."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def watch(self, request: WatchRequest) -> dict[str, str]:
        self.got.append(request)
        return {ident("b"): "no device"}

    def send(self, token: bytes, port_id: str, packet: Packet) -> str:
        self.got.append((token, port_id, packet))
        return "busy"

    def sightings(self, token: bytes, seconds: float) -> frozenset[Spot]:
        self.got.append((token, seconds))
        return WATCH.spots


TOKEN = bytes(range(16))
WATCH = WatchRequest(TOKEN, frozenset({Spot(ident("a"), Direction.TO)}), "10.0.0.1", "10.0.0.2")
PACKET = Packet(mac("a"), mac("b"), "IPv4", "10.0.0.1", "10.0.0.2", 17, 1, 2)


class AgentTest(MessageBusTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.asked: list[Collection[str]] = []

    def host(self, name: str, *endpoints: Any) -> None:
        self.serve(contract.AGENT_TOPIC, name, *endpoints)

    def counting(self, name: str, counts: Mapping[Counter, Count]) -> None:
        def count(chain_ids: Collection[str]) -> Mapping[Counter, Count]:
            self.asked.append(chain_ids)
            return counts

        self.host(name, AgentEndpoint(lambda _: None, count, lambda _: {}, lambda _: STATE, ignore))

    def ask(self, *hosts: str, timeout: float = 30) -> HostCounts:
        context = neutron_context.get_admin_context_without_session()
        return AgentClient().counters(context, hosts, CHAIN, timeout)

    def test_each_host_answers_for_the_chain(self) -> None:
        self.counting("h1", {VISITS: Count(2**40, 2**50), OF_OTHER: Count(5, 5)})
        self.counting("h2", {})
        counts = self.ask("h1", "h2")
        assert counts == HostCounts({"h1": {VISITS: Count(2**40, 2**50)}, "h2": {}}, {})
        assert self.asked == [(CHAIN,)] * 2

    def test_other_hosts_are_told_of_functions(self) -> None:
        told: SimpleQueue[tuple[str, Sequence[PairHealth]]] = SimpleQueue()
        endpoint = AgentEndpoint(ignore, ignore, ignore, ignore, lambda *said: told.put(said))
        self.host("h2", endpoint)
        context = neutron_context.get_admin_context_without_session()
        health = [PairHealth(ident("a"), False, "it hangs")]
        HostClient().tell_health(context, "h1", {"h2": health})
        assert told.get(timeout=30) == ("h1", tuple(health))
        for wrong in ({}, [{"pair_id": "a"}], "x"):
            with pytest.raises(ContractError):
                endpoint.pair_health(context, "h1", wrong)
        with pytest.raises(ContractError):
            endpoint.pair_health(context, 1, [])

    def test_no_hosts_are_no_question(self) -> None:
        assert self.ask() == HostCounts()

    def test_a_host_that_does_not_answer_is_named_with_the_reason(self) -> None:
        def fail(_: Collection[str]) -> Mapping[Counter, Count]:
            raise RuntimeError("ovs-vswitchd is not running")

        self.counting("h1", {VISITS: Count(1, 2)})
        self.host("older", HostBefore117())
        self.host("confused", ConfusedHost())
        self.host(
            "failing", AgentEndpoint(lambda _: None, fail, lambda _: {}, lambda _: STATE, ignore)
        )
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

    def test_a_controller_answers_for_hosts_without_power(self) -> None:
        for name, is_there in (("on", True), ("off", False)):
            answer = partial(bool, is_there)
            endpoint = AgentEndpoint(ignore, ignore, ignore, ignore, ignore, is_there=answer)
            self.host(name, endpoint)
        context = neutron_context.get_admin_context_without_session()
        assert AgentClient().silent(context, ["on", "off"], 30) == {"off"}

    def test_hosts_that_may_be_switched_off_are_asked_at_the_same_time(self) -> None:
        """The functions of a rack without power are out of the path as soon as those of a host."""
        hosts = [f"h{number}" for number in range(40)]
        all_are_asked = threading.Barrier(len(hosts))

        def call(_: Any, method: str) -> None:
            all_are_asked.wait(30)  # breaks if they are asked one after the other
            if method == "ping":
                raise oslo_messaging.MessagingTimeout

        client, context = AgentClient(), neutron_context.get_admin_context_without_session()
        with mock.patch.object(client, "_client") as bus:
            bus.prepare.return_value.call = call
            assert client.silent(context, hosts, 1.5) == set(hosts)

    def test_a_host_says_how_it_is(self) -> None:
        asked: list[bool] = []

        def state(with_plans: bool) -> AgentState:
            asked.append(with_plans)
            return STATE

        self.host("h1", AgentEndpoint(ignore, ignore, ignore, state, ignore))
        context = neutron_context.get_admin_context_without_session()
        assert AgentClient().state(context, "h1", 30, with_plans=True) == STATE
        assert asked == [True]

    def test_a_state_that_does_not_follow_the_contract_is_refused(self) -> None:
        good = encode_state(STATE)
        for name, value in (
            ("minor_version", "19"),
            ("compared_seconds", -1),
            ("revisions", {"pc1": 3}),
            ("revisions", [3]),
            ("health", [{"pair_id": "a"}]),
            ("update", {"chains": [3]}),
            ("left_out", ["a"]),
        ):
            with self.assertRaises(ContractError):
                decode_state(good | {name: value})

    def test_hosts_watch_and_send_the_packet_of_a_live_trace(self) -> None:
        context, watching = neutron_context.get_admin_context_without_session(), WatchingHost()
        self.host("h1", HostBefore117(), LiveEndpoint(watching))
        self.host("older", HostBefore117())
        client = LiveClient()
        answers = client.watch(context, {"h1": WATCH, "older": WATCH})
        assert answers["h1"] == {ident("b"): "no device"}
        assert "earlier release" in str(answers["older"])
        assert client.send(context, "h1", TOKEN, ident("a"), PACKET) == "busy"
        assert "earlier release" in client.send(context, "older", TOKEN, ident("a"), PACKET)
        seen = client.sightings(context, ["h1", "older"], TOKEN, 1.5)
        assert seen["h1"] == WATCH.spots
        assert "earlier release" in str(seen["older"])
        assert watching.got == [WATCH, (TOKEN, ident("a"), PACKET), (TOKEN, 1.5)]
        assert "cannot be asked" in client.send(context, "h1", b"short", ident("a"), PACKET)
