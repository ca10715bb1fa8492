"""The order of the lab tests, and which of them share a lab.

A lab takes longer to start than most tests take to run. Tests of one group run in one process, one
after the other, and keep its lab. The longest group comes first, so that the last ones to run are
short and all processes end at about the same time.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent

GROUPS: dict[str, tuple[str, ...]] = {
    "ovn": ("test_ovn", "test_ovn_shared", "test_demo[ovn]"),
    "changes": ("test_failures", "test_changes", "test_learning"),
    "packets": (
        "test_kinds",
        "test_specification",
        "test_balance",
        "test_ends",
        "test_random",
        "test_graph",
        "test_tap",
        "test_mapping",
        "test_plain",
    ),
    # These differ only in the configuration of the agents, so they share a lab.
    "transports": tuple(
        f"test_matrix[{transport}]" for transport in ("vxlan", "geneve", "flat", "gre", "vlan")
    ),
    "openflow": ("test_openflow", "test_demo[openflow]"),
    "api": ("test_clients", "test_tenancy", "test_openapi", "test_many_clients", "test_demo"),
    "both": ("test_both",),
    "l2pop": ("test_matrix[l2pop]",),
    "ipv6": ("test_matrix[ipv6]",),
}
"""Modules by group; ``module[word]`` stands for those of its tests whose parameters begin so."""


def arrange(items: list[pytest.Item]) -> None:
    """Sort lab tests by group, and mark each with its group for pytest-xdist.

    :param items: all tests that were collected; those that need no lab keep their place in front.
    :raises pytest.UsageError: a module of lab tests is in no group.
    """
    places = {
        name: (number, group)
        for number, (name, group) in enumerate(
            (name, group) for group, names in GROUPS.items() for name in names
        )
    }
    order = {}
    for item in items:
        if item.path.parent != FOLDER:
            order[item] = -1
            continue
        name = next(filter(places.__contains__, _names(item)), None)
        if name is None:
            msg = f"{item.nodeid}: add its module to GROUPS in {__name__}"
            raise pytest.UsageError(msg)
        order[item], group = places[name]
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=order.__getitem__)  # stable: within a module nothing changes


def _names(item: pytest.Item) -> Iterable[str]:
    """What may stand for a test in GROUPS, the most special first."""
    module = item.path.stem
    callspec = getattr(item, "callspec", None)
    if callspec is not None:
        yield f"{module}[{callspec.id.partition('-')[0]}]"
    yield module
