"""Changes that nobody told of: between a change of a port and the chains that follow it a server can be killed, too.

What a chain was realised from is kept as a digest, and compared with what is true now: a few chains at a time, in turn,
however many there are.
"""

import dataclasses
import hashlib
import json
from typing import Any

from portchain.core.model import ChainSnapshot
from portchain.db import realisation, snapshots

_PAGE = 100
# What grows by itself, and what only people read.
_IGNORED = ("revision", "name")


def digest(snapshot: ChainSnapshot) -> str:
    """Return what a chain is realised from, as 64 hexadecimal digits: equal for equal snapshots in every process."""
    text = json.dumps(_relevant(dataclasses.asdict(snapshot)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _relevant(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _relevant(item) for key, item in value.items() if key not in _IGNORED}
    if isinstance(value, list | tuple):
        return [_relevant(item) for item in value]
    return value


class DriftDetector:
    """Looks at all chains in turn, a page at each call."""

    def __init__(self) -> None:
        self._last = ""

    def next(self, context: Any) -> list[str]:
        """Return those of the next chains that were realised from something else than what is true now."""
        page = realisation.realised(context, self._last, _PAGE)
        self._last = max(page, default="")
        # What has another revision by now is being realised anew.
        return [
            snapshot.chain.id
            for snapshot in snapshots.load(context, page)
            if snapshot.chain.revision == page[snapshot.chain.id][0]
            and digest(snapshot) != page[snapshot.chain.id][1]
        ]
