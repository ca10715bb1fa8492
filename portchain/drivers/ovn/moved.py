"""Neutron's ports while chains have them: the columns that are the chain's meanwhile, and what Neutron wrote, to be given back.

All of it is in the port's own row: marks in its ``external_ids`` say what was there before, what we wrote, and since when.
"""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from portchain.drivers.ovn.northbound import CHAIN, TAGS, put
from portchain.drivers.ovn.rows import MovedPort

WRITTEN = "portchain:written"
"""Key of a moved port's: what we wrote into the columns that are ours, as JSON."""
_KEPT = "portchain:kept"  # what Neutron wrote last into these, as JSON
_OPTIONS = "portchain:options"  # which of its options are ours, as JSON
_SETTLED = "portchain:settled"  # Neutron's revision of the port when it has taken note of the move
_MOVED = "portchain:moved"  # the time of the move, seconds since the epoch
_LEFT = "portchain:left"  # name of the child that was removed last
_REVISIONS_OF_A_MOVE = 2
_OUR_OPTIONS = ("lsp_learn_fdb", "is-nf", "receive_multicast")
_Columns = dict[str, list[str]]
_NO_FLOODS = {"receive_multicast": "false"}
_NOBODY = "01:00:00:00:00:00"  # an address of groups: it sends nothing
PATIENCE = 60
"""Seconds after which nobody waits any more for Neutron to note a move."""


def take(row: Any, wanted: MovedPort, owner: Mapping[str, str], moves: bool) -> None:
    """Write what a chain needs into a port's row, and keep what Neutron wrote.

    :param owner: marks of the chain's rows.
    :param moves: the port comes to another switch.
    """
    ours: _Columns = {"addresses": list(wanted.addresses), "port_security": []}
    marks = {**_marks(row, ours, wanted.options), **owner}
    if moves and row.up == [True]:
        # Its binding is made anew: Neutron will hear that it went down, and that it came up.
        marks[_SETTLED] = str(_neutrons_revision(row) + _REVISIONS_OF_A_MOVE)
        marks[_MOVED] = str(int(time.time()))
    _put(row, ours, wanted.options, marks)


def shut(row: Any, last: str) -> None:
    """Let nothing pass a port but what passes its children, and keep what Neutron wrote.

    Not by its column ``enabled``: from that, Neutron reads the port's status.

    :param last: the VLAN tag that was dealt out last there.
    """
    ours: _Columns = {"port_security": [_NOBODY]}
    _put(row, ours, _NO_FLOODS, {**_marks(row, ours, _NO_FLOODS), TAGS: last})


def _put(row: Any, ours: _Columns, options: Mapping[str, str], marks: Mapping[str, str]) -> None:
    put(row, **ours, options={**_neutrons_options(row), **options}, external_ids=dict(marks))


def _marks(row: Any, ours: _Columns, options: Mapping[str, str]) -> dict[str, str]:
    """The marks of a row with what is going to be written, and what Neutron has written, always all of these columns."""
    if _written(row).keys() != ours.keys():
        # Another use of the port.
        give_back(row)
    present = _present(row, ours)
    marks = dict(row.external_ids)
    if present != _written(row):
        marks[_KEPT] = json.dumps(present)
    marks[WRITTEN] = json.dumps({column: sorted(value) for column, value in ours.items()})
    marks[_OPTIONS] = json.dumps(options)
    return marks


def note_left(row: Any, child: str) -> None:
    """Note which child was removed last: two processes that remove one at once have to hear of each other."""
    put(row, external_ids={**row.external_ids, _LEFT: child})


def give_back(row: Any) -> None:
    """Write into a port's row what Neutron wrote last; nothing to a row without our marks."""
    marks = dict(row.external_ids)
    written = _written(row)
    kept = json.loads(marks.get(_KEPT, "{}")) if _present(row, written) == written else {}
    for key in (CHAIN, TAGS, WRITTEN, _KEPT, _OPTIONS, _LEFT, _SETTLED, _MOVED):
        marks.pop(key, None)
    put(row, **kept, options=_neutrons_options(row), external_ids=marks)


def is_overwritten(row: Any) -> bool:
    """Tell whether a moved port's columns are no longer what was written for its chain."""
    ours, options = _ours(row)
    return _present(row, ours) != ours or not options.items() <= row.options.items()


def restore(row: Any) -> None:
    """Write into an overwritten row again what its chain needs; keep what Neutron wrote."""
    marks = dict(row.external_ids)
    ours, options = _ours(row)
    present = _present(row, ours)
    if present != ours:
        marks[_KEPT] = json.dumps(present)
    _put(row, ours, options, marks)


def is_settled(row: Any) -> bool:
    """Tell whether Neutron has taken note that a port was moved."""
    return _neutrons_revision(row) >= int(row.external_ids.get(_SETTLED, 0))


def is_moving(row: Any) -> bool:
    """Tell whether a port is down for no other reason, as far as one can know, than that it was moved."""
    recently = time.time() - int(row.external_ids.get(_MOVED, 0)) < PATIENCE
    return recently and not is_settled(row)


def _ours(row: Any) -> tuple[_Columns, dict[str, str]]:
    """The columns and the options that were written for the chain."""
    return _written(row), json.loads(row.external_ids.get(_OPTIONS, "{}"))


def _written(row: Any) -> _Columns:
    return dict(json.loads(row.external_ids.get(WRITTEN, "{}")))


def _present(row: Any, columns: Iterable[str]) -> _Columns:
    return {column: sorted(getattr(row, column)) for column in columns}


def _neutrons_options(row: Any) -> dict[str, str]:
    return {key: value for key, value in row.options.items() if key not in _OUR_OPTIONS}


def _neutrons_revision(row: Any) -> int:
    return int(row.external_ids.get("neutron:revision_number", 0))
