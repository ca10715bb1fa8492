"""``python -m bench.scale.hosts``: what events cost where a chain has sources on many hosts."""

import argparse
import functools
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron.tests.common import helpers
from neutron_lib import context as n_context
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins import directory
from oslo_utils import uuidutils

from bench.scale import rows
from bench.scale.cloud import ChainRow, Cloud, Network, Traffic
from bench.scale.neutron import Cost, Meter, Neutron, rows_of_costs, running
from portchain.core.model import HostReport
from portchain.db import realisation
from portchain.db.models import Host
from portchain.rpc import contract

SIZES = (10, 100, 1000)
_FUNCTION_HOSTS = ("h0", "h1")
_HOSTS_OF_GROUP = 10
_TOGETHER = 64  # threads for RPC of a server's process, oslo.messaging's default
_PATIENCE = 60  # seconds


@dataclass(frozen=True)
class Row:
    """What one event costs, with one machine on each of N hosts.

    :param costs: one for each size. What the database reads, statements, and processor time.
    :param messages: to hosts.
    :param kilobytes: of all messages, as JSON.
    :param longest: kilobytes of the longest one.
    :param planning: rows that are read to find, plan and record the chains of a port.
    """

    what: str
    costs: tuple[Cost, ...]
    messages: tuple[int, ...]
    kilobytes: tuple[float, ...]
    longest: tuple[float, ...]
    planning: tuple[int, ...] = ()


_Run = tuple[Cost, list[int], int]
"""What an event costs, the lengths of its messages, and rows that are read to plan."""


class _Planning:
    """Counts the rows that the plugin reads because of events of ports."""

    def __init__(self, meter: Meter, plugin: Any) -> None:
        self.rows = 0
        self._meter = meter
        self._refresh = plugin._refresh_chains_of
        plugin._refresh_chains_of = self._counted

    def _counted(self, *arguments: Any, **options: Any) -> None:
        before = self._meter.rows_read()
        self._refresh(*arguments, **options)
        self.rows += self._meter.rows_read() - before


class Bus:
    """Takes the place of the message bus, and counts."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.notified: dict[str, contract.PlanUpdate] = {}

    def apply(self, _context: Any, updates: Mapping[str, contract.PlanUpdate]) -> None:
        """Encode messages, as the real client does."""
        self.lengths += [
            len(json.dumps(contract.encode_update(update))) for update in updates.values()
        ]
        self.notified |= updates

    def clear(self) -> None:
        """Forget the messages."""
        self.lengths.clear()
        self.notified.clear()


class Scene:
    """A network with one machine on each host, and chains that take all that they send.

    :param chains: with groups in common.
    """

    def __init__(self, neutron: Neutron, cloud: Cloud, chains: int = 1) -> None:
        self.neutron, self._cloud, self.project = neutron, cloud, uuidutils.generate_uuid()
        self.bus = Bus()
        neutron.plugin.drivers._drivers["ovs"]._agents = self.bus
        self.network = self._new_network()
        with cloud.filling():
            functions = list(cloud.ports(self.network, [*_FUNCTION_HOSTS * 2]))
            groups = cloud.groups(self.project, [*functions[::2], *functions[1::2]])
            traffic = [Traffic(100 + number) for number in range(chains)]
            self.chains = cloud.chains(
                self.project,
                [
                    ChainRow(groups, [classifier], self.network.id, [])
                    for classifier in cloud.classifiers(self.project, traffic)
                ],
            )
        group = neutron.show("port_pair_group", groups[0], project=self.project)
        self.pair: str = group["port_pairs"][0]
        self.machines = 0

    @property
    def caller(self) -> dict[str, str]:
        """A member of the project, for requests."""
        return {"project": self.project, "roles": "member,reader"}

    def _new_network(self) -> Network:
        """Create a network by the API, so that Neutron knows which addresses are free."""
        network_id = self.neutron.network("10.0.0.0/8", project=self.project)
        core = directory.get_plugin()
        (subnet,) = core.get_subnets(
            self.neutron.context, filters={"network_id": [network_id]}, fields=["id"]
        )
        with self.neutron.engine.connect() as connection:
            query = sa.text("SELECT id FROM networksegments WHERE network_id = :network")
            segment = connection.scalar(query, {"network": network_id})
        return Network(network_id, subnet["id"], segment, self.project)

    def grow(self, size: int) -> None:
        """Have a machine on each of so many hosts, and let all hosts confirm."""
        hosts = [f"h{number}" for number in range(self.machines, size)]
        with self._cloud.filling():
            self._cloud.ports(self.network, hosts)
        self.machines = size
        self._realise()

    def _realise(self) -> None:
        self.neutron.plugin._refresh(self.neutron.context, self.chains)
        self.confirm_all()

    def confirm_all(self) -> None:
        """Let all hosts do what they were sent."""
        for host in {*self.bus.notified}:
            self.report(host)
        self.bus.clear()

    def weigh(self, weight: int) -> None:
        """Change the weight of a pair."""
        parameters = {"weight": weight}
        self.neutron.update(
            "port_pair", self.pair, service_function_parameters=parameters, as_=self.caller
        )

    def report(self, host: str, *, prepared: bool = False) -> None:
        """Let a host confirm all that it was sent."""
        expected = realisation.expected_on(self.neutron.context, host)
        reports = [HostReport(*one, prepared=prepared) for one in expected.items()]
        driver = self.neutron.plugin.drivers._drivers["ovs"]
        driver._record_reports(self.neutron.context, host, reports)


def measure(
    sizes: Sequence[int] = SIZES, repeat: int = 3, *, only_machines: bool = False
) -> list[Row]:
    """Measure events with growing numbers of hosts.

    :param sizes: numbers of hosts, in ascending order.
    :param repeat: how often each event happens; the cheapest counts.
    :param only_machines: measure only what happens to a machine.
    """
    found: dict[str, list[_Run]] = {}
    with running() as neutron:
        _register_hosts(neutron, max(sizes))
        meter = Meter(neutron.engine)
        planning = _Planning(meter, neutron.plugin)
        scene = Scene(neutron, Cloud(neutron.engine))
        for size in sizes:
            scene.grow(size)
            for what, act in _acts(scene, repeat, only_machines):
                scene.bus.lengths.clear()
                planning.rows = 0
                run = meter.cost([act]), list(scene.bus.lengths), planning.rows
                found.setdefault(f"{what}|{size}", []).append(run)
    names = list(dict.fromkeys(key.partition("|")[0] for key in found))
    return [_row(name, [found[f"{name}|{size}"] for size in sizes]) for name in names]


def measure_shared_group(sizes: Sequence[int] = SIZES, repeat: int = 3) -> list[Row]:
    """Measure a change of a group that growing numbers of chains use, on ten hosts.

    :param sizes: numbers of chains, in ascending order.
    :param repeat: how often each event happens; the cheapest counts.
    """
    found: list[list[_Run]] = []
    with running() as neutron:
        _register_hosts(neutron, _HOSTS_OF_GROUP)
        meter, cloud = Meter(neutron.engine), Cloud(neutron.engine)
        for size in sizes:
            scene = Scene(neutron, cloud, size)
            scene.grow(_HOSTS_OF_GROUP)
            found.append([])
            for weight in range(2, 2 + repeat):
                scene.bus.lengths.clear()
                cost = meter.cost([functools.partial(scene.weigh, weight)])
                found[-1].append((cost, list(scene.bus.lengths), 0))
                scene.confirm_all()
    return [_row("weight of a pair changed", found)]


def measure_starts(sizes: Sequence[int] = SIZES, together: int = _TOGETHER) -> list[Row]:
    """Measure what the server does for hosts that start, alone and many at the same time.

    :param sizes: numbers of hosts with a machine, in ascending order.
    :param together: number of hosts that ask while the first one's plans are made.
    """
    alone, at_once = list[list[_Run]](), list[list[_Run]]()
    with running() as neutron:
        _register_hosts(neutron, max(*sizes, together))
        meter, cloud = Meter(neutron.engine), Cloud(neutron.engine)
        scene = Scene(neutron, cloud)
        for size in sizes:
            scene.grow(size)
            for found, hosts in ((alone, 1), (at_once, together)):
                names = [f"h{number % size}" for number in range(hosts)]
                runs = list[_Run]()
                for _ in range(3):
                    scene.bus.lengths.clear()
                    cost = meter.cost([functools.partial(_sync_together, scene, names)])
                    runs.append((cost, list(scene.bus.lengths), 0))
                found.append(runs)
    return [
        _row("a host asks for its plans", alone),
        _row(f"{together} hosts ask at the same time", at_once),
    ]


def _sync_together(scene: Scene, hosts: Sequence[str]) -> None:
    """Have hosts ask: the first one, and all others while its plans are made."""
    driver = scene.neutron.plugin.drivers._drivers["ovs"]
    work = driver._planned_for_hosts
    (chain,) = scene.chains
    plan = work._work

    def plan_when_all_wait(context: Any, chain_ids: Sequence[str]) -> Any:
        deadline = time.monotonic() + _PATIENCE
        while work._waiting[chain] < len(hosts) and time.monotonic() < deadline:
            time.sleep(0.001)
        work._work = plan
        return plan(context, chain_ids)

    work._work = plan_when_all_wait
    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(functools.partial(_sync, scene), hosts))


def _row(what: str, by_size: Sequence[Sequence[_Run]]) -> Row:
    best = [min(runs, key=lambda run: run[0].milliseconds) for runs in by_size]
    return Row(
        what,
        tuple(cost for cost, _, _ in best),
        tuple(len(lengths) for _, lengths, _ in best),
        tuple(sum(lengths) / 1000 for _, lengths, _ in best),
        tuple(max(lengths, default=0) / 1000 for _, lengths, _ in best),
        tuple(planning for _, _, planning in best),
    )


def _register_hosts(neutron: Neutron, count: int) -> None:
    for number in range(count):
        address = f"192.0.{number // 250}.{number % 250 + 1}"
        helpers.register_ovs_agent(f"h{number}", tunneling_ip=address, tunnel_types=["vxlan"])
    with neutron.engine.begin() as connection:
        rows = [
            {"host": f"h{number}", "minor_version": contract.MINOR_VERSION}
            for number in range(count)
        ]
        connection.execute(sa.insert(Host), rows)


def _acts(scene: Scene, repeat: int, only_machines: bool) -> Iterator[tuple[str, Any]]:
    """Yield what is measured: its name, and what to do. Between two, all hosts confirm."""
    for number in range(repeat):
        host = f"h{(number + 2) % scene.machines}"
        yield from _machine(scene, host)
        if only_machines:
            continue
        weight = 2 + number + scene.machines % 7
        yield "weight of a pair changed", functools.partial(scene.weigh, weight)
        waiting = sorted(scene.bus.notified)
        yield (
            "weight: one host reports prepared",
            functools.partial(scene.report, waiting[0], prepared=True),
        )
        yield "weight: all hosts report once", functools.partial(_report_all, scene, waiting)
        scene.confirm_all()
        yield "a host that starts asks for its plans", functools.partial(_sync, scene, host)


def _machine(scene: Scene, host: str) -> Iterator[tuple[str, Any]]:
    """Yield the events of one machine."""
    neutron, core = scene.neutron, directory.get_plugin()
    body: Any = {"network_id": scene.network.id, "device_id": uuidutils.generate_uuid()}
    made: list[str] = []
    yield "a machine: port created", functools.partial(_create_port, scene, body, made)
    bind = {"port": {portbindings.HOST_ID: host}}
    put = functools.partial(
        neutron.call, "PUT", f"/ports/{made[0]}", bind, project=scene.project, roles="admin"
    )
    yield "a machine: port bound", put
    first = min(scene.bus.notified)
    for text in ("prepared", "applied"):
        act = functools.partial(scene.report, first, prepared=text == "prepared")
        yield f"a machine: a notified host reports {text}", act
    scene.confirm_all()
    plugged = functools.partial(core.update_port_status, neutron.context, made[0], "ACTIVE", host)
    yield "a machine: port plugged in", plugged
    scene.confirm_all()
    yield "a machine: port deleted", functools.partial(_delete_port, scene, made[0])
    scene.confirm_all()


def _create_port(scene: Scene, body: Any, made: list[str]) -> None:
    owner = {"device_owner": "compute:nova", "project_id": scene.project}
    answer = scene.neutron.call("POST", "/ports", {"port": body | owner}, project=scene.project)
    if answer.status_int != 201:
        raise RuntimeError(answer.text)
    made.append(answer.json["port"]["id"])


def _delete_port(scene: Scene, port_id: str) -> None:
    path = f"/ports/{port_id}"
    answer = scene.neutron.call("DELETE", path, project=scene.project, roles="admin")
    if answer.status_int != 204:
        raise RuntimeError(answer.text)


def _report_all(scene: Scene, hosts: Sequence[str]) -> None:
    for host in hosts:
        scene.report(host)


def _sync(scene: Scene, host: str) -> None:
    driver = scene.neutron.plugin.drivers._drivers["ovs"]
    said = contract.HostKnowledge({}, contract.MINOR_VERSION)
    # A context for each: it has the session of a thread.
    answer = driver._sync(n_context.get_admin_context(), host, said)
    scene.bus.lengths.append(len(json.dumps(contract.encode_update(answer))))


def figures(measured: Iterable[Row]) -> list[rows.Row]:
    """Return a row for each figure."""
    found: list[rows.Row] = []
    for one in measured:
        found += rows_of_costs(one.what, one.costs)
        if any(one.planning):
            found.append(rows.Row(one.what, "rows read to plan", one.planning))
        if any(one.messages):
            found += [
                rows.Row(one.what, "messages", one.messages),
                rows.Row(one.what, "KB sent", one.kilobytes),
                rows.Row(one.what, "KB, longest message", one.longest),
            ]
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale.hosts", description=__doc__)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="default: %(default)s")
    sizes = sorted(int(size) for size in parser.parse_args().sizes.split(","))
    for title, measured in (
        ("a chain with a machine on each of N hosts", measure(sizes)),
        ("a group that N chains share", measure_shared_group(sizes)),
        ("a chain with a machine on each of N hosts, which start", measure_starts(sizes)),
    ):
        print(rows.text_table(title, sizes, figures(measured)))


if __name__ == "__main__":
    main()
