"""Requests for what hosts have counted of a chain. They are asked on demand; nothing is stored."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from neutron import policy

from portchain.core.chain_stats import Shown, chain_stats
from portchain.core.counters import HostCounts
from portchain.core.model import ChainSnapshot, PortChain
from portchain.db import lookup, snapshots

_NO_COUNTERS = HostCounts()


def get_port_chain_stats(
    context: Any, read: Callable[[Any, ChainSnapshot], HostCounts | None], chain_id: str
) -> Shown:
    """Return what has been counted of a chain, as the caller may see it.

    A group that another project owns shows what this chain has sent through it, and no host.

    :param read: asks the network, see ``DriverManager.read_counters``.
    :raises NotFound: the chain does not exist, or the caller cannot see it.
    """
    lookup.show_by_id(context, lookup.PORT_CHAIN, [chain_id], ["id"])
    for snapshot in snapshots.load(context, [chain_id]):
        counts = read(context, snapshot) or _NO_COUNTERS
        return chain_stats(
            snapshot,
            counts,
            datetime.now(UTC),
            shows_hosts=_may_know_hosts(context, snapshot.chain),
            sees=lambda project: context.is_admin or project == context.project_id,
        )
    raise lookup.PORT_CHAIN.not_found(id=chain_id, attribute="")  # it was deleted in between


def _may_know_hosts(context: Any, chain: PortChain) -> bool:
    """Tell whether the caller may know on which hosts functions are, as with ``status_reason``."""
    groups = chain.port_pair_groups
    owners = {group.project_id for group in groups}
    owners |= {pair.project_id for group in groups for pair in group.port_pairs}
    owners |= {classifier.project_id for classifier in chain.flow_classifiers}
    if owners != {chain.project_id} and not context.is_admin:
        return False
    target = {"id": chain.id, "project_id": chain.project_id, "tenant_id": chain.project_id}
    return bool(
        policy.check(context, "get_port_chain:status_reason", target, pluralized="port_chains")
    )
