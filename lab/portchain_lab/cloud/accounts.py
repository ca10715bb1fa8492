"""Databases and Keystone users of servers that a lab has only on demand."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from portchain_lab import layout

INTERFACES = ("admin", "internal", "public")


def create_databases(socket: Path, *names: str) -> None:
    """Create databases that do not exist, each with a user of its name.

    :param socket: of the database server.
    """
    with _connect(socket) as connection, connection.cursor() as cursor:
        for name in names:
            # No injection: the names and the password are constants of this package.
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8")
            cursor.execute(
                f"GRANT ALL ON {name}.* TO '{name}'@'127.0.0.1' IDENTIFIED BY '{layout.PASSWORD}'"
            )


def save_databases(socket: Path, file: Path, *names: str) -> None:
    """Save databases, so that another lab need not fill them.

    :param socket: of the database server.
    :param file: where to; it exists once it is complete.
    """
    statements = ["SET FOREIGN_KEY_CHECKS=0"]
    with _connect(socket) as connection, connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"USE {name}")
            statements.append(f"USE {name}")
            cursor.execute("SHOW TABLES")
            for (table,) in cursor.fetchall():
                statements += _statements(cursor, table)
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(statements))
    draft.rename(file)


def _statements(cursor: Cursor, table: str) -> Iterator[str]:
    """Yield the statements that create a table with its rows."""
    cursor.execute(f"SHOW CREATE TABLE `{table}`")
    yield cursor.fetchall()[0][1]
    cursor.execute(f"SELECT * FROM `{table}`")  # noqa: S608  # a name that the database returned
    for row in cursor.fetchall():
        places = ",".join(["%s"] * len(row))
        yield cursor.mogrify(f"INSERT INTO `{table}` VALUES ({places})", row)  # noqa: S608


def load_databases(socket: Path, file: Path) -> None:
    """Load what ``save_databases`` has saved into databases that exist and are empty.

    :param socket: of the database server.
    """
    with _connect(socket) as connection, connection.cursor() as cursor:
        for statement in json.loads(file.read_text()):
            cursor.execute(statement)


def _connect(socket: Path) -> Connection:
    return pymysql.connect(unix_socket=str(socket), user="root", autocommit=True)


def create_service_user(identity: Any, name: str) -> None:
    """Create a server's user in the project ``service``.

    :param identity: openstacksdk's proxy of Keystone, of an administrator.
    """
    roles = {role.name: role for role in identity.roles()}
    project = identity.find_project("service", domain_id="default")
    account = identity.create_user(
        name=name, password=layout.PASSWORD, domain_id="default", default_project_id=project.id
    )
    for role in ("admin", "service"):
        identity.assign_project_role_to_user(project, account, roles[role])


def create_endpoints(identity: Any, name: str, kind: str, url: str) -> None:
    """Enter a server into the catalogue.

    :param identity: openstacksdk's proxy of Keystone, of an administrator.
    :param kind: the type of the service, such as ``compute``.
    """
    service = identity.create_service(name=name, type=kind)
    for interface in INTERFACES:
        identity.create_endpoint(
            service_id=service.id, interface=interface, url=url, region_id=layout.REGION
        )
