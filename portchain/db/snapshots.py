"""Loads chains and their parts into the model, as rules and drivers need them.

Every function runs a constant number of queries, however many chains, groups and ports it loads.
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

from portchain.core import model, rules
from portchain.db import convert, models, relations, source_networks
from portchain.db.ports import contains, has_address_in, load_ports, may_send_from


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
        before = rules.reachable(wanted, ((after, source) for source, after in links))
        after = {after for source, after in links if source in wanted}
        loaded = load_chains(session, wanted | before | after)
        chains = [chain for chain in loaded if chain.id in wanted]
        # A chain's packets are those of its ancestors' sources.
        sending = [chain for chain in loaded if chain.id in wanted | before]
        graphs = _Graphs({chain.id: chain for chain in loaded}, links)
        port_ids = {port_id for chain in chains for port_id in graphs.port_ids(chain)}
        ports = load_ports(session, models_v2.Port.id.in_(port_ids))
        open_ended = [chain for chain in sending if with_sources and _has_open_classifier(chain)]
        networks = source_networks.of_chains(session, open_ended, ports)
        candidates = _load_candidates(session, open_ended, networks, ports)
    eligible = {
        chain.id: _Candidates(
            chain,
            candidates,
            networks.get(chain.id, frozenset()),
            source_networks.of_sources(chain, ports),
        )
        for chain in sending
    }
    return [_snapshot(chain, graphs, {**candidates, **ports}, eligible) for chain in chains]


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
    """Return the chains with these ids, with their groups, pairs and classifiers."""
    rows = session.scalars(
        sa.select(models.PortChain)
        .where(models.PortChain.id.in_(list(chain_ids)))
        .options(
            orm.lazyload(models.PortChain.hosts),
            orm.defer(models.PortChain.has_foreign_parts),
            _without_standard_attributes(models.PortChain),
        )
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
        .options(_without_standard_attributes(models.PortPairGroup))
    ).all()
    pairs = load_pairs(session, {member.pair_id for row in rows for member in row.members})
    return {row.id: convert.group(row, pairs) for row in rows}


def load_pairs(session: Any, pair_ids: Iterable[str]) -> dict[str, model.PortPair]:
    """Return pairs by id."""
    rows = session.scalars(
        sa.select(models.PortPair)
        .where(models.PortPair.id.in_(list(pair_ids)))
        .options(_without_standard_attributes(models.PortPair))
    )
    return {row.id: convert.pair(row) for row in rows}


def load_classifiers(session: Any, ids: Iterable[str]) -> dict[str, model.FlowClassifier]:
    """Return classifiers by id."""
    rows = session.scalars(
        sa.select(models.FlowClassifier)
        .where(models.FlowClassifier.id.in_(list(ids)))
        .options(_without_standard_attributes(models.FlowClassifier))
    )
    return {row.id: convert.classifier(row) for row in rows}


def _without_standard_attributes(table: Any) -> Any:
    """Do not load descriptions and times: the model does not have them."""
    return orm.lazyload(table.standard_attr)


def _load_candidates(
    session: Any,
    open_ended: Sequence[model.PortChain],
    networks: Mapping[str, Collection[str]],
    ports: Mapping[str, model.Port],
) -> dict[str, model.Port]:
    """Return by id the ports for which the open classifiers of chains could stand.

    :param open_ended: chains with open classifiers (`_has_open_classifier`).
    :param networks: chain id -> ids of the networks of its functions.
    :param ports: port id -> port; at least the logical source ports that exist.
    """
    of_functions = {network_id for chain in open_ended for network_id in networks[chain.id]}
    of_routers = of_functions.union(
        *(source_networks.of_sources(chain, ports) for chain in open_ended)
    )
    if not of_routers:
        return {}
    port = models_v2.Port
    # Chains classify no traffic of Neutron's own ports, such as DHCP servers, but of routers.
    is_own = port.device_owner.startswith(constants.DEVICE_OWNER_NETWORK_PREFIX)
    return load_ports(
        session,
        port.project_id.in_({chain.project_id for chain in open_ended}),
        sa.or_(
            sa.and_(port.network_id.in_(of_functions), ~is_own),
            sa.and_(
                port.network_id.in_(of_routers),
                port.device_owner.in_(constants.ROUTER_INTERFACE_OWNERS),
            ),
        ),
    )


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
    chain: model.PortChain,
    graphs: _Graphs,
    ports: Mapping[str, model.Port],
    eligible: Mapping[str, "_Candidates"],
) -> model.ChainSnapshot:
    def sources(one: model.PortChain) -> dict[str, tuple[str, ...]]:
        follows = bool(graphs.predecessors(one))
        own = eligible[one.id]
        return {fc.id: () if follows else own.sources(fc) for fc in one.flow_classifiers}

    predecessors, ancestors = graphs.predecessors(chain), graphs.ancestors(chain)
    senders = {port for one in ancestors for ids in sources(one).values() for port in ids}
    own_sources = sources(chain)
    replying = chain.flow_classifiers if chain.symmetric else ()
    destinations = {fc.id: eligible[chain.id].destinations(fc) for fc in replying}
    ends = {port for ids in (*own_sources.values(), *destinations.values()) for port in ids}
    return model.ChainSnapshot(
        chain=chain,
        ports={
            port_id: ports[port_id]
            for port_id in sorted(senders | ends | graphs.port_ids(chain))
            if port_id in ports
        },
        sources=own_sources,
        destinations=destinations,
        predecessors=predecessors,
        successors=graphs.successors(chain),
        earlier=tuple(one for one in ancestors if one not in predecessors),
        senders=tuple(sorted(senders)),
    )


_ROUTERS = (model.PortRole.ROUTER, model.PortRole.DISTRIBUTED_ROUTER)


class _Candidates:
    """The ports of a chain's project that its open classifiers can stand for.

    A port that may send from any address, or from a range that contains a classifier's prefix, and
    a router only count where no port has an address in the prefix: otherwise a packet that they
    forward would be classified twice, here and at its source.
    """

    def __init__(
        self,
        chain: model.PortChain,
        candidates: Mapping[str, model.Port],
        networks: Collection[str],
        source_networks: Collection[str],
    ) -> None:
        own = [
            port
            for port in candidates.values()
            if port.project_id == chain.project_id and port.id not in chain.function_ports
        ]
        self._ends = [p for p in own if p.network_id in networks and not p.serves_network]
        routers = [p for p in own if p.role in _ROUTERS]
        # Drivers that cannot classify what a distributed router sends must learn of it, to refuse.
        self._routers = [p for p in routers if p.network_id in networks]
        self._reply_routers = [
            p for p in routers if p.network_id in networks or p.network_id in source_networks
        ]

    def sources(self, classifier: model.FlowClassifier) -> tuple[str, ...]:
        """Return the ids of the ports whose traffic a classifier matches."""
        if classifier.logical_source_port is not None:
            return (classifier.logical_source_port,)
        senders = [port for port in self._ends if not _is_sole_destination(port, classifier)]
        ethertype, prefix = classifier.ethertype, classifier.source_prefix
        found = _with_address(senders, ethertype, prefix)
        if not found and prefix is not None:
            found = _that_may_send([*senders, *self._routers], ethertype, prefix)
        return _ids(found)

    def destinations(self, classifier: model.FlowClassifier) -> tuple[str, ...]:
        """Return the ids of the ports whose replies belong to a classifier's traffic."""
        if classifier.logical_destination_port is not None:
            return (classifier.logical_destination_port,)
        ethertype, prefix = classifier.ethertype, classifier.destination_prefix
        found = _with_address(self._ends, ethertype, prefix)
        if not found:
            found = _that_may_send(self._ends, ethertype, prefix)
        routers = (port for port in self._reply_routers if not _is_on_link(port, prefix))
        return _ids([*found, *routers])


def _is_sole_destination(port: model.Port, classifier: model.FlowClassifier) -> bool:
    """Return whether the port is the only destination of a classifier's traffic.

    Such a port is no source of that traffic.
    """
    if classifier.logical_destination_port is not None:
        return classifier.logical_destination_port == port.id
    network = ip_network(classifier.destination_prefix or "::/0")
    own = {ip_address(address) for address in port.fixed_ips}
    return network.num_addresses == 1 and network.network_address in own


def _is_on_link(router: model.Port, prefix: str | None) -> bool:
    """Tell whether a router forwards nothing from a prefix to a network: it is the network's."""
    return prefix is not None and any(contains(subnet, prefix) for subnet in router.subnets)


def _with_address(
    ports: Sequence[model.Port], ethertype: str, prefix: str | None
) -> list[model.Port]:
    return [port for port in ports if has_address_in(port, ethertype, prefix)]


def _that_may_send(
    ports: Sequence[model.Port], ethertype: str, prefix: str | None
) -> list[model.Port]:
    return [port for port in ports if may_send_from(port, ethertype, prefix)]


def _ids(ports: Iterable[model.Port]) -> tuple[str, ...]:
    return tuple(sorted(port.id for port in ports))
