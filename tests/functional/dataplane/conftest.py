from collections.abc import Iterator

import pytest

from tests.functional.vswitch import Vswitch, running_vswitch


@pytest.fixture
def vswitch() -> Iterator[Vswitch]:
    with running_vswitch() as instance:
        yield instance
