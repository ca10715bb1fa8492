"""Chains of networks that routers of Neutron's L3 agents connect. Only the full run has them.

`test_ends` has a virtual machine as the router: what matters to a chain is where the router sends.
Here are real routers, distributed and not, and floating addresses (docs/decisions/0048).
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from portchain_lab.lab import Lab
from portchain_lab.observe import packet_paths, traffic
from portchain_lab.waiting import wait_for

from tests.lab.captures import Captures
from tests.lab.labs import FIREWALL, Labs
from tests.lab.test_ends import PORT, Place

RIGHT, OUTSIDE, WORLD = "10.51.0.0/24", "203.0.113.0/24", "203.0.113.50"
A, B = "10.50.0.10", "10.51.0.20"
TO_RIGHT = {"source_ip_prefix": f"{A}/32", "destination_ip_prefix": RIGHT}
TO_OUTSIDE = {"source_ip_prefix": f"{A}/32", "destination_ip_prefix": OUTSIDE}
ENDS = (("source", "a"), ("destination", "b"))
FROM_OUTSIDE = {"source_ip_prefix": OUTSIDE, "destination_ip_prefix": f"{A}/32"}


class Routed(Place):
    """Two networks, an external one, and a router: ``a`` on h1 has a floating address.

    The function ``f`` routes and is on h2; ``g`` bridges and is on h3. Both are on the network of
    ``a``.
    """

    def build(self, *, distributed: bool) -> None:
        self.admin = self.lab.sdk("admin").network
        # With port security: before it has a chain, the function that bridges would close a loop.
        for name, prefix in (("inside", "10.50.0.0/24"), ("right", RIGHT)):
            self.nets[name] = self.cloud.create_network(name=name)
            self.cloud.create_subnet(network_id=self.nets[name].id, ip_version=4, cidr=prefix)
        (group,) = self.cloud.security_groups(
            name="default", project_id=self.nets["inside"].project_id
        )
        self.admitting_rule = self.cloud.create_security_group_rule(
            security_group_id=group.id,
            direction="ingress",
            ethertype="IPv4",
            remote_ip_prefix="0.0.0.0/0",
        )
        self.outside = self.admin.create_network(
            name="outside", is_router_external=True, port_security_enabled=False
        )
        self.admin.create_subnet(
            network_id=self.outside.id, ip_version=4, cidr=OUTSIDE, enable_dhcp=False
        )
        self.router = self.admin.create_router(
            project_id=self.lab.sdk("demo").current_project_id,
            is_distributed=distributed,
            external_gateway_info={"network_id": self.outside.id},
        )
        for net in self.nets.values():
            (subnet,) = self.cloud.subnets(network_id=net.id)
            self.cloud.add_interface_to_router(self.router, subnet_id=subnet.id)
        self.ports["world"] = self.admin.create_port(
            network_id=self.outside.id, name="world", fixed_ips=[{"ip_address": WORLD}]
        )
        self.port("a", "inside", A)
        self.port("b", "right", B)
        for name in ("f-in", "f-out", "g-in", "g-out"):
            self.port(name, "inside")
        for name, host in (("a", "h1"), ("b", "h2"), ("world", "h3")):
            self.vm(name, host, name)
        self.vm("f", "h2", "f-in", "f-out", kind="l3")
        self.vm("g", "h3", "g-in", "g-out", kind="l2")
        self.ready()
        self.floating = self.cloud.create_ip(
            floating_network_id=self.outside.id, port_id=self.ports["a"].id
        )
        # Before the router of h1 knows the floating address, it could redirect `a` to source NAT.
        for source, address in (("a", B), ("world", self.floating_address), ("a", WORLD)):
            self.wait_reachable(source, address)

    @property
    def floating_address(self) -> str:
        return str(self.floating.floating_ip_address)

    def wait_reachable(self, source: str, address: str) -> None:
        vm = self.vms[source]
        wait_for(lambda: self.lab.vms.ping(vm, address), 120, f"{address} to answer {source}")

    def groups(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """New groups: of the function that routes, and of the one that bridges."""
        self.delete_chains()
        pair = self.create(
            "port_pair",
            ingress=self.ports["g-in"].id,
            egress=self.ports["g-out"].id,
            function_kind="l2",
        )
        bridging = self.create("port_pair_group", port_pairs=[pair["id"]])
        return self.group("F", "f-in", "f-out"), bridging

    def refusal(self, *, symmetric: bool = False, **classifier: Any) -> str:
        """Why a chain is refused."""
        group, _ = self.groups()
        made = self.create("flow_classifier", protocol="tcp", **classifier)
        body = {
            "port_pair_groups": [group["id"]],
            "flow_classifiers": [made["id"]],
            "chain_parameters": {"symmetric": symmetric},
        }
        answer = self.cloud.post("/sfc/port_chains", json={"port_chain": body})
        assert answer.status_code == 400, answer.text
        return str(json.loads(answer.text)["NeutronError"]["message"])

    def ports_on_way(self, source: str, destination: str, to: str) -> set[tuple[str, str]]:
        """The ports, each with a packet's source address there, of connections that succeed."""
        server = traffic.TcpEchoServer(self.vms[destination], PORT)
        with self.captures(*self.vms.values()) as capture, server:
            attempt = traffic.tcp_connect(self.vms[source], self.vms[destination], PORT, address=to)
            capture.wait_until_quiet()
        assert attempt.ok, attempt.error
        seen = packet_paths.observations(capture.frames, promiscuous=True)
        requests = (one for one in seen if one.five_tuple.destination_port == PORT)
        return {(one.port, one.five_tuple.source) for one in requests}

    def end(self) -> None:
        self.delete_chains()
        self.lab.vms.delete_all()
        self.cloud.delete_ip(self.floating)
        self.admin.update_router(self.router, external_gateway_info={})
        for net in self.nets.values():
            (subnet,) = self.cloud.subnets(network_id=net.id)
            self.cloud.remove_interface_from_router(self.router, subnet_id=subnet.id)
        self.admin.delete_router(self.router)
        self.admin.delete_port(self.ports.pop("world"))
        super().end()
        self.admin.delete_network(self.outside)
        self.cloud.delete_security_group_rule(self.admitting_rule)


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    return labs.get(firewall=FIREWALL, l2_population=True, routers=True)


@pytest.fixture
def routed(lab: Lab, captures: Captures) -> Iterator[Routed]:
    made = Routed(lab, captures)
    yield made
    made.end()


def test_router_on_one_host(routed: Routed) -> None:
    routed.build(distributed=False)
    routing, _ = routed.groups()
    routed.steer([routing], symmetric=True, **TO_RIGHT)
    assert routed.way("a", "b", B) == {("a", "f-in", "f-out", "b")}
    assert routed.ways_back == {("b", "f-out", "f-in", "a")}
    routing, _ = routed.groups()
    routed.steer([routing], symmetric=True, **FROM_OUTSIDE)
    way = routed.ports_on_way("world", "a", routed.floating_address)
    assert way == {(port, WORLD) for port in ("world", "f-in", "f-out", "a")}
    routing, _ = routed.groups()
    chain = routed.steer([routing], symmetric=True, **TO_OUTSIDE)
    assert routed.status(chain) == ("ACTIVE", "")
    assert ("world", routed.floating_address) in routed.ports_on_way("a", "world", WORLD)


def test_distributed_router(routed: Routed) -> None:
    routed.build(distributed=True)
    for refused in (
        routed.refusal(symmetric=True, **TO_RIGHT),
        routed.refusal(symmetric=True, **TO_OUTSIDE),
        routed.refusal(**FROM_OUTSIDE),
    ):
        assert "of a distributed router" in refused
    routing, _ = routed.groups()
    routed.steer([routing], **TO_RIGHT)
    assert routed.way("a", "b", B) == {("a", "f-in", "f-out", "b")}
    routing, _ = routed.groups()
    named = {f"logical_{end}_port": routed.ports[port].id for end, port in ENDS}
    routed.steer([routing], symmetric=True, **named)
    assert routed.way("a", "b", B) == {("a", "f-in", "f-out", "b")}
    assert routed.ways_back == {("b", "f-out", "f-in", "a")}
    routing, _ = routed.groups()
    chain = routed.steer([routing], **TO_OUTSIDE)
    assert "has a floating address of a distributed router" in routed.status(chain)[1]
    _, bridging = routed.groups()
    chain = routed.steer([bridging], **TO_OUTSIDE)
    assert routed.status(chain) == ("ACTIVE", "")
    way = routed.ports_on_way("a", "world", WORLD)
    inside = {(port, A) for port in ("a", "g-in", "g-out")}
    assert way == inside | {("world", routed.floating_address)}
