"""Loading drivers by name."""

import pytest

from portchain import errors
from portchain.drivers import manager
from portchain.drivers.noop import NoopDriver


def test_drivers_are_loaded_in_the_order_named() -> None:
    drivers = manager.load(["noop", "ovs"])
    assert list(drivers) == ["noop", "ovs"]
    assert isinstance(drivers["noop"], NoopDriver)


@pytest.mark.parametrize("names", [["novs"], ["noop", "novs"], []])
def test_a_driver_that_cannot_be_loaded_is_named_with_those_available(names: list[str]) -> None:
    with pytest.raises(errors.DriverNotLoaded, match=r"noop, openflow, ovn, ovs") as refusal:
        manager.load(names)
    assert "novs" in str(refusal.value) or not names
