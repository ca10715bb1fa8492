"""Database servers of tests do not disturb each other."""

from pathlib import Path

import pytest

from tests import mariadb


def test_a_starting_server_deletes_nothing_of_other_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where servers without --tmpdir work
    table = tmp_path / "#sql-temptable-30d-6c-fd.MAI"
    table.touch()
    with mariadb.running():
        pass
    assert table.exists()
