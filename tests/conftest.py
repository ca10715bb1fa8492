"""What all tests have in common."""

# Neutron chooses oslo.service's backend when it is imported, and so must come before anything that
# would choose another; the order in which test modules are collected does not ensure that.
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
