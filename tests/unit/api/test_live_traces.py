"""Live traces: what hosts are asked to watch and to send, and what is said of their answers."""

from typing import Any
from unittest import mock

from neutron_lib.db import api as db_api

from portchain.dataplane.tracing.live import Direction, Spot
from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.steps import Decision, Exit, HostTrace, Reach, Step
from portchain.db import models
from portchain.requests import traces as trace_requests
from portchain.rpc.agent import AgentClient
from portchain.rpc.live import HostFailedError, LiveClient
from portchain.rpc.live_codec import WatchRequest
from tests.unit.api.base import HOST, OTHER_PROJECT, ApiTestCase

OTHER = {"project": OTHER_PROJECT}
FAR = "h9"
ADDRESSES = {HOST: "192.0.2.1", FAR: "192.0.2.9"}


class LiveTraceTest(ApiTestCase):
    drivers = ("ovs",)

    def setUp(self) -> None:
        super().setUp()
        self.predicted: list[HostTrace] = []
        self.watched: dict[str, WatchRequest] = {}
        self.sent: list[tuple[str, bytes, str, Packet]] = []
        self.asked: list[tuple[list[str], bytes, float]] = []
        self.seen: set[Spot] = set()
        self.refused: dict[str, dict[str, str] | HostFailedError] = {}
        self.not_sent = ""
        for target, name, stand_in in (
            (AgentClient, "trace", lambda *_: self.predicted.pop(0)),
            (LiveClient, "watch", self.watch),
            (LiveClient, "send", self.send),
            (LiveClient, "sightings", self.sightings),
        ):
            patch = mock.patch.object(target, name, stand_in)
            patch.start()
            self.addCleanup(patch.stop)
        patch = mock.patch(
            "portchain.drivers.hosts.driver.HostDriver.tunnel_addresses", return_value=ADDRESSES
        )
        patch.start()
        self.addCleanup(patch.stop)

    def prepare(self) -> None:
        self.net = self.network()
        self.source = self.port(self.net, "vm", ip="10.0.0.10")
        self.destination = self.port(self.net, "vm", ip="10.0.0.20")
        self.bind(self.source)
        self.bind(self.destination, FAR)

    def watch(self, _context: Any, requests: dict[str, WatchRequest]) -> Any:
        self.watched = dict(requests)
        return {host: self.refused.get(host, {}) for host in requests}

    def send(self, _context: Any, *sent: Any) -> str:
        self.sent.append(sent)
        return self.not_sent

    def sightings(self, _context: Any, hosts: list[str], token: bytes, seconds: float) -> Any:
        self.asked.append((hosts, token, seconds))
        return {host: frozenset(self.seen) for host in hosts}

    def trace(self, **attributes: Any) -> Any:
        wanted = {"port_id": self.source, "destination_ip_address": "10.0.0.20", "live": True}
        packet = {"protocol": "udp", "destination_port": 53}
        return self.create("trace", **(wanted | packet | attributes))

    def predict(self, pair: Any = None) -> None:
        """Predict that a packet is forwarded to the destination, through a function if there is
        one, which is on the far host, too."""
        tunnel = HostTrace(
            (Step(Decision.FORWARDED, "through the tunnel", "br-tun", 0, peer="192.0.2.9"),),
            (Exit(Reach.TUNNEL, "192.0.2.9", PACKET),),
        )
        end = (Step(Decision.DELIVERED, "here", "br-int", 94, port_id=self.destination),)
        arrives = (Exit(Reach.PORT, self.destination, PACKET),)
        if pair is None:
            self.predicted = [tunnel, HostTrace(end, arrives)]
            return
        ingress, egress = pair["ingress"], pair["egress"]
        function = HostTrace(
            (
                Step(
                    Decision.DELIVERED, "secret", "br-int", 152, port_id=ingress,
                    pair_id=pair["id"],
                ),
            ),
            (Exit(Reach.PORT, ingress, PACKET, pair["id"]),),
        )  # fmt: skip
        returned = Step(
            Decision.RETURNED, "secret", "br-int", 0, port_id=egress, pair_id=pair["id"]
        )
        self.predicted = [tunnel, function, HostTrace((returned, *end), arrives)]

    def own_pair(self) -> Any:
        pair = self.pair(self.net)
        for port in (pair["ingress"], pair["egress"]):
            self.bind(port, FAR)
        return pair

    def spots(self, pair: Any) -> list[Spot]:
        return [
            Spot(pair["ingress"], Direction.TO),
            Spot(pair["egress"], Direction.FROM),
            Spot(self.destination, Direction.TO),
        ]

    def test_a_packet_is_sent_once_and_watched_where_it_is_expected(self) -> None:
        pair = self.own_pair()
        self.predict(pair)
        self.seen = set(self.spots(pair))
        made = self.trace()
        ((host, token, port, packet),) = self.sent
        assert (host, port, len(token)) == (HOST, self.source, 16)
        assert (packet.protocol, packet.destination_port) == (17, 53)
        wanted = WatchRequest(token, frozenset(self.seen), "10.0.0.10", "10.0.0.20")
        assert self.watched == {FAR: wanted}
        ((hosts, asked_for, seconds),) = self.asked
        assert (hosts, asked_for, seconds) == ([FAR], token, 3.0)
        assert (made["phase"], made["outcome"], made["live"]) == ("SUCCEEDED", "DELIVERED", True)
        assert [(step["decision"], step["seen"]) for step in made["steps"]] == [
            ("FORWARDED", ""),
            *(("DELIVERED", "SEEN"), ("RETURNED", "SEEN"), ("DELIVERED", "SEEN")),
            ("OBSERVED", ""),
        ]
        assert made["reason"] == made["steps"][-1]["reason"]
        assert made["reason"] == (
            f"the packet was seen at ingress port {pair['ingress']} on host {FAR}, egress port "
            f"{pair['egress']} on host {FAR}, port {self.destination} on host {FAR}, as predicted"
        )
        assert self.show("trace", made["id"]) == made
        self.predict()
        self.trace()
        assert self.sent[1][1] != token

    def test_a_packet_that_a_function_keeps_is_dropped(self) -> None:
        pair = self.own_pair()
        self.predict(pair)
        self.seen = {self.spots(pair)[0]}
        made = self.trace()
        assert (made["phase"], made["outcome"]) == ("SUCCEEDED", "DROPPED")
        assert f"last seen at ingress port {pair['ingress']}" in made["reason"]
        assert "look at the function" in made["reason"]

    def test_sightings_elsewhere_do_not_count(self) -> None:
        """A host cannot say that it has seen a packet at a port of another host."""
        self.predict()
        self.bind(self.source)
        self.seen = {Spot(self.source, Direction.TO), Spot(self.destination, Direction.FROM)}
        assert self.trace()["outcome"] == "DROPPED"

    def test_the_destination_is_watched_though_the_trace_does_not_reach_it(self) -> None:
        for decision, phase in ((Decision.DROPPED, "SUCCEEDED"), (Decision.LOST, "FAILED")):
            self.predicted = [HostTrace((Step(decision, "because", "br-int", 150),), ())]
            self.seen = set()
            made = self.trace()
            assert self.watched[FAR].spots == {Spot(self.destination, Direction.TO)}
            assert made["outcome"] == "DROPPED"
            assert "was not seen at its destination" in made["reason"]
            self.predicted = [HostTrace((Step(decision, "because", "br-int", 150),), ())]
            self.seen = {Spot(self.destination, Direction.TO)}
            assert self.trace()["outcome"] == "DELIVERED"
            self.predicted = [HostTrace((Step(decision, "because", "br-int", 150),), ())]
            self.refused = {FAR: HostFailedError("the host is away")}
            made = self.trace()
            assert (made["phase"], made["outcome"]) == (phase, str(decision))
            assert "not watched: its destination (the host is away)" in made["reason"]
            self.refused = {}

    def test_what_was_not_watched_is_said(self) -> None:
        pair = self.own_pair()
        self.predict(pair)
        self.refused = {FAR: {pair["egress"]: "it has no device"}}
        self.seen = {self.spots(pair)[0], self.spots(pair)[2]}
        made = self.trace()
        assert [step["seen"] for step in made["steps"]] == ["", "SEEN", "NOT_WATCHED", "SEEN", ""]
        assert (
            f"not watched: egress port {pair['egress']} on host {FAR} (it has no device)"
            in (made["reason"])
        )

    def test_a_packet_that_is_not_sent_changes_nothing_of_the_trace(self) -> None:
        self.predict()
        self.not_sent = "the host is busy"
        made = self.trace()
        assert (made["outcome"], made["reason"]) == (
            "DELIVERED",
            "no packet was sent: the host is busy",
        )
        assert {step["seen"] for step in made["steps"]} == {""}
        ((_, _, seconds),) = self.asked
        assert seconds == 0

    def test_a_packet_is_not_sent_when_the_time_is_over(self) -> None:
        self.predict()
        with mock.patch.object(trace_requests, "_ALL_HOSTS_SECONDS", 0):
            made = self.trace()
        assert (made["phase"], made["outcome"], self.sent) == ("FAILED", "LOST", [])
        assert made["reason"] == "20 s are over; the packet was not sent"

    def test_functions_of_other_projects_are_hidden(self) -> None:
        self.call("PUT", f"/networks/{self.net}", {"network": {"shared": True}}, roles="admin")
        pair = self.create(
            "port_pair",
            as_=OTHER,
            ingress=self.port(self.net, "theirs", **OTHER),
            egress=self.port(self.net, "theirs", **OTHER),
        )
        for port in (pair["ingress"], pair["egress"]):
            self.bind(port, "h8")
        tunnel = HostTrace(
            (Step(Decision.FORWARDED, "through the tunnel", "br-tun", 0, peer="192.0.2.8"),),
            (Exit(Reach.TUNNEL, "192.0.2.8", PACKET),),
        )
        ADDRESSES["h8"] = "192.0.2.8"
        self.addCleanup(ADDRESSES.pop, "h8")
        self.predict(pair)
        onward, (_, function, end) = self.predicted[0], self.predicted
        back = HostTrace((end.steps[0], onward.steps[0]), onward.exits)
        self.predicted = [tunnel, function, back, HostTrace(end.steps[1:], end.exits)]
        self.refused = {"h8": {pair["egress"]: "secret reason"}}
        self.seen = {self.spots(pair)[0], self.spots(pair)[2]}
        made = self.trace()
        for secret in (pair["id"], pair["ingress"], pair["egress"], "h8", "secret"):
            assert secret not in str(made["steps"][1:]), secret
        sights = ["", "SEEN", "NOT_WATCHED", "", "SEEN", ""]
        assert [step["seen"] for step in made["steps"]] == sights
        assert "not watched: a port of another project" in made["reason"]

    def test_what_a_port_may_not_send_is_refused(self) -> None:
        for attributes, words in (
            ({"source_ip_address": "10.0.0.99"}, "sends from an address of port"),
            ({"established": True}, "first packet of a connection"),
            ({"protocol": "sctp"}, "cannot send SCTP"),
            ({"protocol": "icmp", "source_port": 5}, "echo requests only"),
            ({"protocol": "icmp", "destination_port": 5}, "echo requests only"),
        ):
            wanted = {"port_id": self.source, "destination_ip_address": "10.0.0.20", "live": True}
            error = self.create("trace", expect=400, **(wanted | attributes))
            assert words in error["message"], error
        assert self.sent == []
        assert self.list_all("trace") == []

    def test_allowed_addresses_may_be_sent_from(self) -> None:
        pairs = [{"ip_address": "10.0.0.96/28"}]
        body = {"port": {"allowed_address_pairs": pairs}}
        self.call("PUT", f"/ports/{self.source}", body)
        self.predict()
        self.trace(source_ip_address="10.0.0.99")
        assert self.sent[0][3].source == "10.0.0.99"

    def test_a_port_sends_one_packet_at_a_time(self) -> None:
        self.predict()
        made = self.trace()
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            session.get(models.Trace, made["id"]).phase = "RUNNING"
        wanted = {"port_id": self.source, "destination_ip_address": "10.0.0.20", "live": True}
        error = self.create("trace", expect=409, **wanted)
        assert "another live trace" in error["message"]
        self.predict()
        assert self.trace(live=False)["outcome"] == "DELIVERED"
        assert len(self.sent) == 1
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            row = session.get(models.Trace, made["id"])
            row.expires_at = row.expires_at.replace(year=row.expires_at.year - 1)
        self.predict()
        assert self.trace()["outcome"] == "DROPPED"

    def test_others_cannot_send_from_a_port(self) -> None:
        self.call("PUT", f"/networks/{self.net}", {"network": {"shared": True}}, roles="admin")
        foreign = self.port(self.net, "theirs", **OTHER)
        wanted = {"destination_ip_address": "10.0.0.20", "live": True}
        error = self.create("trace", expect=400, port_id=foreign, **wanted)
        assert "belongs to another project" in error["message"]
        self.create("trace", expect=404, as_=OTHER, port_id=self.source, **wanted)
        assert self.sent == []


PACKET = Packet(
    "fa:16:3e:00:00:01", "fa:16:3e:00:00:02", "IPv4", "10.0.0.10", "10.0.0.20", 17, 49152, 53
)
