"""The specification's workflow in a lab, through the SDK.

The names are the specification's: net1, p1 to p6, FC1, PP1 to PP3, PG1, PG2 and PC1.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from portchain_lab.cloud import ovn
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.lab import Lab
from portchain_lab.layout import PHYSICAL_NETWORK, UNTUNNELLED_TYPES, tap_name
from portchain_lab.observe import packet_paths, traffic
from portchain_lab.waiting import wait_for

from portchain.dataplane.flow import COOKIE
from tests.lab.captures import Captures

DEADLINE = 180
OUR_FLOWS = f"cookie={COOKIE:#x}/-1"
SUBNET = "10.30.0.0/24"
POOL = {"start": "10.30.0.2", "end": "10.30.0.199"}
UNUSED_ADDRESS = "10.30.0.250"
"""An address of the subnet that no port has."""
FUNCTIONS = {"sf1": ("h1", "p1", "p2"), "sf2": ("h2", "p3", "p4"), "sf3": ("h3", "p5", "p6")}
VIA_PP1, VIA_PP2, VIA_PP3 = ("p1", "p2"), ("p3", "p4"), ("p5", "p6")
CHAINED = {("src", *first, *VIA_PP3, "dst") for first in (VIA_PP1, VIA_PP2)}
DIRECT = {("src", "dst")}
ANSWERED = {("dst", "src")}


# Attributes of a pair whose function is not of the default kind.
PAIR_ATTRIBUTES: dict[str, dict[str, Any]] = {
    **{name: {"function_kind": "l2"} for name in ("l2", "nat")},
    **{name: {"service_function_parameters": {"correlation": name}} for name in ("mpls", "nsh")},
}


def without_counters(flows: dict[str, list[str]]) -> dict[str, set[str]]:
    """What ``Workflow.flows`` returns, without what changes while packets pass."""
    counters = ("duration", "n_packets", "n_bytes", "idle_age", "hard_age")
    return {
        host: {
            " ".join(word for word in line.split() if not word.startswith(counters))
            for line in lines
        }
        for host, lines in flows.items()
    }


@dataclass
class Workflow:
    """One network with its VMs and chains.

    :param kinds: kinds of the functions that are not ``l3``, by name.
    :param one_port: names of the functions whose first port is both ingress and egress.
    :param fixed: fixed addresses of ports, by name; Neutron chooses the others.
    :param hosts: hosts of VMs that are not on their usual host, by name.
    :param subnets: prefixes of the network's subnets.
    :param network_type: the network's type; empty leaves it to Neutron.
    """

    lab: Lab
    captures: Captures
    vms: dict[str, VirtualMachine] = field(default_factory=dict)
    ports: dict[str, Any] = field(default_factory=dict)
    made: list[tuple[str, str]] = field(default_factory=list)
    pc1: dict[str, Any] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    one_port: Collection[str] = ()
    fixed: Mapping[str, Collection[str]] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    subnets: tuple[str, ...] = (SUBNET,)
    network_type: str = ""

    def __post_init__(self) -> None:
        self.cloud = self.lab.sdk("demo").network

    # Neutron's part.

    def boot(self, functions: Iterable[str] = FUNCTIONS) -> None:
        """Make network and ports and start the VMs, all with Neutron's default port security."""
        self.set_up_network()
        self.make_ports("src", "dst", "p1", "p2", "p3", "p4", "p5", "p6")
        self.start_machines(functions)

    def start_machines(self, functions: Iterable[str] = FUNCTIONS) -> None:
        """Start the source, the destination and functions."""
        self.start("src", "h1", "src")
        self.start("dst", "h3", "dst")
        self.start_functions(functions)

    def set_up_network(self) -> None:
        """Create the network, and a security group rule that admits traffic from its subnets.

        The default group's own rule names a remote group. Neutron notifies hosts of the group's
        members up to seconds late whenever VMs come and go (docs/operate/run.md), and drops packets
        meanwhile. That says nothing about a chain. The demo runs with that rule.
        """
        self.net = self.make_network()
        (group,) = self.cloud.security_groups(name="default", project_id=self.net.project_id)
        self.admitting_rules = []
        for subnet in self.subnets:
            version = 6 if ":" in subnet else 4
            self.cloud.create_subnet(
                network_id=self.net.id,
                ip_version=version,
                cidr=subnet,
                # Neutron chooses at random. Addresses that tests name stay free.
                **({"allocation_pools": [POOL]} if subnet == SUBNET else {}),
            )
            self.admitting_rules.append(
                self.cloud.create_security_group_rule(
                    security_group_id=group.id,
                    direction="ingress",
                    ethertype=f"IPv{version}",
                    remote_ip_prefix=subnet,
                )
            )

    def start_functions(self, functions: Iterable[str] = FUNCTIONS) -> None:
        for name in functions:
            host, ports = FUNCTIONS[name][0], dict.fromkeys(self.way(name))
            self.start(name, host, *ports, kind=self.kinds.get(name, "l3"))
        self.lab.vms.wait_active(self.vms.values())
        # The functions' ports may have been on other hosts before. Bridging functions cannot
        # announce that, and Neutron's switches learn in flows.
        self.lab.flush_mac_tables()
        for vm in self.vms.values():
            self.lab.vms.announce_addresses(vm)

    def make_network(self) -> Any:
        if not self.network_type:
            return self.cloud.create_network(name="net1")
        # Only an administrator may choose the type.
        physical = (
            {"physical_network": PHYSICAL_NETWORK} if self.network_type in UNTUNNELLED_TYPES else {}
        )
        return self.lab.sdk("admin").network.create_network(
            name="net1",
            project_id=self.lab.sdk("demo").current_project_id,
            provider_network_type=self.network_type,
            **{f"provider_{name}": value for name, value in physical.items()},
        )

    def make_ports(self, *names: str) -> None:
        wanted = []
        for name in names:
            fixed = [{"ip_address": address} for address in self.fixed.get(name, ())]
            wanted.append(
                {"network_id": self.net.id, "name": name} | ({"fixed_ips": fixed} if fixed else {})
            )
        for port in self.cloud.create_ports(wanted):
            self.ports[port.name] = port

    def start(self, name: str, host: str, *ports: str, kind: str = "plain") -> None:
        ids = [self.ports[port].id for port in ports]
        host = self.hosts.get(name, host)
        self.vms[name] = self.lab.vms.create(name, host, ids, kind=kind, wait=False)

    def way(self, function: str) -> tuple[str, str]:
        """The ports at which a packet enters and leaves a function."""
        _, ingress, egress = FUNCTIONS[function]
        return (ingress, ingress if function in self.one_port else egress)

    @property
    def chained(self) -> set[tuple[str, ...]]:
        """The paths through PC1."""
        return {("src", *self.way(first), *self.way("sf3"), "dst") for first in ("sf1", "sf2")}

    @property
    def answered(self) -> set[tuple[str, ...]]:
        """The paths of the replies of PC1, where it is symmetric."""
        return {path[::-1] for path in self.chained}

    def address(self, port: str, version: int = 4) -> str:
        own = [str(fixed["ip_address"]) for fixed in self.ports[port].fixed_ips]
        return next(address for address in own if (":" in address) is (version == 6))

    def clean_up(self) -> None:
        """Delete everything, chains first."""
        self.delete_chains()
        plugged = {nic.port_id for vm in self.lab.vms.all() for nic in vm.nics if nic.vlan is None}
        self.lab.vms.delete_all(delete_ports=True)
        for port in self.ports.values():
            if port.id not in plugged:
                self.cloud.delete_port(port)
        self.cloud.delete_network(self.net)
        for rule in self.admitting_rules:
            self.cloud.delete_security_group_rule(rule)

    # Chains.

    def create(self, kind: str, **body: Any) -> Any:
        """Create a resource, note it for the clean-up, and return its body."""
        answer = self.cloud.post(f"/sfc/{kind}s", json={kind: body})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()[kind]
        self.made.append((kind, made["id"]))
        return made

    def update(self, kind: str, made: dict[str, Any], **body: Any) -> Any:
        answer = self.cloud.put(f"/sfc/{kind}s/{made['id']}", json={kind: body})
        assert answer.status_code == 200, answer.text
        return answer.json()[kind]

    def delete(self, kind: str, made: dict[str, Any]) -> None:
        answer = self.cloud.delete(f"/sfc/{kind}s/{made['id']}")
        assert answer.status_code == 204, answer.text
        self.made.remove((kind, made["id"]))

    @contextmanager
    def for_one_test(self, captures: Captures) -> Iterator[None]:
        """Delete at the end what was created inside this context."""
        self.captures = captures
        kept = list(self.made)
        try:
            yield
        finally:
            for kind, an_id in reversed([item for item in self.made if item not in kept]):
                self.delete(kind, {"id": an_id})

    def delete_chains(self) -> None:
        order = ["service_graph", "port_chain", "port_pair_group", "port_pair", "flow_classifier"]
        for kind, an_id in sorted(self.made, key=lambda item: order.index(item[0])):
            self.cloud.delete(f"/sfc/{kind}s/{an_id}")
        self.made.clear()

    def classifier(self, name: str = "FC1", version: int = 4, **changes: Any) -> Any:
        """FC1 of the specification: TCP 23 -> 100 between the prefixes of the two end points."""
        bits = {4: 32, 6: 128}[version]
        body = {
            "ethertype": f"IPv{version}",
            "protocol": "tcp",
            "source_ip_prefix": f"{self.address('src', version)}/{bits}",
            "destination_ip_prefix": f"{self.address('dst', version)}/{bits}",
            "source_port_range_min": 23,
            "source_port_range_max": 23,
            "destination_port_range_min": 100,
            "destination_port_range_max": 100,
        }
        body |= changes
        return self.create(
            "flow_classifier", name=name, **{k: v for k, v in body.items() if v is not None}
        )

    def make_pairs(self) -> None:
        """PP1 to PP3."""
        self.pairs = {
            f"PP{n}": self.make_pair(f"PP{n}", function) for n, function in enumerate(FUNCTIONS, 1)
        }

    def make_pair(self, name: str, function: str) -> Any:
        """Create the port pair of a function."""
        ingress, egress = self.way(function)
        return self.create(
            "port_pair",
            name=name,
            ingress=self.ports[ingress].id,
            egress=self.ports[egress].id,
            **PAIR_ATTRIBUTES.get(self.kinds.get(function, "l3"), {}),
        )

    def pairs_and_groups(self, **second: Any) -> None:
        """PP1 to PP3, PG1 = {PP1, PP2} and PG2 = {PP3}.

        :param second: more attributes of PG2.
        """
        self.make_pairs()
        ids = {name: pair["id"] for name, pair in self.pairs.items()}
        self.groups = {
            "PG1": self.create("port_pair_group", name="PG1", port_pairs=[ids["PP1"], ids["PP2"]]),
            "PG2": self.create("port_pair_group", name="PG2", port_pairs=[ids["PP3"]], **second),
        }

    def chain(
        self,
        *classifiers: Any,
        name: str = "PC1",
        groups: Iterable[str] = ("PG1", "PG2"),
        **attributes: Any,
    ) -> Any:
        return self.create(
            "port_chain",
            name=name,
            port_pair_groups=[self.groups[group]["id"] for group in groups],
            flow_classifiers=[classifier["id"] for classifier in classifiers],
            **attributes,
        )

    def status(self, chain: dict[str, Any]) -> tuple[str, str]:
        body = self.cloud.get(f"/sfc/port_chains/{chain['id']}").json()["port_chain"]
        return body["status"], body["status_reason"]

    def wait_status(self, chain: dict[str, Any], status: str = "ACTIVE") -> str:
        """Wait for a status that no host has yet to confirm, and return its reason."""

        def reached() -> tuple[str] | None:
            found, reason = self.status(chain)
            waits = status == "DOWN" and "waiting for" in reason
            return (reason,) if found == status and not waits else None

        (reason,) = wait_for(reached, DEADLINE, f"{chain['name']} {status}", interval=0.4)
        return reason

    def stats(self, chain: dict[str, Any]) -> dict[str, Any]:
        """What hosts have counted of a chain."""
        answer = self.cloud.get(f"/sfc/port_chains/{chain['id']}/stats")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()["stats"]
        return shown

    # Packets.

    def connect(
        self,
        port: int = 100,
        count: int = 1,
        source_port: int = 0,
        *,
        version: int = 4,
        answered: Collection[Any] | None = ANSWERED,
        promiscuous: bool = False,
    ) -> list[packet_paths.Connection]:
        """Open TCP connections from ``src`` to ``dst``, and return what captures saw of them.

        Every connection must succeed.

        :param answered: paths that replies may take; None allows any.
        :param promiscuous: see ``packet_paths.observations``; needed for functions that bridge.
        """
        source, destination = self.vms["src"], self.vms["dst"]
        ends = {
            "source_address": self.address("src", version),
            "address": self.address("dst", version),
        }
        with (
            self.captures(*self.vms.values()) as capture,
            traffic.TcpEchoServer(destination, port, ends["address"]),
        ):
            attempts = traffic.tcp_connections(
                source, destination, port, count, source_port, **ends
            )
            capture.wait_until_quiet()
        assert [attempt.error for attempt in attempts if not attempt.ok] == []
        found = packet_paths.connections(packet_paths.observations(capture.frames, promiscuous))
        # The last packet of a connection of before may arrive when the capture has begun.
        opened = {attempt.source_port for attempt in attempts}
        seen = [
            one
            for one in packet_paths.select(found, protocol="tcp", destination_port=port)
            if one.five_tuple.source_port in opened
        ]
        assert len(seen) == count
        if answered is not None:
            assert {path for one in seen for path in one.replies} <= set(answered)
        return seen

    def paths(self, **how: Any) -> set[Any]:
        """The paths that such connections took.

        A connection whose packets took several paths counts as one path that no test expects: the
        paths with their numbers of packets.
        """
        return {
            connection.path or tuple(sorted(connection.paths.items()))
            for connection in self.connect(**how)
        }

    def warm_up(self, port: int = 100, source_port: int = 0, version: int = 4) -> None:
        """Open a connection whose path does not count.

        Neutron's switches first have to learn where a VM is that was plugged in elsewhere, and its
        first ARP answer may go to the old port.
        """
        source, destination = self.address("src", version), self.address("dst", version)
        with (
            self.captures(self.vms["src"], self.vms["dst"]) as capture,
            traffic.TcpEchoServer(self.vms["dst"], port, destination),
        ):
            (attempt,) = traffic.tcp_connections(
                *(self.vms["src"], self.vms["dst"], port, 1, source_port),
                source_address=source,
                address=destination,
            )
            # Its last packets must not be taken for those of the next connection.
            capture.wait_until_quiet()
        assert attempt.ok, attempt.error

    def is_dropped(self, port: int = 100, source_port: int = 0) -> bool:
        """Whether a connection fails and none of its packets reaches the destination."""
        source, destination = self.vms["src"], self.vms["dst"]
        with (
            self.captures(*self.vms.values()) as capture,
            traffic.TcpEchoServer(destination, port),
        ):
            attempt = traffic.tcp_connect(
                source, destination, port, source_port=source_port, timeout=1.5
            )
        traces = packet_paths.traces(packet_paths.observations(capture.frames))
        arrived = [
            trace
            for trace in traces
            if trace.five_tuple.destination_port == port and "dst" in trace.ports
        ]
        return not attempt.ok and not arrived

    # Hosts.

    def flows(self) -> dict[str, list[str]]:
        """Our flows and all OpenFlow groups by host.

        With OVN, a chain has rows, too, which are complete some time after its flows.
        """
        return {host: self._flows_on(host) for host in self.lab.hosts}

    def _rows(self) -> list[str]:
        return ovn.rows_with_external_id(self.lab.layout, "portchain:chain")

    def _flows_on(self, host: str) -> list[str]:
        lines = []
        for bridge in self.lab.vsctl(host, "list-br").split():
            lines += self.lab.ofctl(host, "dump-flows", bridge, OUR_FLOWS).splitlines()
            lines += self.lab.ofctl(host, "dump-groups", bridge).splitlines()
        return [line for line in lines if "cookie=" in line or "group_id" in line]

    def bridge(self, host: str) -> str:
        """The bridge with the flows of chains on a host."""
        return self.lab.layout.chain_bridge(host)

    def ofport(self, host: str, port: str) -> str:
        """OpenFlow number of a VM's port on the bridge of a host that it is plugged into."""
        return self.lab.vsctl(
            host, "get", "interface", tap_name(self.ports[port].id), "ofport"
        ).strip()

    def patch_to_tun(self, host: str) -> str:
        return self.lab.vsctl(host, "get", "interface", "patch-tun", "ofport").strip()

    def wait_no_flows(self) -> None:
        """Wait until no host has a flow of ours, and no chain has rows in OVN's Northbound."""
        if self.lab.layout.has_ovn:
            wait_for(lambda: not self._rows(), DEADLINE, "no rows of chains", interval=0.4)
        for host in self.lab.hosts:
            # A host gets no flows back once it has none: one after the other is enough.
            gone = partial(self._has_no_flows, host)
            wait_for(gone, DEADLINE, f"no flows of ours on {host}", interval=0.4)

    def _has_no_flows(self, host: str) -> bool:
        # The last to go are on br-int; the rest is worth a look once those are gone.
        ours = self.lab.ofctl(host, "dump-flows", self.bridge(host), OUR_FLOWS)
        return "cookie=" not in ours and not self._flows_on(host)
