"""A driver that accepts every chain and realises none: for tests of the API, and as the smallest
example of a driver.
"""

from typing import Any

from portchain.core.function_kinds import FUNCTION_KINDS
from portchain.core.model import ChainSnapshot, Encapsulation, FailureMode, HealthCheck, Port
from portchain.dataplane.plan import SUPPORTED_LB_FIELD_SETS
from portchain.drivers.base import Capabilities, PortChainDriver


class NoopDriver(PortChainDriver):
    """Accepts everything: chains become ACTIVE at once, and no packet is steered."""

    name = "noop"
    capabilities = Capabilities(
        chain_correlations=frozenset(Encapsulation),
        pair_correlations=frozenset(kind.correlation for kind in FUNCTION_KINDS),
        lb_fields=SUPPORTED_LB_FIELD_SETS,
        symmetric=True,
        n_tuple_mapping=True,
        function_kinds=frozenset(kind.function_kind for kind in FUNCTION_KINDS),
        l7_parameters=frozenset({"logical_source_network", "logical_destination_network"}),
        ethertypes=frozenset({"IPv4", "IPv6"}),
        service_graphs=True,
        tap=True,
        health_checks=frozenset(HealthCheck),
        failure_modes=frozenset(FailureMode),
        member_states=True,
    )

    def claims(self, port: Port) -> bool:
        """Claim every port."""
        return True

    def create_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Do nothing."""

    def update_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Do nothing."""

    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Do nothing."""
