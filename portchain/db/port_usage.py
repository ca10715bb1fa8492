"""What uses a Neutron port: pairs and classifiers that name it, and chains that it affects."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib.db import api as db_api

from portchain.core import model, rules
from portchain.db import models, relations
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


def chains_using_port(context: Any, port: model.Port) -> set[str]:
    """Return the ids of the chains that a change of a port could affect, in two queries at most.

    These are the chains

    * whose functions, or whose logical source or destination ports, include the port;
    * with an open classifier that can stand for the port without naming it;
    * that packets can reach from such a chain in a service graph;
    * that precede a chain with this logical destination port.

    `portchain.db.snapshots` reads the same relation from the chain's side.

    :param port: only its id, network, project and addresses matter. The addresses are those before
        and those after the change.
    """
    values = {"port_id": port.id, "network_id": port.network_id, "project_id": port.project_id}
    with db_api.CONTEXT_READER.using(context):
        rows = context.session.execute(_chains_query(port.forwards), values).all()
        found = [
            row
            for row in rows
            if row.ethertype is None or may_send_from(port, row.ethertype, row.prefix)
        ]
        own = {row.chain_id for row in found if not row.precedes}
        links = relations.links_of_graphs(context.session, own) if own else []
    return {row.chain_id for row in found} | rules.reachable(own, links)


# Parameters of `_chains_query`, of the port.
PORT_ID = sa.bindparam("port_id", type_=sa.String)
NETWORK_ID = sa.bindparam("network_id", type_=sa.String)
PROJECT_ID = sa.bindparam("project_id", type_=sa.String)


@cache
def _chains_query(forwards: bool) -> sa.CompoundSelect[Any]:
    """Return the query of `chains_using_port`, for ports that forward packets of others or not.

    Neutron asks this for each port that it creates, binds, reports or deletes, and to build the
    query takes longer than to execute it. So it is built once.
    """
    pair, classifier = models.PortPair, models.FlowClassifier
    return sa.union(
        _by_name(
            _predecessors_by_classifiers().where(classifier.logical_destination_port == PORT_ID),
            precedes=True,
        ),
        _by_name(_chains_of_pairs().where(pair.ingress == PORT_ID)),
        _by_name(_chains_of_pairs().where(pair.egress == PORT_ID)),
        _by_name(_chains_of_classifiers().where(classifier.logical_source_port == PORT_ID)),
        _by_name(_chains_of_classifiers().where(classifier.logical_destination_port == PORT_ID)),
        _by_open_source(),
        _by_open_destination(),
        *([_by_name(_symmetric_chains_of_sources_on_network())] if forwards else ()),
    )


def _by_name(chains: sa.Select[Any], *, precedes: bool = False) -> sa.Select[Any]:
    """Add columns to a query for chains, as `_by_open_source` has them.

    :param precedes: whether not these chains name the port, but chains that follow them.
    """
    return chains.add_columns(
        sa.null().label("ethertype"),
        sa.null().label("prefix"),
        (sa.true() if precedes else sa.false()).label("precedes"),
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


def _predecessors_by_classifiers() -> sa.Select[Any]:
    """Select the predecessors of chains, with the chains' classifiers."""
    link = models.ChainClassifier
    return (
        sa.select(models.GraphBranch.source_id.label("chain_id"))
        .join(link, link.chain_id == models.GraphBranch.destination_id)
        .join(models.FlowClassifier, models.FlowClassifier.id == link.classifier_id)
    )


def _by_open_source() -> sa.Select[Any]:
    """Select the chains whose classifiers without a logical source port may stand for the port."""
    chains = _chains_on_network().subquery()
    classifier, branch = models.FlowClassifier, models.GraphBranch
    # A chain with predecessors gets packets from them only.
    has_predecessors = sa.exists().where(branch.destination_id == chains.c.chain_id)
    return _open_classifiers(chains, classifier.source_ip_prefix).where(
        ~has_predecessors, classifier.logical_source_port.is_(None)
    )


def _by_open_destination() -> sa.Select[Any]:
    """Select the symmetric chains whose classifiers without a logical destination port may stand
    for the port.
    """
    chains = _chains_on_network().subquery()
    classifier = models.FlowClassifier
    return _open_classifiers(chains, classifier.destination_ip_prefix).where(
        models.PortChain.symmetric.is_(True), classifier.logical_destination_port.is_(None)
    )


def _symmetric_chains_of_sources_on_network() -> sa.Select[Any]:
    """Select the symmetric chains with a logical source port on the network of a router's port.

    Replies from other networks reach this port through the router.
    """
    classifier, source, chain = models.FlowClassifier, models_v2.Port, models.PortChain
    return (
        _chains_of_classifiers()
        .join(chain, chain.id == models.ChainClassifier.chain_id)
        .join(source, source.id == classifier.logical_source_port)
        .where(
            source.network_id == NETWORK_ID,
            chain.symmetric.is_(True),
            chain.project_id == PROJECT_ID,
            classifier.logical_destination_port.is_(None),
        )
    )


def _open_classifiers(chains: Any, prefix: Any) -> sa.Select[Any]:
    """Select chains with the ethertype and a prefix of each of their classifiers."""
    classifier, link = models.FlowClassifier, models.ChainClassifier
    return (
        sa.select(
            chains.c.chain_id,
            classifier.ethertype.label("ethertype"),
            prefix.label("prefix"),
            sa.false().label("precedes"),
        )
        .join(models.PortChain, models.PortChain.id == chains.c.chain_id)
        .join(link, link.chain_id == chains.c.chain_id)
        .join(classifier, classifier.id == link.classifier_id)
    )


def _chains_on_network() -> sa.CompoundSelect[Any]:
    """Select the chains of the port's project that look for sources on the port's network.

    `source_networks.of_chains` reads the same relation from the chain's side.
    """
    pair, function = models.PortPair, models_v2.Port
    chain, recorded = models.PortChain, models.ChainNetwork
    functions = _chains_of_pairs().join(chain, chain.id == models.ChainGroup.chain_id)
    return sa.union(
        # By the functions themselves, too: servers of the previous release record no networks.
        *(
            functions.join(function, function.id == side).where(
                function.network_id == NETWORK_ID, chain.project_id == PROJECT_ID
            )
            for side in (pair.ingress, pair.egress)
        ),
        sa.select(recorded.chain_id)
        .join(chain, chain.id == recorded.chain_id)
        .where(recorded.network_id == NETWORK_ID, chain.project_id == PROJECT_ID),
    )
