"""Loads chains and their parts into the model, as rules and drivers need them.

Every function runs a constant number of queries, however many chains, groups and ports it loads.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from sqlalchemy import orm

from portchain.core import model, rules
from portchain.core.plan_records import PortChanges
from portchain.dataplane.planning.probes import probes
from portchain.db import convert, models, pair_health, relations, source_networks
from portchain.db.candidates import Candidates, OpenChain, load_candidates, open_chain
from portchain.db.many_values import in_parts
from portchain.db.port_cache import PortCache
from portchain.db.ports import load_owners, load_ports_by_id

_MOST_LOCKED = 20  # chains

_Find = Callable[[Sequence[OpenChain], Mapping[str, model.Port]], Candidates]
"""Called with chains with open classifiers, and all ports that chains name, by id."""


@db_api.retry_if_session_inactive()
def load(
    context: Any, chain_ids: Iterable[str], with_sources: bool = True, with_graphs: bool = True
) -> list[model.ChainSnapshot]:
    """Return the snapshots of chains: each chain with the state of its ports, read at one moment.

    :param chain_ids: chains that no longer exist are left out.
    :param with_sources: whether to look for the ports that classifiers stand for without naming
        them; costs two queries, and rows of all ports on the networks.
    :param with_graphs: whether to load the links to other chains, or each chain as if it had none.
    """
    wanted = set(chain_ids)
    if not wanted:
        return []
    with db_api.CONTEXT_READER.using(context):
        session = context.session
        links = relations.links_of_graphs(session, wanted) if with_graphs else []

        return _load(session, wanted, links, _find_in(session) if with_sources else None)


@db_api.retry_if_session_inactive()
def load_after_events(
    context: Any, chain_ids: Iterable[str]
) -> tuple[list[model.ChainSnapshot], Mapping[str, PortChanges]]:
    """Return the snapshots of chains, read from caches where events say what has changed.

    :returns: also, by the chain's id, what has changed of chains that have a cache. Of many chains,
        all is read anew: others would wait for their locks.
    """
    wanted = set(chain_ids)
    if len(wanted) > _MOST_LOCKED:
        return load(context, wanted), {}
    with db_api.CONTEXT_WRITER.using(context):
        session = context.session
        cache = PortCache(session, wanted)
        links = relations.links_of_graphs(session, wanted)
        linked = {chain_id for link in links for chain_id in link}
        cache.forget(wanted & linked)

        def find(chains: Sequence[OpenChain], named: Mapping[str, model.Port]) -> Candidates:
            found = cache.load_candidates([c for c in chains if c.chain.id not in linked], named)
            if others := [one for one in chains if one.chain.id in linked]:
                return Candidates({**found.ports, **load_candidates(session, others).ports})
            return found

        loaded = _load(session, wanted, links, find)
    return loaded, cache.changes


@db_api.retry_if_session_inactive()
def of_new_chains(context: Any, chains: Sequence[model.PortChain]) -> list[model.ChainSnapshot]:
    """Return the snapshots of chains that a request has created: only their ports are read.

    While the request holds the locks of the projects, and after its commit: whoever changes a chain
    or its groups from then on sees the chain, gives it a new revision, and has it planned again.

    :param chains: in no service graph.
    """
    with db_api.CONTEXT_READER.using(context):
        session, ids = context.session, {chain.id for chain in chains}
        return _with_ports(session, chains, ids, (), _find_in(session))


def _find_in(session: Any) -> _Find:
    """Return what finds ports in Neutron's tables."""

    def find(chains: Sequence[OpenChain], _named: Mapping[str, model.Port]) -> Candidates:
        return load_candidates(session, chains)

    return find


def _load(
    session: Any, wanted: Set[str], links: Sequence[tuple[str, str]], find: _Find | None
) -> list[model.ChainSnapshot]:
    before = rules.reachable(wanted, ((after, source) for source, after in links))
    after = {after for source, after in links if source in wanted}
    loaded = load_chains(session, wanted | before | after)
    return _with_ports(session, loaded, wanted, links, find)


def _with_ports(
    session: Any,
    loaded: Sequence[model.PortChain],
    wanted: Set[str],
    links: Sequence[tuple[str, str]],
    find: _Find | None,
) -> list[model.ChainSnapshot]:
    """Return snapshots of the wanted ones of chains.

    :param loaded: these, all that come before them in service graphs, and those that follow.
    """
    before = rules.reachable(wanted, ((after, source) for source, after in links))
    chains = [chain for chain in loaded if chain.id in wanted]
    # A chain's packets are those of its ancestors' sources.
    sending = [chain for chain in loaded if chain.id in wanted | before]
    graphs = _Graphs({chain.id: chain for chain in loaded}, links)
    port_ids = {port_id for chain in chains for port_id in graphs.port_ids(chain)}
    ports = load_ports_by_id(session, port_ids)
    open_ended = [chain for chain in sending if find and _has_open_classifier(chain)]
    networks = source_networks.of_chains(session, open_ended, ports)
    eligible = {
        chain.id: open_chain(chain, networks.get(chain.id, frozenset()), ports) for chain in sending
    }
    found = find([eligible[chain.id] for chain in open_ended], ports) if find else Candidates({})
    failed = pair_health.failed(
        session, (group for chain in sending for group in chain.port_pair_groups), ports
    )
    ends = _Ends(found, eligible, {**found.ports, **ports})
    return _with_owners(session, [_snapshot(chain, graphs, ends, failed) for chain in chains])


def _with_owners(
    session: Any, snapshots: Sequence[model.ChainSnapshot]
) -> list[model.ChainSnapshot]:
    """Return snapshots that also say who has the addresses that health checks are sent to."""
    wanted = {
        snapshot.chain.id: {
            (snapshot.ports[probe.egress_port].network_id, probe.destination)
            for probe in probes(snapshot)
            if probe.check is model.HealthCheck.ICMP
        }
        for snapshot in snapshots
    }
    owners = load_owners(session, set().union(*wanted.values()))
    return [
        replace(snapshot, owners=_by_network(owners, wanted[snapshot.chain.id]))
        for snapshot in snapshots
    ]


def _by_network(
    owners: Mapping[tuple[str, str], str], addresses: Iterable[tuple[str, str]]
) -> dict[str, dict[str, str]]:
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for network, address in addresses:
        if (network, address) in owners:
            found[network][address] = owners[network, address]
    return dict(found)


@dataclass(frozen=True, slots=True)
class _Ends:
    """Where the packets of chains begin and end.

    :param candidates: ports for which classifiers may stand.
    :param chains: chain id -> where it looks for them, for all whose packets matter.
    :param ports: port id -> port, of these ports and of all that chains name.
    """

    candidates: Candidates
    chains: Mapping[str, OpenChain]
    ports: Mapping[str, model.Port]


@dataclass(frozen=True, slots=True)
class _Graphs:
    """The predecessors and successors of chains in service graphs.

    :param chains: chain id -> chain; every chain that `links` names included.
    :param links: pairs of a source chain and a destination chain.
    """

    chains: Mapping[str, model.PortChain]
    links: Sequence[tuple[str, str]]

    def predecessors(self, chain: model.PortChain) -> tuple[model.PortChain, ...]:
        return tuple(self.chains[source] for source, after in self.links if after == chain.id)

    def successors(self, chain: model.PortChain) -> tuple[model.PortChain, ...]:
        return tuple(self.chains[after] for source, after in self.links if source == chain.id)

    def ancestors(self, chain: model.PortChain) -> tuple[model.PortChain, ...]:
        found = rules.reachable([chain.id], ((after, source) for source, after in self.links))
        return tuple(self.chains[chain_id] for chain_id in sorted(found))

    def port_ids(self, chain: model.PortChain) -> frozenset[str]:
        """Return the ports that a chain and its links name; its snapshot has those that exist.

        `port_usage.chains_using_port` reads the same relation from the port's side.
        """
        before = (one.port_ids for one in self.ancestors(chain))
        destinations = (after.logical_destinations for after in self.successors(chain))
        return chain.port_ids.union(*before, *destinations)


def chain_ids(context: Any) -> list[str]:
    """Return the ids of all chains."""
    with db_api.CONTEXT_READER.using(context):
        return list(context.session.scalars(sa.select(models.PortChain.id)))


def load_chains(session: Any, chain_ids: Iterable[str]) -> list[model.PortChain]:
    """Return the chains with these ids, with their groups, pairs and classifiers.

    A group that many chains use is read once.
    """
    chain, link = models.PortChain, models.ChainGroup
    ids = list(chain_ids)
    rows = _read(
        session,
        ids,
        sa.select(chain).options(
            orm.lazyload(chain.hosts),
            orm.lazyload(chain.groups),
            orm.lazyload(chain.classifiers),
            orm.defer(chain.has_foreign_parts),
            _without_standard_attributes(chain),
        ),
        chain.id,
    )
    links = sa.select(link.chain_id, link.group_id).order_by(link.chain_id, link.position)
    group_ids = _by_first(_read(session, ids, links, link.chain_id))
    groups = load_groups(session, set().union(*group_ids.values()))
    classifiers = _classifiers_of_chains(session, ids)
    return [
        convert.chain(row, [groups[one] for one in group_ids[row.id]], classifiers[row.id])
        for (row,) in rows
    ]


def _read(session: Any, ids: Iterable[str], query: Any, column: Any) -> list[Any]:
    """Run a query for rows in which a column has one of some ids."""
    parts = (session.execute(query.where(column.in_(part))).all() for part in in_parts(ids))
    return [row for rows in parts for row in rows]


def _by_first(rows: Iterable[Any]) -> defaultdict[str, list[Any]]:
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for first, second in rows:
        found[first].append(second)
    return found


def _classifiers_of_chains(
    session: Any, chain_ids: Sequence[str]
) -> defaultdict[str, list[model.FlowClassifier]]:
    """Return the classifiers of chains in order, by the chain's id."""
    link, classifier = models.ChainClassifier, models.FlowClassifier
    query = (
        sa.select(link.chain_id, classifier)
        .join(link, link.classifier_id == classifier.id)
        .order_by(link.chain_id, link.position)
        .options(_without_standard_attributes(classifier))
    )
    rows = _read(session, chain_ids, query, link.chain_id)
    return _by_first((chain_id, convert.classifier(row)) for chain_id, row in rows)


def load_classifiers(
    session: Any, classifier_ids: Iterable[str], visible: Any
) -> tuple[dict[str, model.FlowClassifier], dict[str, str]]:
    """Return classifiers by id, and the chain of each that is in one.

    :param visible: a query for the ids of classifiers; only those that it finds are returned.
    """
    classifier, link = models.FlowClassifier, models.ChainClassifier
    rows = session.execute(
        sa.select(classifier, link.chain_id)
        .outerjoin(link, link.classifier_id == classifier.id)
        .where(classifier.id.in_(list(classifier_ids)), classifier.id.in_(visible))
        .options(_without_standard_attributes(classifier))
    ).all()
    found = {row.id: convert.classifier(row) for row, _ in rows}
    return found, {row.id: chain_id for row, chain_id in rows if chain_id is not None}


def load_groups(
    session: Any, group_ids: Iterable[str], visible: Any = None
) -> dict[str, model.PortPairGroup]:
    """Return groups with their pairs, by id, in one query.

    :param visible: a query for the ids of groups of which only those are returned that it finds.
    """
    group, member, pair = models.PortPairGroup, models.GroupPair, models.PortPair
    query = (
        _group_query()
        .add_columns(pair, member.position)
        .outerjoin(member, member.group_id == group.id)
        .outerjoin(pair, pair.id == member.pair_id)
        .where(group.id.in_(list(group_ids)))
        .options(_without_standard_attributes(pair))
    )
    if visible is not None:
        query = query.where(group.id.in_(visible))
    groups: dict[str, tuple[models.PortPairGroup, bool]] = {}
    pairs: defaultdict[str, list[tuple[int, model.PortPair]]] = defaultdict(list)
    for row, shared, of_row, position in session.execute(query):
        groups[row.id] = (row, shared)
        if of_row is not None:
            pairs[row.id].append((position, convert.pair(of_row)))
    # Sorted here: the database would read all rows again.
    members = {
        one: [pair for _, pair in sorted(known, key=itemgetter(0))] for one, known in pairs.items()
    }
    return {
        group_id: convert.group(row, members.get(group_id, ()), shared=shared)
        for group_id, (row, shared) in groups.items()
    }


def _group_query() -> Any:
    """Select groups, and whether a policy shares them."""
    group, policy = models.PortPairGroup, models.PortPairGroupRBAC
    return sa.select(group, sa.exists().where(policy.object_id == group.id)).options(
        orm.lazyload(group.members),
        orm.lazyload(group.rbac_entries),
        _without_standard_attributes(group),
    )


def _without_standard_attributes(table: Any) -> Any:
    """Do not load descriptions and times: the model does not have them."""
    return orm.lazyload(table.standard_attr)


def _has_open_classifier(chain: model.PortChain) -> bool:
    """Return whether a classifier stands for ports that it does not name.

    It is open if it names no logical source port or, in a symmetric chain, no logical destination
    port.
    """
    return any(
        fc.logical_source_port is None or (chain.symmetric and fc.logical_destination_port is None)
        for fc in chain.flow_classifiers
    )


def _snapshot(
    chain: model.PortChain, graphs: _Graphs, ends: _Ends, failed: Mapping[str, str]
) -> model.ChainSnapshot:
    def sources(one: model.PortChain) -> dict[str, tuple[str, ...]]:
        follows = bool(graphs.predecessors(one))
        return {
            fc.id: () if follows else ends.candidates.sources(ends.chains[one.id], fc)
            for fc in one.flow_classifiers
        }

    predecessors, ancestors = graphs.predecessors(chain), graphs.ancestors(chain)
    senders = {port for one in ancestors for ids in sources(one).values() for port in ids}
    own_sources = sources(chain)
    replying = chain.flow_classifiers if chain.symmetric else ()
    destinations = {
        fc.id: ends.candidates.destinations(ends.chains[chain.id], fc) for fc in replying
    }
    pairs = (
        pair.id
        for one in (chain, *ancestors)
        for group in one.port_pair_groups
        for pair in group.port_pairs
    )
    own = {port for ids in (*own_sources.values(), *destinations.values()) for port in ids}
    return model.ChainSnapshot(
        chain=chain,
        ports={
            port_id: ends.ports[port_id]
            for port_id in sorted(senders | own | graphs.port_ids(chain))
            if port_id in ends.ports
        },
        sources=own_sources,
        destinations=destinations,
        predecessors=predecessors,
        successors=graphs.successors(chain),
        earlier=tuple(one for one in ancestors if one not in predecessors),
        senders=tuple(sorted(senders)),
        failed={pair_id: failed[pair_id] for pair_id in pairs if pair_id in failed},
    )
