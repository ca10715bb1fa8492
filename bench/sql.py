"""SQL statements of the API workers, from the database server's general log.

The log names the connection of each statement, and the kernel the process that holds the
connection. So statements of other programs are not counted.
"""

import re
from typing import Any

import pymysql
from portchain_lab.cloud import services
from portchain_lab.hosts import netns, processes
from portchain_lab.lab import Lab

# Liveness checks of connections and ends of transactions are not counted.
_COUNTED = re.compile(r"\s*(SELECT\s+(?!1\s*$)|INSERT|UPDATE|DELETE|REPLACE)", re.IGNORECASE)


def counted(statement: str) -> bool:
    """Return whether a statement reads or writes rows."""
    return _COUNTED.match(statement) is not None


def ports_by_process(listing: str) -> dict[int, int]:
    """Local port -> process id, from the output of ``ss -Htnp`` for database connections."""
    found = {}
    for line in listing.splitlines():
        ends = re.findall(r":(\d+)(?=\s)", line)
        owner = re.search(r"pid=(\d+)", line)
        if ends and owner:
            found[int(ends[0])] = int(owner[1])
    return found


class SqlLog:
    """Records the statements that the database receives within its context."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._connection = pymysql.connect(
            unix_socket=str(services.mariadb_socket(lab.layout)), user="root", autocommit=True
        )

    def __enter__(self) -> "SqlLog":
        self._query("SET GLOBAL log_output = 'TABLE'")
        self._query("SET GLOBAL general_log = 'ON'")
        return self

    def __exit__(self, *_: object) -> None:
        self._query("SET GLOBAL general_log = 'OFF'")
        self._connection.close()

    def clear(self) -> None:
        """Clear the log."""
        self._query("TRUNCATE mysql.general_log")

    def statements(self, program: str = "neutron-api") -> list[str]:
        """The statements of a program since the log was cleared, in order."""
        threads = self._threads(program)
        logged = self._query(
            "SELECT thread_id, argument FROM mysql.general_log WHERE command_type = 'Query'"
        )
        texts = [_text(argument) for thread, argument in logged if thread in threads]
        return [text for text in texts if counted(text)]

    def _threads(self, program: str) -> set[int]:
        """The database server's thread ids of the program's connections."""
        listing = netns.run(
            self._lab.layout.controller_namespace,
            *("ss", "-Htnp", "state", "established", "dport = :3306"),
        )
        record = self._lab.processes.read(program)
        assert record
        own = set(processes.group_pids(record))
        ports = {port for port, pid in ports_by_process(listing).items() if pid in own}
        rows = self._query("SELECT id, host FROM information_schema.processlist")
        return {
            number
            for number, host in rows
            if host.rpartition(":")[2].isdigit() and int(host.rpartition(":")[2]) in ports
        }

    def _query(self, statement: str) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
