"""A driver that accepts everything and realises nothing: for tests of the API and as the smallest
example of a driver.
"""

from typing import Any

from portchain.drivers.base import Capabilities, PortChainDriver
from portchain.model import ChainSnapshot

_LB_FIELDS = tuple(
    f"{layer}_{side}" for layer in ("eth", "ip", "tcp", "udp") for side in ("src", "dst")
)


class NoopDriver(PortChainDriver):
    """Chains become ACTIVE at once; no packet takes another way."""

    name = "noop"
    capabilities = Capabilities(
        chain_correlations=frozenset({"mpls", "nsh"}),
        pair_correlations=frozenset({None, "mpls", "nsh"}),
        lb_fields=frozenset(
            frozenset(field for bit, field in enumerate(_LB_FIELDS) if number >> bit & 1)
            for number in range(2 ** len(_LB_FIELDS))
        ),
        symmetric=True,
        n_tuple_mapping=True,
        function_kinds=frozenset({"l3", "l2"}),
        l7_parameters=frozenset({"logical_source_network", "logical_destination_network"}),
        ethertypes=frozenset({"IPv4", "IPv6"}),
        service_graphs=True,
        tap=True,
    )

    def create_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Do nothing."""

    def update_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Do nothing."""

    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Do nothing."""
