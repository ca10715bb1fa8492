"""Rows of the previous release get the keys by which the server finds them."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from portchain.core import model
from portchain.db import convert, key_search, models, source_networks
from tests.mariadb import MariaDb, manage

_CLASSIFIERS: dict[str, dict[str, Any]] = {
    "any": {},
    "port": {"protocol": 6, "logical_source_port": "in"},
    "v4": {"protocol": 17, "source_ip_prefix": "10.1.2.0/23", "destination_ip_prefix": "0.0.0.0/0"},
    "v6": {"ethertype": "IPv6", "source_ip_prefix": "fd00:12::/36", "protocol": 58},
    "host": {"ethertype": "IPv6", "destination_ip_prefix": "fd00::ab/128", "protocol": 6}
    | {"destination_port_range_min": 80, "destination_port_range_max": 95},
    "low": {"protocol": 132, "destination_port_range_max": 15, "source_port_range_min": 65520},
    "wide": {"protocol": 6, "source_port_range_min": 0x1234, "source_port_range_max": 0x1240},
    "icmp": {"protocol": 1, "source_port_range_min": 8, "source_port_range_max": 8},
}
"""Classifiers by name: columns that do not have their defaults."""


def _rows_of(when: str) -> str:
    """Return statements that add each classifier, all but one to symmetric chains."""
    statements = ["SET foreign_key_checks = 0, sql_mode = ''"]
    number = {"before": 0, "meanwhile": 100}[when]
    for name, columns in _CLASSIFIERS.items():
        number += 1
        own = {"id": f"{when}-{name}", "project_id": "p", "ethertype": "IPv4", **columns}
        own |= {"l7_parameters": "{}", "standard_attr_id": 2000 + number}
        statements += [
            f"INSERT INTO portchain_flow_classifiers ({', '.join(own)}) "
            f"VALUES ({', '.join(map(repr, own.values()))})",
            "INSERT INTO portchain_port_chains "
            "(id, project_id, chain_id, symmetric, standard_attr_id, revision, failure) "
            f"VALUES ('{own['id']}', '{'q' if name == 'any' else 'p'}', {number + 10}, "
            f"{name != 'wide'}, {3000 + number}, {name == 'icmp'}, '{name * (name == 'v4')}')",
            "INSERT INTO portchain_chain_classifiers (classifier_id, chain_id, position) "
            f"VALUES ('{own['id']}', '{own['id']}', 0)",
            "INSERT INTO portchain_chain_networks (chain_id, network_id) "
            f"VALUES ('{own['id']}', 'net2')",
        ]
    return ";".join(statements)


@pytest.fixture(scope="module")
def upgraded(mariadb: MariaDb) -> sa.Engine:
    """Return a database that had rows before the keys."""
    mariadb.execute("CREATE DATABASE neutron_keys CHARACTER SET utf8mb4")
    url = mariadb.url("neutron_keys")
    manage(url, "--subproject", "neutron", "upgrade", "heads")
    for revision in ("5a0f8c27d9e3", "7b94d3e2c6f8"):
        manage(url, "--subproject", "neutron-portchain", "upgrade", revision)
    mariadb.load(
        "neutron_keys",
        "SET foreign_key_checks = 0, sql_mode = '';"
        "INSERT INTO networks (id, standard_attr_id) VALUES ('net1', 901), ('net2', 902);"
        "INSERT INTO ports (id, network_id, mac_address, standard_attr_id)"
        "VALUES ('in', 'net1', '1', 903);" + _rows_of("before"),
    )
    manage(url, "--subproject", "neutron-portchain", "upgrade", "--expand")
    # A server of the previous release has not stopped yet.
    mariadb.load("neutron_keys", _rows_of("meanwhile"))
    manage(url, "--subproject", "neutron-portchain", "upgrade", "heads")
    return sa.create_engine(url)


def test_older_classifiers_get_the_keys_that_the_server_gives_new_ones(upgraded: sa.Engine) -> None:
    with orm.Session(upgraded) as session:
        query = sa.select(models.FlowClassifier).options(orm.lazyload("*"))
        rows = session.scalars(query).all()
        assert len(rows) == 2 * len(_CLASSIFIERS)
        for row in rows:
            keys = key_search.keys_of(convert.classifier(row))
            assert keys == {column: getattr(row, column) for column in keys}, row.id


def test_open_ends_of_older_chains_are_recorded(upgraded: sa.Engine) -> None:
    with orm.Session(upgraded) as session:
        ends, classifiers = models.OpenEnd, {}
        for row in session.scalars(sa.select(models.FlowClassifier).options(orm.lazyload("*"))):
            classifiers[row.id] = convert.classifier(row)
        found = set(
            session.execute(sa.select(*(getattr(ends, one) for one in source_networks.END)))
        )
    wanted = set()
    for one, classifier in classifiers.items():
        name = one.rpartition("-")[2]
        project = "q" if name == "any" else "p"
        chain = model.PortChain(one, project, 0, (), (classifier,), symmetric=name != "wide")
        behind = ["net1"] if classifier.logical_source_port and chain.symmetric else []
        wanted |= set(source_networks.open_ends(chain, ["net2"], behind))
    assert {tuple(one) for one in found} == wanted


def test_classifiers_in_chains_of_other_projects_are_marked(upgraded: sa.Engine) -> None:
    with upgraded.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT classifier_id, other_project FROM portchain_chain_classifiers"
        )
        assert {name for name, other in rows if other == "q"} == {"before-any", "meanwhile-any"}


def test_older_chains_are_found_that_are_not_realised(upgraded: sa.Engine) -> None:
    with upgraded.connect() as connection:
        rows = connection.exec_driver_sql("SELECT id FROM portchain_port_chains WHERE unrealised")
        names = {name.rpartition("-")[2] for (name,) in rows}
        assert names == {"icmp", "v4"}
