from collections.abc import Iterator

import pytest

from tests.functional.vswitch import Vswitch, running_vswitch


@pytest.fixture
def vswitch() -> Iterator[Vswitch]:
    """A switch. In none of the tests may chains make it handle every packet in ovs-vswitchd."""
    with running_vswitch() as instance:
        yield instance
        assert instance.slow_flows() == []
