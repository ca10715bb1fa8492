"""Which tunnel endpoint of a chassis chains use."""

from types import SimpleNamespace
from typing import Any

import pytest

from portchain.dataplane.planning.mtu import TunnelEnd
from portchain.drivers.hosts.chassis import _tunnel_end


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
