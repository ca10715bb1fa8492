"""What uses a Neutron port: the pairs and classifiers that name it, and the chains it concerns."""

from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib.db import api as db_api
from sqlalchemy import orm

from portchain.core import model
from portchain.db import models
from portchain.db.ports import has_address_in


def users_of_port(context: Any, port_id: str) -> str | None:
    """Return a description of what needs a Neutron port, None if nothing does.

    What belongs to other projects than the caller's has no name in it.
    """
    pair, fc = models.PortPair, models.FlowClassifier
    query = sa.union_all(
        sa.select(sa.literal("port pair").label("kind"), pair.id, pair.name, pair.project_id).where(
            sa.or_(pair.ingress == port_id, pair.egress == port_id)
        ),
        sa.select(sa.literal("flow classifier").label("kind"), fc.id, fc.name, fc.project_id).where(
            sa.or_(fc.logical_source_port == port_id, fc.logical_destination_port == port_id)
        ),
    )
    found = []
    for kind, an_id, name, owner in context.session.execute(query):
        if not context.is_admin and owner != context.project_id:
            found.append(f"a {kind} of another project")
        else:
            found.append(f"{kind} {name} ({an_id})" if name else f"{kind} {an_id}")
    return ", ".join(sorted(set(found))) or None


def chains_using_port(context: Any, port: model.Port) -> set[str]:
    """Return the ids of the chains that a change of a port could concern, in one query.

    These are the chains whose functions or logical source and destination ports include it, those
    with a classifier that stands for it without naming it, and those that follow or precede a chain
    in a graph as far as it is where they meet.

    :param port: only its id, network, owner and addresses matter; the addresses are those before
        the change and those after.
    """
    pair, classifier = models.PortPair, models.FlowClassifier
    query = sa.union(
        _naming(_chains_after().where(sa.or_(pair.ingress == port.id, pair.egress == port.id))),
        _naming(_chains_before().where(classifier.logical_destination_port == port.id)),
        _naming(_chains_of_pairs().where(pair.ingress == port.id)),
        _naming(_chains_of_pairs().where(pair.egress == port.id)),
        _naming(_chains_of_classifiers().where(classifier.logical_source_port == port.id)),
        _naming(_chains_of_classifiers().where(classifier.logical_destination_port == port.id)),
        _open_chains(port),
        _open_chains(port, replies=True),
    )
    with db_api.CONTEXT_READER.using(context):
        rows = context.session.execute(query).all()
    return {
        row.chain_id
        for row in rows
        if row.ethertype is None or has_address_in(port, row.ethertype, row.prefix)
    }


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


def _chains_after() -> sa.Select[Any]:
    """Select the chains that follow others, by the pairs of the others' last groups."""
    here, later = models.ChainGroup, orm.aliased(models.ChainGroup)
    group, later_group = models.PortPairGroup, orm.aliased(models.PortPairGroup)
    # As `PortChain.last_group` has it: taps hand nothing on.
    follows = sa.select(later.chain_id).join(later_group, later_group.id == later.group_id)
    is_last = ~follows.where(
        later.chain_id == here.chain_id,
        later.position > here.position,
        later_group.tap_enabled.is_(False),
    ).exists()
    return (
        sa.select(models.GraphBranch.destination_id.label("chain_id"))
        .join(here, here.chain_id == models.GraphBranch.source_id)
        .join(group, group.id == here.group_id)
        .join(models.GroupPair, models.GroupPair.group_id == here.group_id)
        .join(models.PortPair, models.PortPair.id == models.GroupPair.pair_id)
        .where(is_last, group.tap_enabled.is_(False))
    )


def _chains_before() -> sa.Select[Any]:
    """Select the chains that others follow, by the others' classifiers."""
    link = models.ChainClassifier
    return (
        sa.select(models.GraphBranch.source_id.label("chain_id"))
        .join(link, link.chain_id == models.GraphBranch.destination_id)
        .join(models.FlowClassifier, models.FlowClassifier.id == link.classifier_id)
    )


def _naming(chains: sa.Select[Any]) -> sa.Select[Any]:
    """Give chains that name a port the columns of those that do not."""
    return chains.add_columns(sa.null().label("ethertype"), sa.null().label("prefix"))


def _open_chains(port: model.Port, replies: bool = False) -> sa.Select[Any]:
    """Select the owner's chains on a port's network, by their open classifiers.

    :param replies: symmetric chains, by the classifiers whose destination is open.
    """
    here = _chains_on_network(port).subquery()
    classifier, link = models.FlowClassifier, models.ChainClassifier
    named = classifier.logical_destination_port if replies else classifier.logical_source_port
    prefix = classifier.destination_ip_prefix if replies else classifier.source_ip_prefix
    follows = models.GraphBranch.destination_id == here.c.chain_id
    # A chain that follows others takes traffic from them only.
    concerned = models.PortChain.symmetric.is_(True) if replies else ~sa.exists().where(follows)
    return (
        sa.select(
            here.c.chain_id,
            classifier.ethertype.label("ethertype"),
            prefix.label("prefix"),
        )
        .join(models.PortChain, models.PortChain.id == here.c.chain_id)
        .join(link, link.chain_id == here.c.chain_id)
        .join(classifier, classifier.id == link.classifier_id)
        .where(concerned, named.is_(None))
    )


def _chains_on_network(port: model.Port) -> sa.CompoundSelect[Any]:
    """Select the owner's chains that have functions on a port's network.

    `source_networks.of_chains` is the same relation seen from the chain.
    """
    pair, function = models.PortPair, models_v2.Port
    chain, kept = models.PortChain, models.ChainNetwork
    functions = _chains_of_pairs().join(chain, chain.id == models.ChainGroup.chain_id)
    return sa.union(
        # What servers of the release before wrote is not kept.
        *(
            functions.join(function, function.id == side).where(
                function.network_id == port.network_id, chain.project_id == port.project_id
            )
            for side in (pair.ingress, pair.egress)
        ),
        sa.select(kept.chain_id)
        .join(chain, chain.id == kept.chain_id)
        .where(kept.network_id == port.network_id, chain.project_id == port.project_id),
    )
