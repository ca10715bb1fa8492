"""Sources, destinations and functions in several networks, behind routers and on trunks."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.observe import packet_paths, traffic

from tests.lab.captures import Captures
from tests.lab.workflow import Workflow

ROUTER = "network:router_interface"
PORT = 100


class Place(Workflow):
    """Networks and VMs of one test, made as it needs them; ``net1`` and its VMs are not used."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.nets: dict[str, Any] = {}
        self.trunks: list[Any] = []
        self.ways_back: set[Any] = set()

    def network(self, name: str, *prefixes: str, gateways: tuple[str, ...] = ()) -> None:
        """A network without port security, in which VMs can forward for others."""
        self.nets[name] = self.cloud.create_network(name=name, port_security_enabled=False)
        for index, prefix in enumerate(prefixes):
            gateway = gateways[index] if index < len(gateways) else None
            self.cloud.create_subnet(
                network_id=self.nets[name].id,
                ip_version=6 if ":" in prefix else 4,
                cidr=prefix,
                gateway_ip=gateway,
            )

    def port(self, name: str, network: str, *addresses: str) -> None:
        fixed = {"fixed_ips": [{"ip_address": address} for address in addresses]}
        self.ports[name] = self.cloud.create_port(
            network_id=self.nets[network].id, name=name, **(fixed if addresses else {})
        )

    def vm(self, name: str, host: str, *ports: str, **how: Any) -> VirtualMachine:
        ids = [self.ports[port].id for port in ports]
        made = self.lab.vms.create(name, host, ids, wait=False, **how)
        self.vms[name] = made
        return made

    def trunk(self, parent: str, **subports: int) -> None:
        self.trunks.append(
            self.cloud.create_trunk(
                name=parent,
                port_id=self.ports[parent].id,
                sub_ports=[
                    {
                        "port_id": self.ports[name].id,
                        "segmentation_type": "vlan",
                        "segmentation_id": vlan,
                    }
                    for name, vlan in subports.items()
                ],
            )
        )

    def use_trunk(self, vm: str, parent: str, **subports: int) -> None:
        for name, vlan in subports.items():
            self.vms[vm] = self.lab.vms.attach_subport(
                self.vms[vm], parent, self.ports[name].id, vlan
            )

    def ready(self) -> None:
        self.lab.vms.wait_active(self.vms.values())

    def group(self, name: str, ingress: str, egress: str) -> dict[str, Any]:
        ports = {"ingress": self.ports[ingress].id, "egress": self.ports[egress].id}
        pair = self.create("port_pair", name=name, **ports)
        made: dict[str, Any] = self.create("port_pair_group", name=name, port_pairs=[pair["id"]])
        return made

    def steer(
        self, groups: list[dict[str, Any]], *, symmetric: bool = False, **classifier: Any
    ) -> dict[str, Any]:
        body = {
            "protocol": "tcp",
            "destination_port_range_min": PORT,
            "destination_port_range_max": PORT,
        }
        made = self.create("flow_classifier", name="FC", **body | classifier)
        chain: dict[str, Any] = self.create(
            "port_chain",
            name="PC",
            port_pair_groups=[group["id"] for group in groups],
            flow_classifiers=[made["id"]],
            chain_parameters={"symmetric": symmetric},
        )
        self.wait_status(chain)
        return chain

    def way(self, source: str, destination: str, to: str, port: int = PORT, **how: Any) -> set[Any]:
        """The paths of TCP connections between two VMs, without the parent ports of trunks.

        Every connection has to succeed. ``ways_back`` has the paths of their replies then.
        """
        watched = [
            replace(one, nics=tuple(nic for nic in one.nics if not self._is_parent(one, nic)))
            for one in self.vms.values()
        ]
        server = traffic.TcpEchoServer(self.vms[destination], port)
        with self.captures(*watched) as capture, server:
            attempts = [
                traffic.tcp_connect(
                    self.vms[source], self.vms[destination], port, address=to, **how
                )
                for _ in range(5)
            ]
            capture.wait_until_quiet()
        assert [attempt.error for attempt in attempts if not attempt.ok] == []
        found = packet_paths.connections(packet_paths.observations(capture.frames))
        chosen = packet_paths.select(found, protocol="tcp", destination_port=port)
        self.ways_back = {path for one in chosen for path in one.replies}
        return {one.path for one in chosen}

    @staticmethod
    def _is_parent(vm: VirtualMachine, nic: Any) -> bool:
        return any(other.vlan is not None and other.parent == nic.device for other in vm.nics)

    def end(self) -> None:
        self.delete_chains()
        self.lab.vms.delete_all()
        for trunk in self.trunks:
            self.cloud.delete_trunk(trunk)
        for port in self.ports.values():
            self.cloud.delete_port(port)
        for net in self.nets.values():
            self.cloud.delete_network(net)
        self.wait_no_flows()


@pytest.fixture
def place(lab: Lab, captures: Captures) -> Iterator[Place]:
    made = Place(lab, captures)
    yield made
    made.end()


def test_functions_in_another_network_than_the_source(place: Place) -> None:
    """Their last port is in the destination's network, where packets go on."""
    place.network("left", "10.40.0.0/24")
    place.network("right", "10.41.0.0/24")
    place.port("src", "left", "10.40.0.10", "10.40.0.11")
    place.port("dst", "left", "10.40.0.20")
    place.port("in1", "right")
    place.port("out1", "right")
    place.port("in2", "right")
    place.port("out2", "left")
    source = place.vm("src", "h1", "src")
    place.vm("dst", "h3", "dst")
    place.vm("f1", "h2", "in1", "out1", kind="l3")
    place.vm("f2", "h3", "in2", "out2", kind="l3")
    place.ready()
    # The first function reaches the destination's network only through the chain, so its next hop
    # does not matter.
    first = place.vms["f1"]
    netns.ip(
        f"route add 10.40.0.0/24 via {place.vms['f2'].nic('in2').ip} dev eth1 table 200",
        namespace=first.namespace,
    )
    place.steer(
        [place.group("G1", "in1", "out1"), place.group("G2", "in2", "out2")],
        logical_source_port=place.ports["src"].id,
    )
    through = {("src", "in1", "out1", "in2", "out2", "dst")}
    for address in ("10.40.0.10", "10.40.0.11"):
        assert place.way("src", "dst", "10.40.0.20", source_address=address) == through
    assert place.way("src", "dst", "10.40.0.20", port=101) == {("src", "dst")}
    assert source.nics[0].addresses[1].startswith("10.40.0.11")


def test_a_destination_behind_a_router_and_traffic_that_a_router_sends(place: Place) -> None:
    """Out: the chain ends at the router. In: the router's port is the source."""
    place.network("inside", "10.42.0.0/24", gateways=("10.42.0.1",))
    place.network("outside", "10.43.0.0/24", gateways=("10.43.0.1",))
    place.port("vm", "inside", "10.42.0.10")
    place.port("gate-in", "inside", "10.42.0.1")
    place.port("gate-out", "outside", "10.43.0.1")
    place.port("far", "outside", "10.43.0.20")
    place.port("f-in", "inside")
    place.port("f-out", "inside")
    place.vm("vm", "h1", "vm")
    place.vm("router", "h2", "gate-in", "gate-out", kind="l3", device_owner=ROUTER)
    place.vm("far", "h3", "far")
    place.vm("f", "h3", "f-in", "f-out", kind="l3")
    place.ready()
    group = place.group("G", "f-in", "f-out")
    place.steer([group], source_ip_prefix="10.42.0.10/32", destination_ip_prefix="10.43.0.0/24")
    out = ("vm", "f-in", "f-out", "gate-in", "gate-out", "far")
    assert place.way("vm", "far", "10.43.0.20") == {out}
    place.steer(
        [group], source_ip_prefix="10.43.0.0/24", logical_source_port=place.ports["gate-in"].id
    )
    into = ("far", "gate-out", "gate-in", "f-in", "f-out", "vm")
    assert place.way("far", "vm", "10.42.0.10") == {into}
    assert place.way("far", "vm", "10.42.0.10", port=101) == {("far", "gate-out", "gate-in", "vm")}
    # Both ways: the router is found, and it is named beside a prefix.
    back = ("far", "gate-out", "gate-in", "f-out", "f-in", "vm")
    vm, gate = place.ports["vm"].id, place.ports["gate-in"].id
    for named in ({}, {"logical_destination_port": gate}):
        place.delete_chains()
        group = place.group("G", "f-in", "f-out")
        outside = {"logical_source_port": vm, "destination_ip_prefix": "10.43.0.0/24"}
        place.steer([group], symmetric=True, **outside, **named)
        assert place.way("vm", "far", "10.43.0.20") == {out}
        assert place.ways_back == {back}


def test_subports_of_trunks_are_sources_and_functions(place: Place) -> None:
    place.network("trunks", "10.44.0.0/24")
    place.network("net", "10.45.0.0/24")
    for parent in ("parent1", "parent2"):
        place.port(parent, "trunks")
    for name in ("src", "dst", "in", "out"):
        place.port(name, "net")
    place.trunk("parent1", src=101)
    place.trunk("parent2", **{"in": 201, "out": 202})
    place.vm("vm", "h1", "parent1")
    place.vm("f", "h2", "parent2", kind="l3")
    place.vm("dst", "h3", "dst")
    place.use_trunk("vm", "parent1", src=101)
    place.use_trunk("f", "parent2", **{"in": 201, "out": 202})
    place.ready()
    destination, own = place.vms["dst"].ip, place.vms["vm"].nic("src").ip
    assert place.way("vm", "dst", destination, source_address=own) == {("src", "dst")}
    place.steer(
        [place.group("G", "in", "out")],
        source_ip_prefix=f"{own}/32",
    )
    through = {("src", "in", "out", "dst")}
    assert place.way("vm", "dst", destination, source_address=own) == through
    assert place.way("vm", "dst", destination, port=101, source_address=own) == {("src", "dst")}


@pytest.mark.parametrize(("prefix", "echo"), [("10.46.0.0/24", 8), ("fd46::/64", 128)])
def test_only_pings_and_their_replies_are_steered(
    place: Place, lab: Lab, prefix: str, echo: int
) -> None:
    place.network("net", prefix)
    for name in ("src", "in", "out", "dst"):
        place.port(name, "net")
    place.vm("src", "h1", "src")
    place.vm("f", "h2", "in", "out", kind="l3")
    place.vm("dst", "h3", "dst")
    place.ready()
    destination = place.vms["dst"].ip
    place.steer(
        [place.group("G", "in", "out")],
        symmetric=True,
        ethertype="IPv6" if ":" in prefix else "IPv4",
        protocol="icmp",
        **{f"source_port_range_{end}": echo for end in ("min", "max")},
        **{f"destination_port_range_{end}": 0 for end in ("min", "max")},
        logical_source_port=place.ports["src"].id,
        logical_destination_port=place.ports["dst"].id,
    )
    with place.captures(*place.vms.values()) as capture:
        assert lab.vms.ping(place.vms["src"], destination, count=3)
        capture.wait_until_quiet()
    through = ("src", "in", "out", "dst")
    ends = {place.vms["src"].ip, destination}
    # The same VMs also exchange neighbour solicitations, which do not enter the chain.
    paths = {
        trace.ports
        for trace in packet_paths.traces(packet_paths.observations(capture.frames))
        if {trace.five_tuple.source, trace.five_tuple.destination} == ends
    }
    assert paths - {("src", "dst"), ("dst", "src")} == {through, through[::-1]}
    assert place.way("src", "dst", destination) == {("src", "dst")}
