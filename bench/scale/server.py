"""``python -m bench.scale.server``: what requests and events cost the server with many chains."""

import argparse
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from oslo_utils import uuidutils

from bench.scale import rows
from bench.scale.cloud import ChainRow, Cloud, Traffic
from bench.scale.neutron import Cost, Meter, Neutron, rows_of_costs, running
from portchain.core import model
from portchain.db import drift, port_usage, realisation

SIZES = (100, 1000, 10000)
_REPEAT = 3
_HTTP = 80

Act = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """What one request or event costs.

    :param what: what is measured.
    :param costs: one for each size, in the order of the sizes.
    """

    what: str
    costs: tuple[Cost, ...]


class Project:
    """A project with one network, whose chains have a classifier and a function of their own.

    :param is_open: the classifiers name no port, but a prefix, and differ in the port of TCP, too.
        Otherwise each has a logical source port, and all match the same port of TCP.
    """

    def __init__(self, neutron: Neutron, cloud: Cloud, *, is_open: bool) -> None:
        self.id = uuidutils.generate_uuid()
        self._neutron, self._cloud, self._is_open = neutron, cloud, is_open
        self._chains: list[str] = []
        self._fresh = iter(range(1, 60000))
        with cloud.filling():
            self.network = cloud.network(self.id)

    @property
    def caller(self) -> dict[str, str]:
        """A member of the project, for requests."""
        return {"project": self.id, "roles": "member,reader"}

    def grow(self, size: int) -> None:
        """Add chains up to a number."""
        count = size - len(self._chains)
        with self._cloud.filling():
            sources = self._cloud.ports(self.network, [_host(n) for n in range(count)])
            functions = [_host(n // 2 + 3) for n in range(2 * count)]
            groups = self._cloud.groups(self.id, list(self._cloud.ports(self.network, functions)))
            self.a_function, self.a_source = groups[0], next(iter(sources.items()))
            first = 10000 + len(self._chains)
            traffic = [
                Traffic(first + n, prefix=f"{address}/32")
                if self._is_open
                else Traffic(_HTTP, source=port)
                for n, (port, address) in enumerate(sources.items())
            ]
            classifiers = self._cloud.classifiers(self.id, traffic)
            chains = [
                ChainRow([group], [classifier], self.network.id, [_host(n), _host(n + 3)])
                for n, (group, classifier) in enumerate(zip(groups, classifiers, strict=True))
            ]
            self._chains += self._cloud.chains(self.id, chains)

    def spare_port(self, host: str = "h1") -> tuple[str, str]:
        """Add a port that no chain means; return its id and address."""
        with self._cloud.filling():
            (port,) = self._cloud.ports(self.network, [host]).items()
        return port

    def classifier(self, **attributes: Any) -> Any:
        """Create a classifier for UDP, which no other one matches."""
        number = next(self._fresh)
        ends = {f"destination_port_range_{end}": number for end in ("min", "max")}
        return self._neutron.create(
            "flow_classifier", as_=self.caller, protocol="udp", **ends, **attributes
        )

    def chain(self, groups: Sequence[str], classifier: str) -> Any:
        """Create a chain."""
        return self._neutron.create(
            "port_chain", as_=self.caller, port_pair_groups=groups, flow_classifiers=[classifier]
        )

    def new_group(self) -> str:
        """Add a group of a pair; return its id."""
        with self._cloud.filling():
            ports = self._cloud.ports(self.network, ["h1", "h1"])
            return self._cloud.groups(self.id, list(ports))[0]


def _host(number: int) -> str:
    return f"h{number % 8}"


def measure(sizes: Sequence[int] = SIZES) -> list[Row]:
    """Measure the server with growing numbers of chains and classifiers in two projects.

    :param sizes: the numbers, in ascending order.
    """
    found: dict[str, list[Cost]] = {}
    with running() as neutron:
        cloud, meter = Cloud(neutron.engine), Meter(neutron.engine)
        projects = [Project(neutron, cloud, is_open=is_open) for is_open in (True, False)]
        for size in sizes:
            for project in projects:
                project.grow(size)
            for what, acts in _acts(neutron, *projects):
                acts[0]()  # what a process does once
                found.setdefault(what, []).append(meter.cost(acts[1:]))
    return [Row(what, tuple(costs)) for what, costs in found.items()]


def _acts(neutron: Neutron, free: Project, named: Project) -> Iterator[tuple[str, list[Act]]]:
    """Yield what is measured: its name, and acts of which the first is not counted."""
    yield "create a trunk (Neutron's own)", _repeated(_trunk(neutron, free))
    for project, have in ((free, "without source port"), (named, "with source port")):
        where = f"among N {have}"
        yield f"create classifier without source port, {where}", _repeated(_open(project))
        yield f"create classifier with source port, {where}", _repeated(_named(project))
    yield "create chain, among N chains without source port", _repeated(_named_chain(free))
    yield "create chain, among N chains with source port", _repeated(_named_chain(named))
    yield "create chain without source port, among N such chains", _repeated(_open_chain(free))
    yield "create chain without source port, among N others", _repeated(_open_chain(named))
    for project, have in ((free, "without"), (named, "with")):
        event = functools.partial(_event, neutron, project, project.spare_port())
        yield f"port that no chain means, N chains {have} source port", [event] * _REPEAT
        event = functools.partial(_event, neutron, project, project.a_source)
        yield f"port that one chain means, N chains {have} source port", [event] * _REPEAT
    admin = {"project": free.id, "roles": "admin"}
    for query in ("limit=100", "limit=100&sort_key=name&sort_dir=asc"):
        for who in (admin, free.caller):
            title = f"list chains, {query.partition('&')[2] or query}, {who['roles']}"
            page = functools.partial(_list, neutron, query, who)
            yield title, [page] * _REPEAT
    context = neutron.context
    pending = functools.partial(realisation.unrealised, context, 100, 10)
    yield "chains that are not realised", [pending] * _REPEAT
    detector = drift.DriftDetector()
    observed = neutron.plugin.drivers.observed
    look = functools.partial(detector.find_in_next_page, context, observed)
    yield "look for drift in 100 chains", [look] * 2


def _repeated(prepare: Iterator[Act]) -> list[Act]:
    return [next(prepare) for _ in range(_REPEAT + 1)]


def _trunk(neutron: Neutron, project: Project) -> Iterator[Act]:
    while True:
        port = project.spare_port(host="")[0]
        body = {"trunk": {"port_id": port, "project_id": project.id}}
        yield functools.partial(_sent, neutron, "/trunks", body, project.caller)


def _list(neutron: Neutron, query: str, caller: dict[str, str]) -> None:
    project, roles = caller["project"], caller["roles"]
    neutron.list_all("port_chain", query, project=project, roles=roles)


def _sent(neutron: Neutron, path: str, body: Any, caller: dict[str, str]) -> None:
    project, roles = caller["project"], caller["roles"]
    answer = neutron.call("POST", path, body, project=project, roles=roles)
    if answer.status_int != 201:
        raise RuntimeError(answer.text)


def _open(project: Project) -> Iterator[Act]:
    while True:
        yield functools.partial(project.classifier, source_ip_prefix="10.250.0.0/24")


def _named(project: Project) -> Iterator[Act]:
    while True:
        yield functools.partial(project.classifier, logical_source_port=project.spare_port()[0])


def _named_chain(project: Project) -> Iterator[Act]:
    while True:
        classifier = project.classifier(logical_source_port=project.spare_port()[0])["id"]
        yield functools.partial(project.chain, [project.new_group()], classifier)


def _open_chain(project: Project) -> Iterator[Act]:
    while True:
        address = project.spare_port()[1]
        classifier = project.classifier(source_ip_prefix=f"{address}/32")["id"]
        yield functools.partial(project.chain, [project.new_group()], classifier)


def _event(neutron: Neutron, project: Project, port: tuple[str, str]) -> None:
    port_id, address = port
    changed = model.Port(port_id, project.network.id, project.id, "", fixed_ips=(address,))
    port_usage.chains_using_port(neutron.context, changed)


def figures(sizes: Sequence[int] = SIZES) -> list[rows.Row]:
    """Measure, and return a row for each figure."""
    return [figure for one in measure(sizes) for figure in rows_of_costs(one.what, one.costs)]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale.server", description=__doc__)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="default: %(default)s")
    sizes = sorted(int(size) for size in parser.parse_args().sizes.split(","))
    print(rows.text_table("server, with N chains in a project", sizes, figures(sizes)))


if __name__ == "__main__":
    main()
