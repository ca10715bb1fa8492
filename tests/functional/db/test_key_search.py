"""What is found by indexes, on a real MariaDB, compared with a plain loop over all rows."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from neutron.db import models_v2
from neutron_lib.db import model_base
from sqlalchemy import orm

from portchain.core import model
from portchain.core.rules import overlap
from portchain.db import candidates, key_search, relations
from portchain.db.ports import contains, has_address_in, load_ports, may_send_from
from tests.full import examples
from tests.unit.core.test_search_keys import PREFIXES, classifiers

TABLES = model_base.BASEV2.metadata.tables
PROJECTS, SENDERS, RECEIVERS = ("p", "q"), (None, None, "a", "b"), (None, None, "c", "d")
EXAMPLES = examples(60)


@pytest.fixture(scope="module")
def engine(migrated: str) -> sa.Engine:
    return sa.create_engine(migrated)


def session_without_checks(engine: sa.Engine) -> orm.Session:
    """Return a session whose rows refer to nothing."""
    session = orm.Session(engine)
    session.execute(sa.text("SET foreign_key_checks = 0, sql_mode = ''"))
    return session


def insert(session: orm.Session, table: str, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        session.execute(sa.insert(TABLES[table]), rows)


# Overlap


@st.composite
def stored(draw: st.DrawFn, name: str = "new") -> model.FlowClassifier:
    return replace(
        draw(classifiers()),
        id=name,
        project_id=draw(st.sampled_from(PROJECTS)),
        logical_source_port=draw(st.sampled_from(SENDERS)),
        logical_destination_port=draw(st.sampled_from(RECEIVERS)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> list[tuple[model.FlowClassifier, str | None, bool]]:
    """Return classifiers, each with the project of its chain, and whether its row has keys."""
    return [
        (
            draw(stored(f"c{number}")),
            draw(st.sampled_from([None, *PROJECTS])),
            draw(st.sampled_from([True, True, True, False])),
        )
        for number in range(draw(st.integers(0, 12)))
    ]


def fill(session: orm.Session, world: list[tuple[model.FlowClassifier, str | None, bool]]) -> None:
    for number, (one, chain, has_keys) in enumerate(world):
        source = one.source_ports or (None, None)
        destination = one.destination_ports or (None, None)
        row: dict[str, Any] = {
            "id": one.id,
            "project_id": one.project_id,
            "ethertype": one.ethertype,
            "protocol": one.protocol,
            "source_port_range_min": source[0],
            "source_port_range_max": source[1],
            "destination_port_range_min": destination[0],
            "destination_port_range_max": destination[1],
            "source_ip_prefix": one.source_prefix,
            "destination_ip_prefix": one.destination_prefix,
            "logical_source_port": one.logical_source_port,
            "logical_destination_port": one.logical_destination_port,
            "l7_parameters": {},
            "standard_attr_id": 7_000_000 + number,
        }
        insert(
            session,
            "portchain_flow_classifiers",
            [row | (key_search.keys_of(one) if has_keys else {})],
        )
        if chain is None:
            continue
        other = "" if chain == one.project_id else chain
        insert(
            session,
            "portchain_chain_classifiers",
            [
                {
                    "classifier_id": one.id,
                    "chain_id": one.id,
                    "position": 0,
                    "other_project": other if has_keys else None,
                }
            ],
        )
        session.execute(
            sa.text(
                "INSERT INTO portchain_port_chains (id, project_id, chain_id, standard_attr_id) "
                "VALUES (:id, :project, :number, 7000000 + :number)"
            ),
            {"id": one.id, "project": chain, "number": 1000 + number},
        )


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_all_that_overlap_are_found(engine: sa.Engine, data: st.DataObject) -> None:
    world = data.draw(worlds())
    new = data.draw(st.lists(stored(), min_size=1, max_size=3))
    with session_without_checks(engine) as session:
        fill(session, world)
        for chained in (False, True):
            known = {
                one.id: replace(one, project_id=chain or "") if chained else one
                for one, chain, _ in world
                if chain or not chained
            }
            batches = relations.classifiers_that_may_overlap(session, new, chained)
            found = {one.id: one for batch in batches for one in batch}
            assert {one_id: known[one_id] for one_id in found} == found
            for one in new:
                wanted = {other.id for other in known.values() if overlap(one, other)}
                assert {other.id for other in found.values() if overlap(one, other)} == wanted
        session.rollback()


def test_of_many_that_overlap_few_are_read_first(engine: sa.Engine) -> None:
    many = [model.FlowClassifier(f"c{number}", "p") for number in range(250)]
    with session_without_checks(engine) as session:
        fill(session, [(one, None, True) for one in many])
        before = rows_read(session)
        batches = relations.classifiers_that_may_overlap(session, [replace(many[0], id="new")])
        assert len(next(batches)) == 100
        assert rows_read(session) - before < 120
        assert {one.id for one in next(batches)} == {one.id for one in many}
        assert list(batches) == []
        session.rollback()


def rows_read(session: orm.Session) -> int:
    counts = session.execute(sa.text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
    return sum(int(count) for _, count in counts)


# Ports for which classifiers stand

NETWORKS = ("n1", "n2", "n3")
OWNERS = ("compute:nova", "compute:nova", "", "network:router_interface", "network:dhcp")
ADDRESSES = ("10.0.0.5", "10.0.0.9", "10.0.1.7", "10.9.0.1", "fd00::5", "fd00::1:7")
NARROW = ("10.0.0.5/32", "10.0.0.0/28", "10.0.0.8/29", "192.0.2.1/32", "fd00::5/128")
WIDE = ("10.0.0.0/16", "10.0.0.0/23", "fd00::/64", "192.0.2.0/24", "0.0.0.0/0")


class PlainCandidates:
    """The answers of a loop over all ports."""

    def __init__(self, ports: Sequence[model.Port], one: candidates.OpenChain) -> None:
        chain = one.chain
        own = [
            port
            for port in ports
            if port.project_id == chain.project_id and port.id not in chain.function_ports
        ]
        self.ends = [p for p in own if p.network_id in one.networks and not p.serves_network]
        routers = [p for p in own if p.routes]
        self.routers = [p for p in routers if p.network_id in one.networks]
        self.reply_routers = [
            p for p in routers if p.network_id in one.networks | one.source_networks
        ]

    def sources(self, one: model.FlowClassifier) -> tuple[str, ...]:
        if one.logical_source_port is not None:
            return (one.logical_source_port,)
        senders = [port for port in self.ends if not self._is_sole_destination(port, one)]
        found = [p for p in senders if has_address_in(p, one.ethertype, one.source_prefix)]
        if not found and one.source_prefix is not None:
            both = [*senders, *self.routers]
            found = [p for p in both if may_send_from(p, one.ethertype, one.source_prefix)]
        return tuple(sorted(port.id for port in found))

    def destinations(self, one: model.FlowClassifier) -> tuple[str, ...]:
        prefix = one.destination_prefix
        found = [p for p in self.ends if has_address_in(p, one.ethertype, prefix)]
        if not found:
            found = [p for p in self.ends if may_send_from(p, one.ethertype, prefix)]
        behind = [
            port
            for port in self.reply_routers
            if prefix is None or not any(contains(subnet, prefix) for subnet in port.subnets)
        ]
        return tuple(sorted(port.id for port in [*found, *behind]))

    @staticmethod
    def _is_sole_destination(port: model.Port, one: model.FlowClassifier) -> bool:
        network = ip_network(one.destination_prefix or "::/0")
        own = {ip_address(address) for address in port.fixed_ips}
        return network.num_addresses == 1 and network.network_address in own


PORT = st.fixed_dictionaries(
    {
        "project_id": st.sampled_from(PROJECTS),
        "network_id": st.sampled_from(NETWORKS),
        "device_owner": st.sampled_from(OWNERS),
        "addresses": st.sets(st.sampled_from(ADDRESSES), max_size=2),
        "pairs": st.sets(st.sampled_from((*NARROW, *WIDE, "10.0.0.9")), max_size=1),
        "security": st.sampled_from([None, True, True, False]),
    }
)


def fill_ports(session: orm.Session, ports: Sequence[dict[str, Any]]) -> None:
    for number, network in enumerate(NETWORKS):
        insert(
            session,
            "networks",
            [{"id": network, "mtu": 1500, "standard_attr_id": 7_100_000 + number}],
        )
        insert(
            session,
            "subnets",
            [
                {
                    "id": f"s-{network}",
                    "network_id": network,
                    "ip_version": 4,
                    "cidr": f"10.{number * 9}.0.0/16",
                    "standard_attr_id": 7_200_000 + number,
                }
            ],
        )
    for number, port in enumerate(ports):
        name, network = f"port{number}", port["network_id"]
        columns = ("project_id", "network_id", "device_owner")
        row = {column: port[column] for column in columns} | {"id": name, "status": "ACTIVE"}
        row |= {"mac_address": name, "device_id": "", "standard_attr_id": 7_300_000 + number}
        insert(session, "ports", [row | {"admin_state_up": True}])
        # Addresses are unique on a network only: each port has them on a subnet of its own.
        insert(
            session,
            "ipallocations",
            [
                {
                    "port_id": name,
                    "ip_address": address,
                    "network_id": network,
                    "subnet_id": f"s-{network}" if first else f"s-{number}",
                }
                for address in port["addresses"]
                for first in [not any(address in p["addresses"] for p in ports[:number])]
            ],
        )
        insert(
            session,
            "allowedaddresspairs",
            [{"port_id": name, "mac_address": name, "ip_address": pair} for pair in port["pairs"]],
        )
        if port["security"] is not None:
            secure = {"port_id": name, "port_security_enabled": port["security"]}
            insert(session, "portsecuritybindings", [secure])


@st.composite
def open_chains(draw: st.DrawFn) -> candidates.OpenChain:
    prefix = st.one_of(
        st.none(),
        st.sampled_from([one for one in (*NARROW, *WIDE) if ":" not in one]),
        PREFIXES["IPv4"],
    )
    six = st.one_of(st.none(), st.sampled_from([one for one in (*NARROW, *WIDE) if ":" in one]))
    ethertypes = draw(st.lists(st.sampled_from(sorted(PREFIXES)), min_size=1, max_size=2))
    found = [
        model.FlowClassifier(
            f"c{number}",
            "",
            ethertype=ethertype,
            source_prefix=draw(prefix if ethertype == "IPv4" else six),
            destination_prefix=draw(prefix if ethertype == "IPv4" else six),
        )
        for number, ethertype in enumerate(ethertypes)
    ]
    function = model.PortPair("pp", "p", "port0", "port0")
    group = model.PortPairGroup("g", "p", 1, (function,) if draw(st.booleans()) else ())
    chain = model.PortChain(
        "chain",
        draw(st.sampled_from(PROJECTS)),
        1,
        (group,),
        tuple(found),
        symmetric=draw(st.booleans()),
    )
    networks = st.frozensets(st.sampled_from(NETWORKS), max_size=2)
    return candidates.OpenChain(chain, draw(networks), draw(networks))


def check_against_the_loop(
    engine: sa.Engine, ports: Sequence[dict[str, Any]], chains: Sequence[candidates.OpenChain]
) -> set[str]:
    """Compare both; return all ports for which the classifiers stand."""
    with session_without_checks(engine) as session:
        fill_ports(session, ports)
        everything = list(load_ports(session, sa.select(models_v2.Port.id)).values())
        found = candidates.load_candidates(session, chains)
        session.rollback()
    ends: set[str] = set()
    for one in chains:
        plain = PlainCandidates(everything, one)
        for classifier in one.chain.flow_classifiers:
            sources = found.sources(one, classifier)
            assert sources == plain.sources(classifier)
            ends |= set(sources)
            if one.chain.symmetric:
                destinations = found.destinations(one, classifier)
                assert destinations == plain.destinations(classifier)
                ends |= set(destinations)
    return ends


@settings(max_examples=2 * EXAMPLES, deadline=None)
@given(st.lists(PORT, max_size=8), st.lists(open_chains(), min_size=1, max_size=3))
def test_classifiers_stand_for_the_ports_of_a_plain_loop(
    engine: sa.Engine, ports: list[dict[str, Any]], chains: list[candidates.OpenChain]
) -> None:
    check_against_the_loop(engine, ports, chains)


END: dict[str, Any] = {
    "project_id": "p",
    "network_id": "n1",
    "device_owner": "compute:nova",
    "addresses": {"10.0.0.5"},
    "pairs": set(),
    "security": True,
}
FORWARDING = END | {"addresses": {"10.0.0.9"}, "security": False}
ROUTER = END | {"device_owner": "network:router_interface", "addresses": {"10.0.1.7"}}
HERE, ELSEWHERE = "10.0.0.5/32", "192.0.2.1/32"


@pytest.mark.parametrize(
    ("ports", "source", "destination", "ends"),
    [
        ([END, FORWARDING, ROUTER], HERE, None, {"port0"}),
        ([END, FORWARDING, ROUTER], ELSEWHERE, None, {"port1", "port2"}),
        # The only port with an address in the prefix is where the packets go.
        ([END, FORWARDING], HERE, HERE, {"port1"}),
        ([END, FORWARDING | {"pairs": {"192.0.2.0/24"}}], ELSEWHERE, None, {"port1"}),
        ([END, END | {"addresses": set(), "pairs": {HERE}}], HERE, None, {"port0", "port1"}),
        ([END, FORWARDING | {"network_id": "n2"}], ELSEWHERE, None, set()),
        ([END | {"project_id": "q"}], HERE, None, set()),
    ],
)
def test_sources_of_a_narrow_prefix(
    engine: sa.Engine,
    ports: list[dict[str, Any]],
    source: str,
    destination: str | None,
    ends: set[str],
) -> None:
    classifier = model.FlowClassifier(
        "c", "p", source_prefix=source, destination_prefix=destination
    )
    chain = model.PortChain("chain", "p", 1, (), (classifier,))
    one = candidates.OpenChain(chain, frozenset({"n1"}), frozenset())
    assert check_against_the_loop(engine, ports, [one]) == ends


@pytest.mark.parametrize(
    ("ports", "destination", "ends"),
    [
        ([END, FORWARDING, ROUTER | {"network_id": "n2"}], HERE, {"port0", "port2"}),
        ([END, FORWARDING, ROUTER | {"network_id": "n2"}], ELSEWHERE, {"port1", "port2"}),
        ([END, FORWARDING], None, {"port0", "port1"}),
    ],
)
def test_replies_come_through_routers_of_the_source(
    engine: sa.Engine, ports: list[dict[str, Any]], destination: str | None, ends: set[str]
) -> None:
    classifier = model.FlowClassifier(
        "c", "p", destination_prefix=destination, logical_source_port="a"
    )
    chain = model.PortChain("chain", "p", 1, (), (classifier,), symmetric=True)
    one = candidates.OpenChain(chain, frozenset({"n1"}), frozenset({"n2"}))
    assert check_against_the_loop(engine, ports, [one]) - {"a"} == ends
