"""The order of the lab tests, and which of them share a lab.

A lab takes longer to start than most tests take to run. Tests of one group run in one process, one
after the other, and keep its lab. The longest group comes first, so that the last ones to run are
short and all processes end at about the same time.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.lab.labs import DEFAULT, IPV6, L2_POPULATION, OVN

FOLDER = Path(__file__).parent

GROUPS: dict[str, tuple[str, ...]] = {
    "ovn": ("test_ovn", "test_matrix[ovn]", "test_demo[ovn]"),
    "packets": (
        "test_kinds",
        "test_specification",
        "test_balance",
        "test_learning",
        "test_tap",
        "test_matrix[l2pop]",
    ),
    "failures": ("test_failures", "test_ends", "test_tracing", "test_doctor", "test_demo"),
    # These transports differ only in the configuration of the agents, so they share a lab.
    "default": (
        *("test_clients", "test_tenancy", "test_openapi", "test_many_clients", "test_scripts"),
        *("test_random", "test_graph", "test_mapping", "test_plain"),
        *(f"test_matrix[{name}]" for name in ("vxlan", "geneve", "flat", "gre", "vlan")),
    ),
    "ipv6": ("test_health", "test_counters", "test_rate_limits", "test_matrix[ipv6]"),
    "openflow": ("test_openflow", "test_demo[openflow]"),
    "both": ("test_both",),
    "aliases": ("test_aliases",),
    "heat": ("test_heat",),
    "nova": ("test_nova",),
    "dashboard": ("test_dashboard",),
    "migration": ("test_migration",),
    "routers": ("test_routers",),
    "changes": ("test_changes",),
}
"""Modules by group; ``module[word]`` stands for those of its tests whose parameters begin so."""

LAYOUTS = {"packets": L2_POPULATION, "ipv6": IPV6}
"""How a group's lab differs from the default: by what some of its modules need."""

PLACES = {
    name: (number, group)
    for number, (name, group) in enumerate(
        (name, group) for group, names in GROUPS.items() for name in names
    )
}
"""Place in the order, and group, of each name in GROUPS."""


def arrange(items: list[pytest.Item]) -> None:
    """Sort lab tests by group.

    :param items: all tests that were collected; those that need no lab stay in front.
    :raises pytest.UsageError: a module of lab tests is in no group.
    """
    order = {item: _place(item.nodeid)[0] if item.path.parent == FOLDER else -1 for item in items}
    items.sort(key=order.__getitem__)  # stable: within a module nothing changes


def layout_of(module: str) -> dict[str, Any]:
    """The layout of the lab that a module's group shares, as ``Labs.get`` takes it.

    :param module: such as ``test_kinds``.
    """
    return DEFAULT if DEFAULT is OVN else DEFAULT | LAYOUTS.get(PLACES[module][1], {})


class GroupScheduling(LoadScopeScheduling):
    """Gives a process of pytest-xdist whole groups of tests."""

    def _split_scope(self, nodeid: str) -> str:
        return _place(nodeid)[1]


def _place(nodeid: str) -> tuple[int, str]:
    module, parameter = re.fullmatch(r".*?(\w+)\.py(?:[^[]*\[([^]-]+))?.*", nodeid).groups()  # type: ignore[union-attr]
    for name in (f"{module}[{parameter}]", module):
        if name in PLACES:
            return PLACES[name]
    msg = f"{nodeid}: add its module to GROUPS in {__name__}"
    raise pytest.UsageError(msg)
