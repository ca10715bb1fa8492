"""What uses a Neutron port: pairs and classifiers that name it, and chains that it affects."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from ipaddress import ip_network
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib.db import api as db_api

from portchain.core import model, rules, search_keys
from portchain.db import models, relations, source_networks
from portchain.db.ports import may_send_from


def describe_users(context: Any, port_id: str) -> str | None:
    """Describe, for a message, the pairs and classifiers that name a port; None if none does.

    Resources that the caller may not see are not named.
    """
    return _describe(context, context.session.execute(_users_of(port_id)))


def describe_latest_users(context: Any, port_id: str) -> str | None:
    """Describe the users of a port that the transaction is about to delete; None if there is none.

    Locks the port first: no new user can appear until the transaction ends. Then it reads what
    other transactions have committed since this one began.
    """
    port = models_v2.Port
    context.session.execute(sa.select(port.id).where(port.id == port_id).with_for_update())
    # A locking read of each table: databases do not lock the rows of a union.
    queries = (query.with_for_update(read=True) for query in _user_queries(port_id))
    return _describe(context, (row for query in queries for row in context.session.execute(query)))


def _users_of(port_id: str) -> sa.CompoundSelect[Any]:
    return sa.union_all(*_user_queries(port_id))


def _user_queries(port_id: str) -> tuple[sa.Select[Any], ...]:
    """Return the queries for pairs and for classifiers that name a port."""
    pair, classifier = models.PortPair, models.FlowClassifier
    return (
        _columns_of("port pair", pair).where(
            sa.or_(pair.ingress == port_id, pair.egress == port_id)
        ),
        _columns_of("flow classifier", classifier).where(
            sa.or_(
                classifier.logical_source_port == port_id,
                classifier.logical_destination_port == port_id,
            )
        ),
    )


def _describe(context: Any, rows: Iterable[Any]) -> str | None:
    users = []
    for kind, user_id, name, project_id in rows:
        if not context.is_admin and project_id != context.project_id:
            users.append(f"a {kind} of another project")
        else:
            users.append(f"{kind} {name} ({user_id})" if name else f"{kind} {user_id}")
    return ", ".join(sorted(set(users))) or None


def _columns_of(kind: str, table: Any) -> sa.Select[Any]:
    return sa.select(sa.literal(kind).label("kind"), table.id, table.name, table.project_id)


def chains_using_port(context: Any, port: model.Port, *, only_functions: bool = False) -> set[str]:
    """Return the ids of the chains that a change of a port could affect, in two queries at most.

    These are the chains

    * whose functions, or whose logical source or destination ports, include the port;
    * with an open classifier that can stand for the port without naming it;
    * that packets can reach from such a chain in a service graph;
    * that precede a chain with this logical destination port.

    `portchain.db.snapshots` reads the same relation from the chain's side.

    :param port: only its id, network, project and addresses matter. The addresses are those before
        and those after the change.
    :param only_functions: the port was plugged in or unplugged, and nothing else: leave out the
        chains that do not depend on whether a function is at the port.
    """
    if only_functions:
        return _with_following(context, *_through_ports([port.id]))
    values = {"port_id": port.id, "network_id": port.network_id, "project_id": port.project_id}
    with db_api.CONTEXT_READER.using(context):
        query = _chains_query(port.forwards, len(port.address_pairs) if not port.forwards else 0)
        rows = context.session.execute(query, values | _keys(port)).all()
        found = [
            row
            for row in rows
            if row.ethertype is None or may_send_from(port, row.ethertype, row.prefix)
        ]
        own = {row.chain_id for row in found}
        links = relations.links_of_graphs(context.session, own) if own else []
    before = {row.predecessor for row in found if row.predecessor is not None}
    return own | before | rules.reachable(own, links)


def chains_on_network(context: Any, network_id: str) -> set[str]:
    """Return the ids of the chains that a change of a network's subnets could affect.

    These are the chains with a function's port or a logical port on the network, and those that
    packets can reach from them in a service graph. Ports that no classifier names are on networks
    of the functions.
    """
    port, classifier = models_v2.Port, models.FlowClassifier
    ports = sa.select(port.id).where(port.network_id == network_id)
    ends = (classifier.logical_source_port, classifier.logical_destination_port)
    return _with_following(
        context,
        *_through_ports(ports),
        *(_chains_of_classifiers().where(end.in_(ports)) for end in ends),
    )


def _through_ports(ports: Sequence[str] | sa.Select[Any]) -> list[sa.Select[Any]]:
    pair = models.PortPair
    return [_chains_of_pairs().where(end.in_(ports)) for end in (pair.ingress, pair.egress)]


def _with_following(context: Any, *queries: sa.Select[Any]) -> set[str]:
    """Return the chains that queries find, and those that packets can reach from them."""
    with db_api.CONTEXT_READER.using(context):
        own = set(context.session.scalars(sa.union(*queries)))
        links = relations.links_of_graphs(context.session, own) if own else []
    return own | rules.reachable(own, links)


# Parameters of `_chains_query`, of the port.
PORT_ID = sa.bindparam("port_id", type_=sa.String)
NETWORK_ID = sa.bindparam("network_id", type_=sa.String)
PROJECT_ID = sa.bindparam("project_id", type_=sa.String)
KEYS = sa.bindparam("keys", type_=sa.String, expanding=True)


def _keys(port: model.Port) -> dict[str, Any]:
    """Return the parameters for the keys of prefixes in which a port has an address.

    Of ports that forward packets of others, the addresses do not matter. An allowed address pair
    with a prefix counts for each prefix that it contains, too.
    """
    if port.forwards:
        return {}
    pairs = [_address_key(pair.prefix) for pair in port.address_pairs]
    own = [*map(_address_key, port.fixed_ips), *pairs]
    # No open end has the empty key: each begins with the version of IP.
    keys = {beginning for key in own for beginning in search_keys.beginnings(key) if beginning}
    parameters: dict[str, Any] = {"keys": sorted(keys)}
    for number, key in enumerate(pairs):
        parameters |= {f"low_{number}": key, f"high_{number}": search_keys.end(key)}
    return parameters


def _address_key(prefix: str) -> str:
    return search_keys.address_key(f"IPv{ip_network(prefix).version}", prefix)


@cache
def _chains_query(forwards: bool, pairs: int) -> sa.CompoundSelect[Any]:
    """Return the query of `chains_using_port`.

    Neutron asks this for each port that it creates, binds, reports or deletes, and to build the
    query takes longer than to execute it. So it is built once. A chain may be found twice: a union
    without repetitions would read all that was found again.

    :param forwards: for ports that forward packets of others.
    :param pairs: the number of allowed address pairs, for other ports.
    """
    pair, classifier = models.PortPair, models.FlowClassifier
    return sa.union_all(
        _by_name(_chains_of_pairs().where(pair.ingress == PORT_ID)),
        _by_name(_chains_of_pairs().where(pair.egress == PORT_ID)),
        _by_name(_chains_of_classifiers().where(classifier.logical_source_port == PORT_ID)),
        _with_predecessors().where(classifier.logical_destination_port == PORT_ID),
        *(_by_open_ends(condition) for condition in _conditions(forwards, pairs)),
    )


def _conditions(forwards: bool, pairs: int) -> Iterator[sa.ColumnElement[bool]]:
    """Yield the conditions for open ends that can stand for the port."""
    end = models.OpenEnd
    if forwards:
        yield sa.true()
        return
    is_end = end.kind != source_networks.REPLY
    yield sa.and_(is_end, end.address_key.in_(KEYS))
    for number in range(pairs):
        low, high = (sa.bindparam(f"{side}_{number}", type_=sa.String) for side in ("low", "high"))
        yield sa.and_(is_end, end.address_key > low, end.address_key < high)


def _by_open_ends(condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Select the chains whose classifiers stand for the port without naming it, by one index.

    `portchain.db.snapshots` reads the same relation from the chain's side.
    """
    end, classifier, branch = models.OpenEnd, models.FlowClassifier, models.GraphBranch
    is_source = end.kind == source_networks.SOURCE
    # A chain with predecessors gets packets from them only.
    has_predecessors = sa.exists().where(branch.destination_id == end.chain_id)
    prefix = sa.case(
        (is_source, classifier.source_ip_prefix), else_=classifier.destination_ip_prefix
    )
    return (
        sa.select(
            end.chain_id,
            classifier.ethertype.label("ethertype"),
            prefix.label("prefix"),
            sa.null().label("predecessor"),
        )
        .join(classifier, classifier.id == end.classifier_id)
        .where(
            end.network_id == NETWORK_ID,
            end.project_id == PROJECT_ID,
            condition,
            sa.or_(~is_source, ~has_predecessors),
        )
    )


def _by_name(chains: sa.Select[Any], predecessor: Any = None) -> sa.Select[Any]:
    """Add columns to a query for chains, as `_by_open_ends` has them.

    :param predecessor: column with the id of a chain that precedes the one that was found.
    """
    return chains.add_columns(
        sa.null().label("ethertype"),
        sa.null().label("prefix"),
        (sa.null() if predecessor is None else predecessor).label("predecessor"),
    )


def _chains_of_pairs() -> sa.Select[Any]:
    return (
        sa.select(models.ChainGroup.chain_id)
        .join(models.GroupPair, models.GroupPair.group_id == models.ChainGroup.group_id)
        .join(models.PortPair, models.PortPair.id == models.GroupPair.pair_id)
    )


def _chains_of_classifiers() -> sa.Select[Any]:
    link = models.ChainClassifier
    return sa.select(link.chain_id).join(
        models.FlowClassifier, models.FlowClassifier.id == link.classifier_id
    )


def _with_predecessors() -> sa.Select[Any]:
    """Select the chains of classifiers, each once for each chain that precedes it in a graph."""
    branch = models.GraphBranch
    chains = _chains_of_classifiers().join(
        branch, branch.destination_id == models.ChainClassifier.chain_id, isouter=True
    )
    return _by_name(chains, branch.source_id)
