import pytest

from portchain.host import worker
from portchain.host.counter_store import CounterStore


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what agents count in memory."""
    monkeypatch.setattr(worker, "open_store", lambda _: CounterStore(":memory:"))
