"""Ethernet headers for frames that tests build."""

from typing import Any

from scapy.layers.l2 import Ether

SOURCE, DESTINATION = "02:00:00:00:00:01", "02:00:00:00:00:02"


def ether(**fields: Any) -> Ether:
    """Return a header with both addresses, so that scapy does not ask the network for them."""
    return Ether(src=SOURCE, dst=DESTINATION, **fields)
