"""Two functions of a kind, and a chain through them."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

from portchain_lab.guests import kinds
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.lab import Lab
from portchain_lab.waiting import wait_for

from bench.api import Api
from bench.errors import BenchError
from bench.failover.cases import HANGS, HOST_OFF, KINDS, ONE_HOST, Case
from bench.failover.verdict import Ends
from bench.scene import Site

READY = 120.0
DATAGRAMS, CONNECTIONS = 32000, 32001
CHECK = {"delay": 0.2, "max_retries_down": 3, "max_retries": 3}
FAILED = re.compile(
    r"^(\S+ \S+) .*(?:Function of port pair|Host at) (\S+?),? (?:on|from) host \S+:"
    " it has not answered"
)


class FailoverSite(Site):
    """Ends of traffic: a source, a destination on its host, and one on the last host."""

    def __init__(self, lab: Lab, api: Api) -> None:
        super().__init__(lab, api)
        self._near = self.create_vm("near", lab.hosts[0], 1, kinds.PLAIN)
        lab.vms.wait_active(lab.vms.all())

    def scene(self, case: Case) -> "Scene":
        """Create the functions and the chain of a case.

        :raises LabError: they do not come up.
        """
        hosts = self.lab.hosts
        places = (hosts[0], hosts[0]) if case.where == ONE_HOST else hosts[1:3]
        vms = [self.create_vm(self.name(f"{case.kind}-"), host, 2, case.kind) for host in places]
        destination = self._near if case.is_near else self.destination
        self.lab.vms.wait_active(vms)
        self.lab.flush_mac_tables()
        for vm in (self.source, destination, *vms):
            self.lab.vms.announce_addresses(vm)
        return Scene(self, case, vms, destination)


class Scene:
    """A chain through two functions. Use it as a context manager: it deletes them at its end."""

    def __init__(
        self, site: FailoverSite, case: Case, vms: list[VirtualMachine], destination: VirtualMachine
    ) -> None:
        self._site, self._api, self._kind = site, site.api, KINDS[case.kind]
        self.case, self.source, self.destination = case, site.source, destination
        self.functions = {vm.name: vm for vm in vms}
        self.ends = Ends(destination.name, DATAGRAMS, CONNECTIONS)
        self._made: list[tuple[str, str]] = []

    def __enter__(self) -> "Scene":
        kind = self._kind
        self._pairs = {
            name: self._create(
                "port_pair", ingress=vm.nics[0].port_id, egress=vm.nics[1].port_id, **kind.pair
            )
            for name, vm in self.functions.items()
        }
        group = self._create(
            "port_pair_group",
            port_pairs=list(self._pairs.values()),
            health_check=kind.check,
            health_check_parameters=CHECK,
        )
        classifiers = [
            self._create(
                "flow_classifier",
                ethertype="IPv4",
                protocol=protocol,
                logical_source_port=self.source.nics[0].port_id,
                destination_ip_prefix=f"{self.destination.ip}/32",
                destination_port_range_min=port,
                destination_port_range_max=port,
            )
            for protocol, port in (("udp", DATAGRAMS), ("tcp", CONNECTIONS))
        ]
        self._create(
            "port_chain",
            port_pair_groups=[group],
            flow_classifiers=classifiers,
            chain_parameters=dict(kind.chain),
        )
        for name in self.functions:
            self.wait_status(name, "ONLINE")
        if not self._site.lab.vms.ping(self.source, self.destination.ip):
            raise BenchError(f"{self.source.name} does not reach {self.destination.name}")
        return self

    def __exit__(self, *_: object) -> None:
        for kind, made in reversed(self._made):
            self._api.delete(kind, made)
        for vm in self.functions.values():
            self._site.lab.vms.delete(vm, delete_ports=True)

    def _create(self, kind: str, **body: object) -> str:
        made = str(self._api.create(kind, name=self._site.name(kind), **body)["id"])
        self._made.append((kind, made))
        return made

    def failing(self, function: str) -> AbstractContextManager[None]:
        """Inside the context, a function takes packets and returns none, or its host is off."""
        lab, vm = self._site.lab, self.functions[function]
        return lab.vms.hung(vm) if self.case.failure == HANGS else _host_off(lab, vm)

    def wait_status(self, function: str, status: str) -> None:
        """Wait for the operating status of a function's pair."""
        pair = self._pairs[function]

        def reached() -> bool:
            shown = {one["id"]: one["operating_status"] for one in self._api.list("port_pair")}
            return bool(shown[pair] == status)

        wait_for(reached, READY, f"the pair of {function} to be {status}", interval=0.2)

    def failed_at(self, function: str) -> float:
        """When a host has last counted the function, or its host, as failed.

        :returns: seconds since the epoch.
        :raises BenchError: no log says so.
        """
        lab = self._site.lab
        failed = self._pairs[function]
        if self.case.failure == HOST_OFF:
            failed = lab.layout.tunnel_ip(self.functions[function].host)
        times = [
            datetime.fromisoformat(found[1]).timestamp()
            for log in sorted(lab.layout.logs.glob("*.log"))
            for line in log.read_text(errors="replace").splitlines()
            if (found := FAILED.search(line)) and found[2] == failed
        ]
        if not times:
            raise BenchError(f"no log says that {function} has failed")
        return max(times)


@contextmanager
def _host_off(lab: Lab, vm: VirtualMachine) -> Iterator[None]:
    lab.power_off(vm.host)
    try:
        yield
    finally:
        lab.power_on(vm.host)
        lab.vms.wait_active([vm])
