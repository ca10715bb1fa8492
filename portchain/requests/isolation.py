"""Checks that chains of several projects stay apart at the functions that they share."""

from collections.abc import Sequence

from portchain.core import model
from portchain.dataplane.planning import attribution
from portchain.db import relations, snapshots
from portchain.requests.request import Request


def check_isolated(
    request: Request,
    own: Sequence[model.ChainSnapshot],
    attribute: str,
    changed: model.PortPairGroup | None = None,
) -> None:
    """Check chains against all chains that have function ports in common with them.

    :param own: the chains that the request creates or affects.
    :param attribute: the attribute of the request that an error names.
    :param changed: the group that the request changes; None for chains and graphs.
    :raises Violation: see ``attribution.check_isolated``.
    """
    ports = {port for one in own for port in one.chain.function_ports}
    if not ports:
        return
    known = [one.chain.id for one in own]
    others = relations.chains_with_function_ports(request.session, ports, known)
    loaded = snapshots.load(request.context, others, with_sources=False) if others else []
    attribution.check_isolated(own, loaded, attribute, changed)
