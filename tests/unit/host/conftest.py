import pytest

from tests.unit.host.in_memory_switch import MemorySwitch, reconciler_on_h1


@pytest.fixture
def memory():
    return MemorySwitch()


@pytest.fixture
def reports():
    return []


@pytest.fixture
def reconciler(memory, reports):
    return reconciler_on_h1(memory, reports.extend)
