"""Keeps what a host has counted, over changes of flows and restarts of agent and switch.

A switch counts the packets of a flow as long as the flow exists. The store holds what it last said
of each flow, and the sums of flows that have gone. Both are in one SQLite file: a process that is
killed at any moment leaves a state that was true once.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from oslo_config import cfg
from oslo_log import log

from portchain.core.counters import Count, Counter
from portchain.dataplane.flow import FlowKey

LOG = log.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS present (
    flow BLOB PRIMARY KEY, chain_id TEXT NOT NULL, reverse INTEGER NOT NULL,
    kind TEXT NOT NULL, subject TEXT NOT NULL, packets INTEGER NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS present_of_chain ON present (chain_id);
CREATE TABLE IF NOT EXISTS past (
    chain_id TEXT NOT NULL, reverse INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    packets INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (chain_id, reverse, kind, subject)
) WITHOUT ROWID;
"""
_COLUMNS = "chain_id, reverse, kind, subject, packets, bytes"
_ADD_TO_PAST = """
INSERT INTO past (chain_id, reverse, kind, subject, packets, bytes) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (chain_id, reverse, kind, subject)
DO UPDATE SET packets = packets + excluded.packets, bytes = bytes + excluded.bytes
"""

FlowCount = tuple[FlowKey, Counter | None, Count]
"""A flow, what it counts (None if only the store may know), and what the switch says it counted."""


class CounterStore:
    """The counts of one host. Thread-safe.

    :param path: of the file; ``:memory:`` keeps the counts as long as the process runs.
    :raises sqlite3.Error: the file cannot be used.
    """

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # Without WAL, each change would wait for the disk twice. A crash of the machine may lose
        # the last changes, and never damages the file.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)
        self._retirements = 0

    @property
    def retirements(self) -> int:
        """How often flows have been retired: what was read of flows before may be outdated."""
        return self._retirements

    def begin(self, flows: Iterable[tuple[FlowKey, Counter]]) -> None:
        """Note what flows count that have been added to the switch.

        After a restart of this program, only the store knows what a flow counts that no chain wants
        any more.
        """
        with self._transaction() as cursor:
            cursor.executemany(
                f"INSERT OR IGNORE INTO present (flow, {_COLUMNS}) "  # noqa: S608
                "VALUES (?, ?, ?, ?, ?, 0, 0)",
                ((digest(key), *counter) for key, counter in flows),
            )

    def observe(self, counts: Iterable[FlowCount], retirements: int) -> bool:
        """Note what the switch says of flows that exist.

        A flow that has counted less than before has been created again, by a restart of the switch
        for example: what it counted before is kept.

        :param retirements: the value of the property before the switch was asked.
        :returns: whether it is noted; False if flows have been retired meanwhile.
        """
        with self._transaction() as cursor:
            if retirements != self._retirements:
                return False
            for key, counter, count in counts:
                if counter is None:
                    continue
                flow = digest(key)
                known = self._present(cursor, flow)
                if known is not None and (known[0] != counter or known[1].packets > count.packets):
                    self._add_to_past(cursor, *known)
                if known != (counter, count):
                    cursor.execute(
                        f"INSERT OR REPLACE INTO present (flow, {_COLUMNS}) "  # noqa: S608
                        "VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (flow, *counter, *count),
                    )
        return True

    def retire(self, counts: Iterable[FlowCount]) -> None:
        """Note the last counts of flows that have been deleted."""
        with self._transaction() as cursor:
            self._retirements += 1
            for key, counter, count in counts:
                flow = digest(key)
                known = self._present(cursor, flow)
                cursor.execute("DELETE FROM present WHERE flow = ?", (flow,))
                if known is not None and known[1].packets > count.packets:
                    self._add_to_past(cursor, *known)  # created again since
                    known = None
                if (owner := counter or (known and known[0])) is not None:
                    self._add_to_past(cursor, owner, count)

    def lose(self, keys: Iterable[FlowKey]) -> None:
        """Note that flows were missing in the switch: they begin to count from 0 again."""
        with self._transaction() as cursor:
            self._retirements += 1
            for flow in map(digest, keys):
                if (known := self._present(cursor, flow)) is not None:
                    self._add_to_past(cursor, *known)
                    cursor.execute("DELETE FROM present WHERE flow = ?", (flow,))

    def counters_of(self, keys: Iterable[FlowKey]) -> dict[FlowKey, Counter]:
        """Return what flows count, those of which the store has a count."""
        with self._transaction() as cursor:
            found = ((key, self._present(cursor, digest(key))) for key in keys)
            return {key: known[0] for key, known in found if known is not None}

    def totals(self, chain_ids: Collection[str]) -> dict[Counter, Count]:
        """Return what chains have counted, as far as the store knows."""
        found: dict[Counter, Count] = {}
        with self._transaction() as cursor:
            for chain_id in chain_ids:
                for table in ("past", "present"):
                    query = f"SELECT {_COLUMNS} FROM {table} WHERE chain_id = ?"  # noqa: S608
                    for row in cursor.execute(query, (chain_id,)):
                        counter, count = _read(row)
                        found[counter] = found.get(counter, Count()).plus(count)
        return found

    def forget(self, chain_ids: Iterable[str]) -> None:
        """Forget all about chains that the host has no part in any more."""
        with self._transaction() as cursor:
            for chain_id in chain_ids:
                for table in ("past", "present"):
                    query = f"DELETE FROM {table} WHERE chain_id = ?"  # noqa: S608
                    cursor.execute(query, (chain_id,))

    def chain_ids(self) -> set[str]:
        """Return the chains of which the store has counts."""
        with self._transaction() as cursor:
            query = "SELECT chain_id FROM past UNION SELECT chain_id FROM present"
            return {chain_id for (chain_id,) in cursor.execute(query)}

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        with self._lock:
            cursor = self._connection.cursor()
            cursor.execute("BEGIN")
            try:
                yield cursor
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    @staticmethod
    def _present(cursor: sqlite3.Cursor, flow: bytes) -> tuple[Counter, Count] | None:
        query = f"SELECT {_COLUMNS} FROM present WHERE flow = ?"  # noqa: S608
        row = cursor.execute(query, (flow,)).fetchone()
        return None if row is None else _read(row)

    @staticmethod
    def _add_to_past(cursor: sqlite3.Cursor, counter: Counter, count: Count) -> None:
        cursor.execute(_ADD_TO_PAST, (*counter, *count))


def open_store(host: str, state_path: str = "") -> CounterStore:
    """Open the store of a host; one in memory if its file cannot be used.

    :param state_path: a directory; by default Neutron's for state files.
    """
    state_path = state_path or cfg.CONF.state_path
    name = "".join(char if char.isalnum() or char in "-." else "_" for char in host)
    path = Path(state_path, "port_chain", f"counters-{name}.sqlite")
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        return CounterStore(str(path))
    except (OSError, sqlite3.Error) as exc:
        LOG.warning(
            "Cannot use %s (%s): the counters of port chains begin at 0 after each restart of this "
            "program. Make state_path a directory that it can write to",
            path,
            exc,
        )
        return CounterStore(":memory:")


def digest(key: FlowKey) -> bytes:
    """Return what identifies a flow, in every process."""
    text = f"{key.bridge}/{key.table}/{key.priority}/{','.join(sorted(key.match))}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _read(row: tuple[str, int, str, str, int, int]) -> tuple[Counter, Count]:
    chain_id, reverse, kind, subject, packets, size = row
    return Counter(chain_id, bool(reverse), kind, subject), Count(packets, size)
