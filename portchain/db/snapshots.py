"""Rows -> model: what rules, drivers and call-backs have to see of chains.

Every function runs a number of queries that does not depend on how many chains, groups or ports
there are.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import constants
from neutron_lib.db import api as db_api
from sqlalchemy import orm

from portchain.core import model
from portchain.db import convert, models, source_networks
from portchain.db.ports import has_address_in, load_ports


@db_api.retry_if_session_inactive()
def load(context: Any, chain_ids: Iterable[str]) -> list[model.ChainSnapshot]:
    """Return chains with everything that is true of their ports, as of one moment.

    :param chain_ids: those that no longer exist are left out.
    """
    wanted = set(chain_ids)
    if not wanted:
        return []
    with db_api.CONTEXT_READER.using(context):
        session = context.session
        links = _links(session, wanted)
        loaded = load_chains(session, wanted | {chain for link in links for chain in link})
        chains = [chain for chain in loaded if chain.id in wanted]
        graphs = _Graphs({chain.id: chain for chain in loaded}, links)
        named = {port for chain in chains for port in graphs.ports(chain)}
        ports = load_ports(session, models_v2.Port.id.in_(named))
        open_ended = [chain for chain in chains if _has_open_classifier(chain)]
        places = source_networks.of_chains(session, open_ended, ports)
        candidates = _possible_sources(session, open_ended, places)
    return [
        _snapshot(chain, graphs, ports, candidates, places.get(chain.id, frozenset()))
        for chain in chains
    ]


def _links(session: Any, chain_ids: Collection[str]) -> list[tuple[str, str]]:
    """Return how chains follow others and others follow them: sources and destinations in order."""
    branch = models.GraphBranch
    ids = list(chain_ids)
    rows = session.execute(
        sa.select(branch.source_id, branch.destination_id)
        .where(sa.or_(branch.source_id.in_(ids), branch.destination_id.in_(ids)))
        .order_by(branch.position)
    )
    return [(row.source_id, row.destination_id) for row in rows]


@dataclass(frozen=True, slots=True)
class _Graphs:
    """What precedes and what follows each chain.

    :param chains: by id, those that `links` names included.
    :param links: source and destination.
    """

    chains: Mapping[str, model.PortChain]
    links: Sequence[tuple[str, str]]

    def before(self, chain: model.PortChain) -> tuple[model.PortChain, ...]:
        return tuple(self.chains[source] for source, after in self.links if after == chain.id)

    def after(self, chain: model.PortChain) -> tuple[model.PortChain, ...]:
        return tuple(self.chains[after] for source, after in self.links if source == chain.id)

    def ports(self, chain: model.PortChain) -> frozenset[str]:
        """Return every port a chain's snapshot has to know by name; `chains_using_port` is the same
        relation, seen from the port.
        """
        last_hops = (last.port_ids for one in self.before(chain) if (last := one.last_group))
        destinations = (one.logical_destinations for one in self.after(chain))
        return chain.port_ids.union(*last_hops, *destinations)


def chain_ids(context: Any) -> list[str]:
    """Return the ids of all chains."""
    with db_api.CONTEXT_READER.using(context):
        return list(context.session.scalars(sa.select(models.PortChain.id)))


def load_chains(session: Any, chain_ids: Iterable[str]) -> list[model.PortChain]:
    """Return chains with their groups, pairs and classifiers, by their ids."""
    rows = session.scalars(
        sa.select(models.PortChain)
        .where(models.PortChain.id.in_(list(chain_ids)))
        .options(orm.lazyload(models.PortChain.hosts), _bare(models.PortChain))
    ).all()
    groups = load_groups(session, {link.group_id for row in rows for link in row.groups})
    classifiers = load_classifiers(
        session, {link.classifier_id for row in rows for link in row.classifiers}
    )
    return [convert.chain(row, groups, classifiers) for row in rows]


def load_groups(session: Any, group_ids: Iterable[str]) -> dict[str, model.PortPairGroup]:
    """Return groups with their pairs, by id."""
    rows = session.scalars(
        sa.select(models.PortPairGroup)
        .where(models.PortPairGroup.id.in_(list(group_ids)))
        .options(_bare(models.PortPairGroup))
    ).all()
    pairs = load_pairs(session, {member.pair_id for row in rows for member in row.members})
    return {row.id: convert.group(row, pairs) for row in rows}


def load_pairs(session: Any, pair_ids: Iterable[str]) -> dict[str, model.PortPair]:
    """Return pairs by id."""
    rows = session.scalars(
        sa.select(models.PortPair)
        .where(models.PortPair.id.in_(list(pair_ids)))
        .options(_bare(models.PortPair))
    )
    return {row.id: convert.pair(row) for row in rows}


def load_classifiers(session: Any, ids: Iterable[str]) -> dict[str, model.FlowClassifier]:
    """Return classifiers by id."""
    rows = session.scalars(
        sa.select(models.FlowClassifier)
        .where(models.FlowClassifier.id.in_(list(ids)))
        .options(_bare(models.FlowClassifier))
    )
    return {row.id: convert.classifier(row) for row in rows}


def _bare(table: Any) -> Any:
    """Leave out what only people read: Neutron's standard attributes."""
    return orm.lazyload(table.standard_attr)


def _possible_sources(
    session: Any, open_ended: Sequence[model.PortChain], places: Mapping[str, Collection[str]]
) -> dict[str, model.Port]:
    """Return every port that a classifier which does not name its source, or in a symmetric chain
    its destination, could stand for.

    :param open_ended: the chains with such classifiers.
    :param places: chain id -> the networks of its functions.
    """
    wanted = {network for chain in open_ended for network in places[chain.id]}
    if not wanted:
        return {}
    port = models_v2.Port
    return load_ports(
        session,
        port.network_id.in_(wanted),
        port.project_id.in_({chain.project_id for chain in open_ended}),
        # Routers, DHCP and the like serve the network; they are not whose traffic a chain is for.
        ~port.device_owner.startswith(constants.DEVICE_OWNER_NETWORK_PREFIX),
    )


def _has_open_classifier(chain: model.PortChain) -> bool:
    return any(
        fc.logical_source_port is None or (chain.symmetric and fc.logical_destination_port is None)
        for fc in chain.flow_classifiers
    )


def _snapshot(
    chain: model.PortChain,
    graphs: _Graphs,
    ports: Mapping[str, model.Port],
    candidates: Mapping[str, model.Port],
    places: Collection[str],
) -> model.ChainSnapshot:
    before = graphs.before(chain)
    eligible = [
        port
        for port in candidates.values()
        if port.id not in chain.function_ports
        and port.network_id in places
        and port.project_id == chain.project_id
    ]
    sources = {fc.id: () if before else _sources(fc, eligible) for fc in chain.flow_classifiers}
    replying = chain.flow_classifiers if chain.symmetric else ()
    destinations = {fc.id: _destinations(fc, eligible) for fc in replying}
    ends = (*sources.values(), *destinations.values())
    named = {port for ids in ends for port in ids} | graphs.ports(chain)
    known = {**candidates, **ports}
    return model.ChainSnapshot(
        chain=chain,
        ports={port: known[port] for port in sorted(named) if port in known},
        sources=sources,
        destinations=destinations,
        predecessors=before,
        successors=graphs.after(chain),
    )


def _sources(classifier: model.FlowClassifier, eligible: Sequence[model.Port]) -> tuple[str, ...]:
    """Return the ports whose traffic a classifier matches."""
    if classifier.logical_source_port is not None:
        return (classifier.logical_source_port,)
    senders = [port for port in eligible if not _is_sole_destination(port, classifier)]
    return _with_address(senders, classifier.ethertype, classifier.source_prefix)


def _is_sole_destination(port: model.Port, classifier: model.FlowClassifier) -> bool:
    """Tell whether all that a classifier means goes to a port, which then sends none of it."""
    if classifier.logical_destination_port is not None:
        return classifier.logical_destination_port == port.id
    network = ip_network(classifier.destination_prefix or "::/0")
    own = {ip_address(address) for address in port.fixed_ips}
    return network.num_addresses == 1 and network.network_address in own


def _destinations(
    classifier: model.FlowClassifier, eligible: Sequence[model.Port]
) -> tuple[str, ...]:
    """Return the ports whose replies belong to a classifier's traffic."""
    if classifier.logical_destination_port is not None:
        return (classifier.logical_destination_port,)
    return _with_address(eligible, classifier.ethertype, classifier.destination_prefix)


def _with_address(
    ports: Sequence[model.Port], ethertype: str, prefix: str | None
) -> tuple[str, ...]:
    return tuple(sorted(port.id for port in ports if has_address_in(port, ethertype, prefix)))
