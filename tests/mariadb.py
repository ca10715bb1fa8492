"""A MariaDB server for tests and benchmarks, with databases that have Neutron's schema and ours."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pymysql
from pymysql.constants import CLIENT

from tests import programs

START_SECONDS = 60
MEMORY, NEEDED = Path("/dev/shm"), 1 << 30


@dataclass(frozen=True)
class MariaDb:
    """A running server.

    :param socket: the Unix socket it listens on; it has no network socket.
    """

    socket: Path

    def url(self, database: str) -> str:
        """Return the URL of a database, for SQLAlchemy."""
        return f"mysql+pymysql://root@localhost/{database}?unix_socket={self.socket}"

    def execute(self, statement: str) -> None:
        """Run a statement outside any database."""
        with pymysql.connect(unix_socket=str(self.socket), user="root") as connection:
            connection.cursor().execute(statement)

    def load(self, database: str, statements: str) -> None:
        """Run statements, separated by semicolons, in a database."""
        with pymysql.connect(
            unix_socket=str(self.socket),
            user="root",
            database=database,
            client_flag=CLIENT.MULTI_STATEMENTS,
        ) as connection:
            cursor = connection.cursor()
            cursor.execute(statements)
            while cursor.nextset():
                pass
            connection.commit()


@contextmanager
def running() -> Iterator[MariaDb]:
    """Start a server on a Unix socket, and stop it at the end, also after a failure."""
    # Not the directory of a test: the path of a Unix socket is limited to 107 characters.
    with tempfile.TemporaryDirectory(prefix="pc-db-", dir=_place()) as name:
        directory = Path(name)
        data, socket, scratch = (directory / part for part in ("data", "socket", "tmp"))
        scratch.mkdir()
        user = "root" if os.getuid() == 0 else str(os.getuid())
        # A server that starts deletes all temporary tables in its directory for them, also those
        # of servers that are running.
        common = ["--no-defaults", f"--datadir={data}", f"--tmpdir={scratch}", f"--user={user}"]
        subprocess.run(
            ["mariadb-install-db", *common, "--auth-root-authentication-method=normal"],
            check=True,
            capture_output=True,
        )
        # Engines of some tests keep connections open until Python collects garbage.
        options = [
            *(f"--socket={socket}", "--skip-networking", "--innodb-flush-log-at-trx-commit=0"),
            "--max-connections=1000",
        ]
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen(["mariadbd", *common, *options], stdout=log, stderr=log)
        try:
            _wait(server, socket, directory / "log")
            yield MariaDb(socket)
        finally:
            server.send_signal(signal.SIGKILL)
            server.wait()


def _place() -> Path | None:
    """Return a directory in memory if it has enough space.

    On a disk, creating hundreds of tables takes several times as long.
    """
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > NEEDED
    return MEMORY if roomy else None


def _wait(server: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            pymysql.connect(unix_socket=str(socket), user="root").close()
            return
        except pymysql.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"mariadbd did not start: {log.read_text()}") from error
        time.sleep(0.05)


def manage(url: str, *arguments: str) -> str:
    """Run neutron-db-manage on a database and return what it prints."""
    done = programs.run("neutron-db-manage", "--database-connection", url, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def migrate(mariadb: MariaDb, name: str, charset: str) -> str:
    """Create a database with all migrations of Neutron and ours, and return its URL."""
    mariadb.execute(f"CREATE DATABASE {name} CHARACTER SET {charset}")
    url = mariadb.url(name)
    manage(url, "upgrade", "heads")
    return url
