"""What all tests have in common."""

# Neutron chooses oslo.service's backend when it is imported, and so must come before anything that
# would choose another; the order in which test modules are collected does not ensure that.
import sys

import neutron  # noqa: F401
import pytest
from hypothesis import settings

from tests.full import FULL

# Helpers assert as well as tests do: a failed assertion there is to show its values, too.
pytest.register_assert_rewrite(
    *(f"tests.{name}" for name in ("functional", "lab", "unit", "programs", "simulated_network"))
)

# The time that an example takes says more about the machine than about the code.
settings.register_profile("default", deadline=None, max_examples=500 if FULL else 100)
settings.load_profile("default")


@pytest.fixture(autouse=True, scope="session")
def _resolve_no_addresses() -> None:
    """Let frames without a destination address be an error.

    To build one, scapy would ask the machine's network for the address, and wait a second.
    """
    if "scapy.config" in sys.modules:
        conf = sys.modules["scapy.config"].conf
        conf.neighbor.resolvers.clear()
        conf.raise_no_dst_mac = True
