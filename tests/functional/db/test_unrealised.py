"""Chains that are not realised are found by an index, on a real MariaDB.

A worker looks for them every ten seconds.
"""

import datetime

import sqlalchemy as sa

from portchain.db import realisation

REALISED = 3000
EARLIER, NOW, LATER = (datetime.datetime(2026, 1, day) for day in (1, 2, 3))


def test_realised_chains_are_not_read(migrated: str) -> None:
    rows = [
        {
            "name": f"realised-{number}",
            "number": number,
            "revision": 2,
            "failure": "",
            "at": EARLIER,
        }
        for number in range(REALISED)
    ]
    rows += [
        {"name": "changed", "number": 4001, "revision": 3, "failure": "", "at": NOW},
        {"name": "failed", "number": 4002, "revision": 2, "failure": "a reason", "at": EARLIER},
        {"name": "too new", "number": 4003, "revision": 3, "failure": "", "at": LATER},
    ]
    with sa.create_engine(migrated).connect() as connection:
        connection.exec_driver_sql("SET foreign_key_checks = 0, sql_mode = ''")
        connection.execute(
            sa.text(
                "INSERT INTO portchain_port_chains (id, chain_id, standard_attr_id, revision, "
                "realised_revision, failure, touched_at) "
                "VALUES (:name, :number, 900000 + :number, :revision, 2, :failure, :at)"
            ),
            rows,
        )

        def rows_read() -> int:
            """Return how many rows the session has read so far."""
            counts = connection.execute(sa.text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
            return sum(int(count) for _, count in counts)

        query = realisation._unrealised(NOW)
        plan = connection.execute(
            sa.text(f"EXPLAIN {query.compile(connection, compile_kwargs={'literal_binds': True})}")
        ).mappings()
        (row,) = plan.all()
        assert row["key"] == "ix_portchain_port_chains_unrealised"
        assert "filesort" not in row["Extra"]
        before = rows_read()
        found = list(connection.scalars(query))
        assert rows_read() - before < 10
        assert found == ["failed", "changed"]
        connection.rollback()
