"""What functions, groups and chains do at the moment, computed from rows. Nothing of it is stored.

Each function runs a constant number of queries.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from portchain.core import operating_status
from portchain.core.model import ChainSnapshot, PairHealth
from portchain.core.operating_status import GroupOperating, Operating
from portchain.db import convert, models, pair_health, relations, snapshots
from portchain.db.ports import load_places


def of_groups(session: Any, group_ids: Iterable[str]) -> dict[str, GroupOperating]:
    """Return the operating status of groups, by id, each with that of its pairs."""
    _, now = before_and_now(session, group_ids, {})
    return now


def before_and_now(
    session: Any, group_ids: Iterable[str], earlier: Mapping[str, PairHealth]
) -> tuple[dict[str, GroupOperating], dict[str, GroupOperating]]:
    """Return the operating status that groups had before a change of health, and that of now.

    :param earlier: pair id -> its health before, of the pairs whose health has changed.
    :returns: of both, what ``of_groups`` returns.
    """
    groups = snapshots.load_groups(session, group_ids)
    port_ids = {port_id for group in groups.values() for port_id in group.port_ids}
    ports = load_places(session, port_ids)
    known = pair_health.known(session, groups.values(), ports)

    def states(health: Mapping[str, PairHealth]) -> dict[str, GroupOperating]:
        return {
            group_id: operating_status.of_group(group, ports, health)
            for group_id, group in groups.items()
        }

    now = states(known)
    return (states({**known, **earlier}) if earlier else now), now


def of_pairs(session: Any, rows: Sequence[models.PortPair]) -> dict[str, Operating]:
    """Return the operating status of pairs, by id."""
    groups = relations.groups_of_pairs(session, [row.id for row in rows])
    states = of_groups(session, sorted(set(groups.values()))) if groups else {}
    alone = [convert.pair(row) for row in rows if row.id not in groups]
    ports = load_places(session, {port for pair in alone for port in (pair.ingress, pair.egress)})
    found = {pair.id: operating_status.of_pair(pair, ports) for pair in alone}
    return found | {
        pair_id: states[group_id].pairs[pair_id]
        for pair_id, group_id in groups.items()
        if group_id in states and pair_id in states[group_id].pairs
    }


def of_chains(session: Any, rows: Sequence[models.PortChain]) -> dict[str, Operating]:
    """Return the operating status of chains, by id."""
    states = of_groups(session, sorted({link.group_id for row in rows for link in row.groups}))
    return {row.id: of_chain(row, states) for row in rows}


def of_snapshot(session: Any, snapshot: ChainSnapshot) -> Operating:
    """Return the operating status of a chain whose ports have been read; none is withdrawn of it.

    One query if one of its groups has a health check.
    """
    chain, ports = snapshot.chain, snapshot.ports
    known = pair_health.known(session, chain.port_pair_groups, ports)
    groups = [operating_status.of_group(one, ports, known) for one in chain.port_pair_groups]
    return operating_status.of_chain(chain.project_id, groups)


def of_chain(row: models.PortChain, states: Mapping[str, GroupOperating]) -> Operating:
    """Return the operating status of one chain.

    :param states: of its groups, by id.
    """
    groups = [states[link.group_id] for link in row.groups if link.group_id in states]
    return operating_status.of_chain(row.project_id, groups, withdrawn=row.group_withdrawn)
