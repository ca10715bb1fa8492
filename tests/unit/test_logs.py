"""What tests see of the log, whatever other tests have left behind."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator

import pytest

LOG = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def log_elsewhere() -> Iterator[Callable[[str], None]]:
    """Log in a thread that is older than the test, as those of agents in other tests are."""
    texts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    logged = threading.Semaphore(0)

    def run() -> None:
        while (text := texts.get()) is not None:
            LOG.warning(text)
            logged.release()

    def log(text: str) -> None:
        texts.put(text)
        assert logged.acquire(timeout=20)

    thread = threading.Thread(target=run)
    thread.start()
    yield log
    texts.put(None)
    thread.join()


def test_a_test_sees_nothing_that_threads_of_earlier_tests_log(
    log_elsewhere: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    log_elsewhere("of another test")
    LOG.warning("of this test")
    thread = threading.Thread(target=LOG.warning, args=("of its thread",))
    thread.start()
    thread.join()
    assert caplog.messages == ["of this test", "of its thread"]
