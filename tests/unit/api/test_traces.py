"""Traces: what they ask hosts, what they show to whom, and when they end."""

import datetime
from typing import Any
from unittest import mock

import oslo_messaging
from neutron import policy
from neutron_lib.db import api as db_api
from oslo_policy import policy as oslo_policy
from oslo_utils import timeutils

from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.reasons import NO_CLASSIFIER
from portchain.dataplane.tracing.steps import Decision, Exit, HostTrace, Reach, Start, Step
from portchain.db import models
from portchain.requests import traces as trace_requests
from portchain.rpc.agent import AgentClient
from tests.unit.api.base import HOST, OTHER_PROJECT, ApiTestCase

OTHER = {"project": OTHER_PROJECT}
ADMIN = {"project": OTHER_PROJECT, "roles": "admin"}


class TraceTest(ApiTestCase):
    drivers = ("ovs",)

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[tuple[str, Start, Packet]] = []
        self.answers: list[HostTrace | Exception] = []
        patch = mock.patch.object(AgentClient, "trace", self.answer)
        patch.start()
        self.addCleanup(patch.stop)

    def prepare(self) -> None:
        self.net = self.network()
        self.source = self.port(self.net, "vm", ip="10.0.0.10")
        self.destination = self.port(self.net, "vm", ip="10.0.0.20")
        self.bind(self.source)
        self.bind(self.destination)

    def answer(self, _context: Any, host: str, start: Start, packet: Packet, _s: float) -> Any:
        self.asked.append((host, start, packet))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def trace(self, **attributes: Any) -> Any:
        wanted = {"port_id": self.source, "destination_ip_address": "10.0.0.20"}
        return self.create("trace", **(wanted | attributes))

    def delivered(self, port: str, packet: Packet | None = None) -> HostTrace:
        way = Exit(Reach.PORT, port, packet or PACKET)
        return HostTrace((Step(Decision.DELIVERED, "here", "br-int", 94, port_id=port),), (way,))

    def test_a_packet_is_what_the_request_says(self) -> None:
        self.answers = [self.delivered(self.destination)]
        made = self.trace(protocol="tcp", source_port=23, destination_port=100)
        ((host, start, packet),) = self.asked
        assert (host, start) == (HOST, Start(port_id=self.source))
        assert (packet.source, packet.destination) == ("10.0.0.10", "10.0.0.20")
        assert (packet.protocol, packet.source_port, packet.destination_port) == (6, 23, 100)
        port = self.call("GET", f"/ports/{self.destination}").json["port"]
        assert packet.eth_dst == port["mac_address"]
        assert (made["phase"], made["outcome"], made["protocol"]) == (
            "SUCCEEDED",
            "DELIVERED",
            "tcp",
        )
        (step,) = made["steps"]
        assert step["port_id"] == self.destination
        assert step["host"] == HOST
        assert self.show("trace", made["id"]) == made
        assert self.list_all("trace", f"port_id={self.source}") == [made]
        self.delete("trace", made["id"])
        assert self.list_all("trace") == []

    def test_what_keeps_a_packet_out_of_chains_is_said(self) -> None:
        classifier = self.create(
            "flow_classifier",
            name="web",
            protocol="tcp",
            destination_port_range_min=80,
            destination_port_range_max=80,
            logical_source_port=self.source,
        )
        chain = self.create(
            "port_chain",
            name="security",
            port_pair_groups=[self.group(self.net)["id"]],
            flow_classifiers=[classifier["id"]],
        )
        step = Step(Decision.NOT_CLASSIFIED, NO_CLASSIFIER, "br-int", 73)
        self.answers = [HostTrace((step,), ())]
        made = self.trace(protocol="tcp", destination_port=8080)
        assert (
            "flow classifier web of port chain security does not match it: the destination port is "
            "8080, not 80"
        ) in made["steps"][0]["reason"]
        assert made["outcome"] == "DROPPED"
        self.answers = [HostTrace((step,), ())]
        reason = self.trace(protocol="tcp", destination_port=80)["steps"][0]["reason"]
        assert "matches it, but the host has no flow for that: the chain is DOWN" in reason
        enters = Step(Decision.CLASSIFIED, "", "br-int", 73, chain_id=chain["id"])
        self.answers = [HostTrace((enters,), ())]
        (shown,) = self.trace(protocol="tcp", destination_port=80)["steps"]
        assert shown["flow_classifier_id"] == classifier["id"]
        assert shown["port_chain_id"] == chain["id"]

    def test_functions_of_other_projects_are_hidden(self) -> None:
        pair = self.create(
            "port_pair",
            as_=OTHER,
            ingress=(ingress := self.foreign_port()),
            egress=(egress := self.foreign_port()),
        )
        for port in (ingress, egress):
            self.bind(port, "h9")
        function = HostTrace(
            (
                Step(Decision.SELECTED, "slot of foreign", "br-int", 152, pair_id=pair["id"]),
                Step(
                    Decision.DELIVERED, "secret", "br-int", 152,
                    pair_id=pair["id"], port_id=ingress,
                ),
            ),
            (Exit(Reach.PORT, ingress, PACKET, pair["id"]),),
        )  # fmt: skip
        tunnel = HostTrace(
            (Step(Decision.FORWARDED, "through the tunnel", "br-tun", 0, peer="192.0.2.9"),),
            (Exit(Reach.TUNNEL, "192.0.2.9", PACKET),),
        )
        end = HostTrace((Step(Decision.DROPPED, "their firewall", "br-int", 82),), ())
        addresses = mock.patch(
            "portchain.drivers.hosts.driver.HostDriver.tunnel_addresses",
            return_value={HOST: "192.0.2.1", "h9": "192.0.2.9"},
        )
        with addresses:
            self.answers = [tunnel, function, end]
            made = self.trace()
            self.answers = [tunnel, function, end]
            full = self.create(
                "trace", as_=ADMIN, port_id=self.source, destination_ip_address="10.0.0.20"
            )
        assert [host for host, _, _ in self.asked[:3]] == [HOST, "h9", "h9"]
        for secret in (pair["id"], ingress, egress, "h9", "secret", "foreign", "their firewall"):
            assert secret not in str(made["steps"][1:]), secret
        assert [step["decision"] for step in made["steps"]] == [
            *("FORWARDED", "SELECTED", "DELIVERED", "DROPPED")
        ]
        assert {"h9", HOST} == {step["host"] for step in full["steps"]}
        assert full["steps"][2]["port_id"] == ingress

    def foreign_port(self) -> str:
        net = self.call("GET", f"/networks/{self.net}", roles="admin").json["network"]["id"]
        self.call("PUT", f"/networks/{net}", {"network": {"shared": True}}, roles="admin")
        return self.port(net, "theirs", **OTHER)

    def test_a_policy_decides_who_sees_hosts(self) -> None:
        self.answers = [self.delivered(self.destination)]
        assert self.trace()["steps"][0]["host"] == HOST
        rule = {"get_port_chain:status_reason": "role:admin"}
        policy._ENFORCER.set_rules(oslo_policy.Rules.from_dict(rule), overwrite=False)
        self.answers = [self.delivered(self.destination)]
        assert self.trace()["steps"][0]["host"] == ""

    def test_ports_of_others_cannot_be_traced_and_their_traces_not_be_seen(self) -> None:
        foreign = self.foreign_port()
        error = self.create(
            "trace", expect=400, port_id=foreign, destination_ip_address="10.0.0.20"
        )
        assert "belongs to another project" in error["message"]
        self.answers = [self.delivered(self.destination)]
        made = self.trace()
        self.show("trace", made["id"], expect=404, **OTHER)
        assert self.list_all("trace", **OTHER) == []
        self.delete("trace", made["id"], expect=404, **OTHER)
        self.create(
            "trace",
            expect=403,
            as_={"roles": "reader"},
            port_id=self.source,
            destination_ip_address="10.0.0.20",
        )
        assert self.show("trace", made["id"], roles="reader") == made

    def test_hosts_that_do_not_answer_are_no_error_of_the_request(self) -> None:
        older = oslo_messaging.RemoteError("NoSuchMethod", "no such method")
        for failure, words in (
            (oslo_messaging.MessagingTimeout(), "is its agent running?"),
            (older, "of an earlier release"),
            (ValueError("x"), "cannot be asked"),
        ):
            self.answers = [failure]
            made = self.trace()
            assert (made["phase"], made["outcome"]) == ("FAILED", "LOST")
            assert words in made["reason"]

    def test_a_packet_that_the_port_cannot_send_is_refused(self) -> None:
        for attributes, words in (
            ({"destination_ip_address": "fd00::1"}, "no IPv6 address"),
            ({"destination_ip_address": "10.0.0.99"}, "has no router"),
            ({"source_ip_address": "fd00::1"}, "not of the IP version"),
            ({"protocol": "gre", "source_port": 5}, "only protocols"),
        ):
            wanted = {"port_id": self.source, "destination_ip_address": "10.0.0.20"}
            error = self.create("trace", expect=400, **(wanted | attributes))
            assert words in error["message"], error

    def test_traces_of_one_request_share_the_time_for_hosts(self) -> None:
        """Otherwise one request would hold an API worker for minutes."""
        item = {"port_id": self.source, "destination_ip_address": "10.0.0.20"}
        self.answers = [self.delivered(self.destination)]
        now = iter([100.0, 100.0, 119.0, 121.0, 130.0])
        with mock.patch.object(trace_requests.time, "monotonic", lambda: next(now, 200.0)):
            made = self.call("POST", "/sfc/traces", {"traces": [item] * 2}).json["traces"]
        assert [one["phase"] for one in made] == ["SUCCEEDED", "FAILED"]
        assert "20 s are over" in made[1]["reason"]
        assert len(self.asked) == 1

    def test_a_project_has_few_traces_under_way(self) -> None:
        seen: list[int] = []

        def answer(*_: Any) -> HostTrace:
            if len(seen) < 10:
                seen.append(len(seen))
                wanted = {"port_id": self.source, "destination_ip_address": "10.0.0.20"}
                answered = self.call("POST", "/sfc/traces", {"trace": wanted})
                if answered.status_int != 201:
                    error = answered.json["NeutronError"]["message"]
                    assert answered.status_int == 409, error
                    assert "5 traces of the project are under way" in error
            return self.delivered(self.destination)

        with mock.patch.object(AgentClient, "trace", answer):
            self.trace()
        assert len(seen) == 5
        self.answers = [self.delivered(self.destination)]
        self.trace()

    def test_traces_expire(self) -> None:
        self.answers = [self.delivered(self.destination)]
        made = self.trace()
        self.plugin.repair()
        assert self.show("trace", made["id"]) == made
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            row = session.get(models.Trace, made["id"])
            row.expires_at = timeutils.utcnow() - datetime.timedelta(seconds=1)
        self.plugin.repair()
        self.show("trace", made["id"], expect=404)


PACKET = Packet(
    "fa:16:3e:00:00:01", "fa:16:3e:00:00:02", "IPv4", "10.0.0.10", "10.0.0.20", 6, 23, 100
)
