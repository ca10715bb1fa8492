"""Common to all tests."""

# Neutron chooses oslo.service's backend when it is imported, and so must come before anything that
# would choose another; the order in which test modules are collected does not see to that.
import neutron  # noqa: F401
from hypothesis import settings

# How long an example takes says more of the machine than of the code.
settings.register_profile("default", deadline=None)
settings.load_profile("default")
