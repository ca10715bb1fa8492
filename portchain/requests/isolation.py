"""Checks that chains stay apart at the functions that they have in common."""

from collections.abc import Sequence

from portchain.core import model
from portchain.dataplane.planning import ambiguity, attribution
from portchain.db import relations, snapshots
from portchain.requests.request import Request


def check_isolated(
    request: Request,
    own: Sequence[model.ChainSnapshot],
    attribute: str,
    changed: model.PortPairGroup | None = None,
) -> None:
    """Check chains against all chains that meet them at the port of a function.

    :param own: the chains that the request creates or affects.
    :param attribute: the attribute of the request that an error names.
    :param changed: the group that the request changes; None for chains and graphs.
    :raises Violation: see ``attribution.check_isolated`` and ``ambiguity.check_unambiguous``.
    """
    chains = [one.chain for one in own]
    if not any(chain.port_ids for chain in chains):
        return
    others = relations.chains_at_function_ports(request.session, chains)
    loaded = snapshots.load(request.context, others, with_sources=False) if others else []
    attribution.check_isolated(own, loaded, attribute, changed)
    ambiguity.check_unambiguous(own, loaded, attribute, changed)
