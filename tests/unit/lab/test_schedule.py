"""The schedule of the lab tests."""

from pathlib import Path

import pytest

from tests.lab import labs, matrix, schedule


def test_tests_are_grouped_by_module_and_by_their_first_parameter() -> None:
    scheduling = object.__new__(schedule.GroupScheduling)
    groups = {
        "tests/lab/test_ovn.py::TestMatrix::test_packets[ovn-openvswitch-4-l2]": "ovn",
        "tests/lab/test_ovn.py::test_chain": "ovn",
        "tests/lab/test_demo.py::test_demo[openflow]": "openflow",
        "tests/lab/test_demo.py::test_killed": "failures",
        "tests/lab/test_matrix.py::test_packets[gre-noop-4]": "default",
        "tests/lab/test_matrix.py::test_packets[ipv6-noop-4]": "ipv6",
        "tests/lab/test_kinds.py::test_one_way[l3-1-nsh]": "packets",
    }
    assert {name: scheduling._split_scope(name) for name in groups} == groups


def test_a_module_in_no_group_is_an_error() -> None:
    with pytest.raises(pytest.UsageError, match="test_new"):
        object.__new__(schedule.GroupScheduling)._split_scope("tests/lab/test_new.py::test_it")


def test_every_module_is_in_a_group() -> None:
    named = {name.partition("[")[0] for name in schedule.PLACES}
    assert named == {path.stem for path in Path(schedule.FOLDER).glob("test_*.py")}


@pytest.mark.parametrize("transport", ["l2pop", "ipv6"])
def test_a_transport_uses_the_lab_of_its_group(transport: str) -> None:
    (group,) = (
        group for group, names in schedule.GROUPS.items() if f"test_matrix[{transport}]" in names
    )
    (module,) = {name for name in schedule.GROUPS[group] if name in ("test_kinds", "test_counters")}
    assert schedule.layout_of(module) == labs.DEFAULT | matrix.TRANSPORTS[transport]
