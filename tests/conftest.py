"""Common to all tests."""

# Neutron chooses oslo.service's backend when it is imported, and so must come before anything that
# would choose another; the order in which test modules are collected does not see to that.
import neutron  # noqa: F401
