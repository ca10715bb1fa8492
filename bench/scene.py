"""The population of a lab during measurements: VMs, service functions, and many chains."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, permutations
from typing import Any

from portchain_lab.guests.kinds import L3
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.lab import Lab
from portchain_lab.progress import Progress

from bench.api import Api, Resource
from bench.errors import BenchError

CIDR = "10.50.0.0/20"
# UDP destination ports: one for each chain of the population, and others for measurements.
POPULATION_PORTS = 10000
CYCLE_PORTS = (20000, 20001)
PACKET_PORT = 30000


def functions_for(chains: int) -> int:
    """The number of functions that allow so many chains, each through another ordered pair."""
    count = 2
    while count * (count - 1) < chains:
        count += 1
    return count


def pairs_of_functions(count: int) -> Iterator[tuple[int, int]]:
    """Every ordered pair of ``count`` functions."""
    return ((first, second) for first, second in permutations(range(count), 2))


@dataclass(frozen=True, slots=True)
class Function:
    """A service function: a routing VM with two ports."""

    vm: VirtualMachine
    ingress: str
    egress: str


class Site:
    """One network with a source and a destination, and requests for what steers between them.

    :param cidr: the network's addresses.
    """

    def __init__(self, lab: Lab, api: Api, cidr: str = CIDR) -> None:
        self.lab = lab
        self.api = api
        self._names = 0
        self.network = self._create_network(cidr)
        self.source = self.create_vm("src", lab.hosts[0], 1, kind="plain")
        self.destination = self.create_vm("dst", lab.hosts[-1], 1, kind="plain")

    def classifier(
        self, port: int, protocol: str = "udp", last: int = 0, replies: bool = False
    ) -> Resource:
        """Create a classifier of packets from the source to a port of the destination.

        :param last: the last port of a range that begins with ``port``; 0 for a single port.
        :param replies: name the destination's port, too, which symmetric chains need.
        """
        ends = {"logical_source_port": self.source.nics[0].port_id}
        if replies:
            ends["logical_destination_port"] = self.destination.nics[0].port_id
        return self.api.create(
            "flow_classifier",
            name=self.name("fc"),
            ethertype="IPv4",
            protocol=protocol,
            source_ip_prefix=f"{self.source.ip}/32",
            destination_ip_prefix=f"{self.destination.ip}/32",
            destination_port_range_min=port,
            destination_port_range_max=last or port,
            **ends,
        )

    def pair(self, function: Function) -> Resource:
        """Create the port pair of a function."""
        return self.api.create(
            "port_pair",
            name=self.name("pp"),
            ingress=function.ingress,
            egress=function.egress,
        )

    def group(self, pairs: list[str]) -> Resource:
        """Create a port pair group."""
        return self.api.create("port_pair_group", name=self.name("pg"), port_pairs=pairs)

    def chain(self, groups: list[str], classifiers: list[str], symmetric: bool = False) -> Resource:
        """Create a port chain."""
        options = {"chain_parameters": {"symmetric": True}} if symmetric else {}
        return self.api.create(
            "port_chain",
            name=self.name("pc"),
            port_pair_groups=groups,
            flow_classifiers=classifiers,
            **options,
        )

    def name(self, kind: str) -> str:
        """A name that is unique at the site."""
        self._names += 1
        return f"{kind}{self._names}"

    def create_vm(self, name: str, host: str, ports: int, kind: str) -> VirtualMachine:
        """Create a VM with ports of its own, without waiting for them."""
        network = self.lab.sdk().network
        ids = [
            network.create_port(network_id=self.network.id, name=f"{name}-{index}").id
            for index in range(ports)
        ]
        return self.lab.vms.create(name, host, ids, kind=kind, wait=False)

    def function(self, name: str, host: str) -> Function:
        """Create a service function that routes, without waiting for its ports."""
        vm = self.create_vm(name, host, 2, L3)
        ingress, egress = (nic.port_id for nic in vm.nics)
        return Function(vm, ingress, egress)

    def _create_network(self, cidr: str) -> Any:
        network = self.lab.sdk().network
        net = network.create_network(name="bench")
        network.create_subnet(
            network_id=net.id, ip_version=4, cidr=cidr, enable_dhcp=False, name="bench"
        )
        return net


class Scene(Site):
    """A site with functions for a population of chains, and two spare ones.

    Source and destination are on different hosts, and the functions are spread over all hosts.
    """

    def __init__(self, lab: Lab, api: Api, max_chains: int, report: Progress) -> None:
        report("source and destination")
        super().__init__(lab, api)
        self._count = functions_for(max_chains)
        hosts = lab.hosts
        self.spare = [self.function(f"spare{n}", hosts[-1 - n % len(hosts)]) for n in range(2)]
        self._groups: list[str] = []
        for number in range(self._count):
            report(f"service function {number + 1} of {self._count}")
            function = self.function(f"f{number}", hosts[number % len(hosts)])
            self._groups.append(str(self.group([self.pair(function)["id"]])["id"]))
        lab.vms.wait_active(lab.vms.all())
        self._chains: list[str] = []

    @property
    def chains(self) -> int:
        """The number of chains in the population."""
        return len(self._chains)

    def populate(self, chains: int, progress: Callable[[], None]) -> None:
        """Create chains until the population has so many, each through another pair of functions.

        :param progress: is called after each chain.
        """
        orders = islice(pairs_of_functions(self._count), len(self._chains), chains)
        for number, order in enumerate(orders, start=len(self._chains)):
            classifier = self.classifier(POPULATION_PORTS + number)
            groups = [self._groups[index] for index in order]
            chain = self.chain(groups, [classifier["id"]])
            self._chains.append(chain["id"])
            progress()

    def check(self) -> None:
        """Check that all chains exist and are ACTIVE, if the API shows a status.

        :raises BenchError: otherwise.
        """
        found = self.api.list("port_chain")
        bad = [chain for chain in found if chain.get("status", "ACTIVE") != "ACTIVE"]
        if bad or len(found) != len(self._chains):
            raise BenchError(
                f"{len(found)} of {len(self._chains)} chains exist; not ACTIVE: {bad[:3]}"
            )
