"""Finds chains whose realisation no longer matches the database, although nobody was notified.

Neutron commits a change of a port first and notifies the plugin afterwards. A server that is killed
in between notifies nobody. Each chain therefore keeps a digest of the snapshot from which it was
realised. The detector compares that digest with the present snapshot, one page of chains at a time.

The same finds chains whose driver has looked at a late replica of another database.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api

from portchain.core.model import ChainSnapshot
from portchain.db import realisation, snapshots, source_networks
from portchain.db.models import PortChain

_PAGE = 100
# Revisions grow without a change that matters, names matter to people only, and what is being bound
# is not realised.
_IGNORED_FIELDS = ("revision", "name", "being_bound")


def digest(snapshot: ChainSnapshot) -> str:
    """Return a digest of what a chain is realised from.

    Equal snapshots have equal digests in every process. Names and revisions do not count, nor does
    whether a port is plugged in that is no function's: no plan depends on it.

    :returns: 64 hexadecimal digits (SHA-256).
    """
    chains = (snapshot.chain, *snapshot.ancestors)
    functions = frozenset().union(*(chain.function_ports for chain in chains))
    ports = {
        port_id: port if port_id in functions else dataclasses.replace(port, plugged=True)
        for port_id, port in snapshot.ports.items()
    }
    text = json.dumps(_plain(dataclasses.replace(snapshot, ports=ports)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def mark_realised(context: Any, chains: Sequence[ChainSnapshot]) -> None:
    """Record that the drivers have accepted chains as these snapshots have them."""
    revisions = [(one.chain.id, one.chain.revision) for one in chains]
    realisation.mark_realised(context, revisions, {one.chain.id: digest(one) for one in chains})


def _plain(value: Any) -> Any:
    """Return a value as JSON can express it, without ignored fields.

    As ``dataclasses.asdict``, which copies all values, and takes six times as long.
    """
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, _LISTS):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in _IGNORED_FIELDS}
    kind: Any = type(value)
    return {name: _plain(getattr(value, name)) for name in _fields(kind)}


# Not unions of types, with which ``isinstance`` takes longer than all else here.
_SCALARS, _LISTS = (str, int, float, type(None)), (tuple, list)


@functools.cache
def _fields(kind: Any) -> tuple[str, ...]:
    names = (field.name for field in dataclasses.fields(kind))
    return tuple(name for name in names if name not in _IGNORED_FIELDS)


class DriftDetector:
    """Examines all chains in turn, one page for each call, and starts over after the last page."""

    def __init__(self) -> None:
        self._last_id = ""

    def find_in_next_page(
        self, context: Any, observe: Callable[[ChainSnapshot], ChainSnapshot]
    ) -> list[str]:
        """Return the ids of the chains in the next page that have drifted.

        :param observe: adds what is known from elsewhere to a snapshot, as was done to the one
            from which the chain was realised.
        """
        page = realisation.realised(context, self._last_id, _PAGE)
        self._last_id = max(page, default="")
        loaded = snapshots.load(context, page)
        _complete_open_ends(context, loaded)
        # A chain whose revision has changed since the page was read is being realised again anyway.
        return [
            snapshot.chain.id
            for snapshot in loaded
            if snapshot.chain.revision == page[snapshot.chain.id][0]
            and digest(observe(snapshot)) != page[snapshot.chain.id][1]
        ]


def _complete_open_ends(context: Any, chains: Sequence[ChainSnapshot]) -> None:
    """Record where classifiers are open, for chains that a previous release has written.

    Otherwise events of ports would never find these chains.
    """
    lacking = source_networks.lacking(context, chains)
    if lacking:
        _record_open_ends(context, lacking)


@db_api.retry_if_session_inactive()
def _record_open_ends(context: Any, chain_ids: Sequence[str]) -> None:
    with db_api.CONTEXT_WRITER.using(context) as session:
        # Requests that change these chains wait, and are seen.
        locked = sa.select(PortChain.id).where(PortChain.id.in_(chain_ids)).order_by(PortChain.id)
        session.execute(locked.with_for_update())
        source_networks.record(session, snapshots.load(context, chain_ids))
