"""Which tunnel endpoint of a chassis chains use."""

from types import SimpleNamespace
from typing import Any

import pytest

from portchain.dataplane.planning.mtu import TunnelEnd
from portchain.drivers.hosts.chassis import _tunnel_end, current_chassis


def encap(kind: str, address: str, **options: str) -> Any:
    return SimpleNamespace(type=kind, ip=address, options=options)


GENEVE = encap("geneve", "192.0.2.2")
VXLAN = encap("vxlan", "192.0.2.1")
DEFAULT = encap("geneve", "192.0.2.3", **{"default-encap-ip": "true"})


@pytest.mark.parametrize(
    ("encaps", "expected"),
    [
        ([], TunnelEnd()),
        ([encap("stt", "192.0.2.9")], TunnelEnd()),
        ([VXLAN], TunnelEnd("192.0.2.1", frozenset({"vxlan"}))),
        ([VXLAN, GENEVE], TunnelEnd("192.0.2.2", frozenset({"geneve"}))),
        ([GENEVE, DEFAULT, VXLAN], TunnelEnd("192.0.2.3", frozenset({"geneve"}))),
    ],
)
def test_the_endpoint_is_the_one_that_ovn_prefers(encaps: list[Any], expected: TunnelEnd) -> None:
    assert _tunnel_end(encaps) == expected
    assert _tunnel_end(reversed(encaps)) == expected


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        ({"b": 5}, "b"),
        ({"b": 0, "a": 0}, "a"),  # neither has answered yet
        ({"b": 100_000, "a": 10_000}, "b"),
        ({"b": 100_000, "a": 40_000}, "b"),
        ({"b": 100_000, "a": 40_001}, "a"),  # both answer, one somewhat later
        ({"b": 100_000, "a": 160_000}, "a"),
    ],
)
def test_of_two_chassis_with_one_name_the_one_that_answers_counts(
    answered: dict[str, int], expected: str
) -> None:
    assert current_chassis(answered) == expected
    assert current_chassis(dict(reversed(answered.items()))) == expected
