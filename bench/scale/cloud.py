"""Writes the rows of a large cloud: requests would take hours to create it."""

import datetime
import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron.db.migration.models import head  # noqa: F401 - all tables of Neutron
from neutron_lib.db import model_base
from oslo_utils import timeutils, uuidutils

from portchain.core import model
from portchain.db import convert, models, source_networks, writer

Row = dict[str, Any]

_TABLES = model_base.BASEV2.metadata.tables
_ROWS_AT_ONCE = 2000
_FIRST_ADDRESS = int(ipaddress.ip_address("10.1.0.0"))
_CHECKS_OFF = "SET foreign_key_checks = 0, unique_checks = 0, sql_mode = ''"


@dataclass
class Network:
    """A network of a project, with a subnet that most addresses of 10.0.0.0/8 are free in."""

    id: str
    subnet: str
    segment: str
    project: str


@dataclass(frozen=True)
class Traffic:
    """What a classifier matches: TCP to a port, from a Neutron port or from a prefix.

    :param source: id of the Neutron port; None for any of the project.
    """

    port: int
    source: str | None = None
    prefix: str | None = None


@dataclass(frozen=True)
class ChainRow:
    """A chain: its groups and classifiers, the network of its functions, and its hosts."""

    groups: Sequence[str]
    classifiers: Sequence[str]
    network: str
    hosts: Sequence[str]


class Cloud:
    """Rows of Neutron's tables and ours in one database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._numbers = itertools.count(10**6)  # of chains and groups; requests get less
        self._addresses = itertools.count(1)
        self._known: dict[str, model.FlowClassifier] = {}
        self._connection: Any = None

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Write in one transaction, without checks; then let the database count its rows."""
        with self._engine.begin() as connection:
            connection.exec_driver_sql(_CHECKS_OFF)
            self._connection = connection
            yield
            connection.exec_driver_sql("SET foreign_key_checks = 1, unique_checks = 1")
        with self._engine.begin() as connection:
            ours = [name for name in _TABLES if name.startswith("portchain_")]
            names = [*ours, "ports", "ml2_port_bindings", "ipallocations", "portsecuritybindings"]
            connection.exec_driver_sql(f"ANALYZE TABLE {', '.join(names)}").all()

    def network(self, project: str) -> Network:
        """Add a network."""
        ids = [uuidutils.generate_uuid() for _ in range(3)]
        network = Network(ids[0], ids[1], ids[2], project)
        owned = {"project_id": project, "name": "", "status": "ACTIVE", "admin_state_up": True}
        self._insert("networks", [owned | {"id": network.id, "mtu": 1450}])
        self._insert(
            "networksegments",
            [
                {
                    "id": network.segment,
                    "network_id": network.id,
                    "network_type": "vxlan",
                    "segmentation_id": 2000 + next(self._numbers),
                }
            ],
        )
        self._insert(
            "subnets",
            [
                {
                    "id": network.subnet,
                    "network_id": network.id,
                    "project_id": project,
                    "name": "",
                    "ip_version": 4,
                    "cidr": "10.0.0.0/8",
                    "enable_dhcp": False,
                }
            ],
        )
        return network

    def ports(self, network: Network, hosts: Sequence[str]) -> dict[str, str]:
        """Add a bound and plugged port on each of the hosts; return their addresses by id.

        :param hosts: an empty one for a port that is not bound.
        """
        ids = [uuidutils.generate_uuid() for _ in hosts]
        numbers = [next(self._addresses) for _ in hosts]
        self._insert(
            "ports",
            [
                {
                    "id": port,
                    "project_id": network.project,
                    "network_id": network.id,
                    "name": "",
                    "mac_address": _mac(n),
                    "admin_state_up": True,
                    "status": "ACTIVE",
                    "device_id": f"vm{position // 2}-{numbers[0]}",
                    "device_owner": "compute:nova",
                    "ip_allocation": "immediate",
                }
                for position, (port, n) in enumerate(zip(ids, numbers, strict=True))
            ],
        )
        where = {"subnet_id": network.subnet, "network_id": network.id}
        addresses = [str(ipaddress.ip_address(_FIRST_ADDRESS + n)) for n in numbers]
        self._insert(
            "ipallocations",
            [
                {"port_id": port, "ip_address": address, **where}
                for port, address in zip(ids, addresses, strict=True)
            ],
        )
        places = zip(ids, hosts, strict=True)
        at = [{"port_id": port, "host": host} for port, host in places if host]
        bound = {"vif_type": "ovs", "status": "ACTIVE", "vnic_type": "normal"}
        self._insert("ml2_port_bindings", [bound | each for each in at])
        level = {"level": 0, "driver": "openvswitch", "segment_id": network.segment}
        self._insert("ml2_port_binding_levels", [level | each for each in at])
        secure = [{"port_id": port, "port_security_enabled": True} for port in ids]
        self._insert("portsecuritybindings", secure)
        return dict(zip(ids, addresses, strict=True))

    def groups(self, project: str, ports: Sequence[str]) -> list[str]:
        """Add a pair of each two ports, and a group for each pair; return the groups' ids."""
        sides = list(zip(ports[::2], ports[1::2], strict=True))
        pairs, groups = ([uuidutils.generate_uuid() for _ in sides] for _ in range(2))
        owned, routes = {"project_id": project, "name": ""}, {"weight": 1, "kind": "l3"}
        self._insert(
            "portchain_port_pairs",
            [
                owned | routes | {"id": pair, "ingress": ingress, "egress": egress}
                for pair, (ingress, egress) in zip(pairs, sides, strict=True)
            ],
        )
        empty: Row = {"lb_fields": [], "ingress_n_tuple": {}, "egress_n_tuple": {}}
        self._insert(
            "portchain_port_pair_groups",
            [owned | empty | {"id": group, "group_id": next(self._numbers)} for group in groups],
        )
        self._insert(
            "portchain_group_pairs",
            [
                {"pair_id": pair, "group_id": group, "position": 0}
                for pair, group in zip(pairs, groups, strict=True)
            ],
        )
        return groups

    def classifiers(self, project: str, items: Iterable[Traffic]) -> list[str]:
        """Add classifiers; return their ids."""
        rows = [
            writer.new_flow_classifier(
                {
                    "project_id": project,
                    "name": "",
                    "description": "",
                    "ethertype": "IPv4",
                    "protocol": 6,
                    "source_port_range_min": None,
                    "source_port_range_max": None,
                    "destination_port_range_min": item.port,
                    "destination_port_range_max": item.port,
                    "source_ip_prefix": item.prefix,
                    "destination_ip_prefix": None,
                    "logical_source_port": item.source,
                    "logical_destination_port": None,
                    "l7_parameters": {},
                }
            )
            for item in items
        ]
        self._known |= {row.id: convert.classifier(row) for row in rows}
        columns = _TABLES["portchain_flow_classifiers"].columns.keys()
        self._insert(
            "portchain_flow_classifiers",
            [{name: vars(row)[name] for name in columns if name in vars(row)} for row in rows],
        )
        return [row.id for row in rows]

    def chains(self, project: str, items: Sequence[ChainRow]) -> list[str]:
        """Add chains that all of their hosts have confirmed; return their ids."""
        ids = [uuidutils.generate_uuid() for _ in items]
        owned = {"project_id": project, "name": "", "correlation": "mpls", "symmetric": False}
        done: Row = {"revision": 1, "realised_revision": 1, "down_reason": "", "failure": ""}
        done["touched_at"] = timeutils.utcnow() - datetime.timedelta(days=1)
        self._insert(
            "portchain_port_chains",
            [owned | done | {"id": one, "chain_id": next(self._numbers)} for one in ids],
        )
        each = list(zip(ids, items, strict=True))
        self._insert(
            "portchain_chain_groups",
            [
                {"chain_id": one, "position": position, "group_id": group}
                for one, item in each
                for position, group in enumerate(item.groups)
            ],
        )
        self._insert(
            "portchain_chain_classifiers",
            [
                {"chain_id": one, "position": position, "classifier_id": classifier}
                | {"other_project": ""}
                for one, item in each
                for position, classifier in enumerate(item.classifiers)
            ],
        )
        self._insert(
            "portchain_chain_networks",
            [{"chain_id": one, "network_id": item.network} for one, item in each],
        )
        self._insert(
            models.OpenEnd.__tablename__,
            [
                dict(zip(source_networks.END, end, strict=True))
                for one, item in each
                for end in source_networks.open_ends(
                    model.PortChain(
                        one, project, 0, (), tuple(self._known[each] for each in item.classifiers)
                    ),
                    [item.network],
                    (),
                )
            ],
        )
        confirmed = {"wanted_revision": 1, "prepared_revision": 1, "applied_revision": 1}
        self._insert(
            "portchain_chain_hosts",
            [
                confirmed | {"chain_id": one, "host": host, "error": "", "missing": ""}
                for one, item in each
                for host in sorted(set(item.hosts))
            ],
        )
        return ids

    def _insert(self, name: str, rows: Sequence[Row]) -> None:
        table = _TABLES[name]
        if "standard_attr_id" in table.columns:
            rows = self._with_standard_attributes(name, rows)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            self._connection.execute(sa.insert(table), rows[start : start + _ROWS_AT_ONCE])

    def _with_standard_attributes(self, name: str, rows: Sequence[Row]) -> list[Row]:
        table = _TABLES["standardattributes"]
        first = (self._connection.scalar(sa.select(sa.func.max(table.c.id))) or 0) + 1
        numbered = list(zip(itertools.count(first), rows))
        self._insert(
            table.name,
            [
                {"id": number, "resource_type": name, "revision_number": 0, "description": ""}
                for number, _ in numbered
            ],
        )
        return [row | {"standard_attr_id": number} for number, row in numbered]


def _mac(number: int) -> str:
    """Return a hardware address that no other number has."""
    return ":".join(f"{octet:02x}" for octet in (0xFA, 0x16, *number.to_bytes(4, "big")))
