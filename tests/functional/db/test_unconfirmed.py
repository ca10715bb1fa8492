"""Unconfirmed rows are found by an index, on a real MariaDB.

A driver looks for them every second.
"""

import sqlalchemy as sa

from portchain.db import realisation

CONFIRMED = 3000


def test_confirmed_rows_are_not_read(migrated: str) -> None:
    rows = [
        {"chain": f"chain-{number}", "host": "h1", "applied": 2, "missing": ""}
        for number in range(CONFIRMED)
    ]
    rows += [
        {"chain": "behind", "host": "h1", "applied": 1, "missing": ""},
        {"chain": "waiting", "host": "h2", "applied": 2, "missing": "a port"},
    ]
    with sa.create_engine(migrated).connect() as connection:
        # The chains themselves do not matter here.
        connection.exec_driver_sql("SET foreign_key_checks = 0")
        connection.execute(
            sa.text(
                "INSERT INTO portchain_chain_hosts "
                "(chain_id, host, wanted_revision, applied_revision, error, missing) "
                "VALUES (:chain, :host, 2, :applied, '', :missing)"
            ),
            rows,
        )

        def rows_read() -> int:
            """Return how many rows the session has read so far."""
            counts = connection.execute(sa.text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
            return sum(int(count) for _, count in counts)

        before = rows_read()
        found = connection.execute(realisation._unconfirmed()).all()
        assert rows_read() - before < 10
        assert sorted(found) == [("h1", "behind", 2, ""), ("h2", "waiting", 2, "a port")]
        connection.rollback()
