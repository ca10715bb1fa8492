"""Validation of requests: pure functions over the model.

Every ``check_*`` function returns, or raises a ``Violation`` that names the attribute of the
request and the rule that it breaks. Rules read and write nothing: their callers load what they
compare.
"""

from portchain.core.protocols import ICMP, ICMPV6, SCTP, TCP, UDP
from portchain.core.rules.chain import (
    check_correlation,
    check_port_chain,
    check_port_sides,
    check_ports_in_a_row,
)
from portchain.core.rules.classifier import (
    PROTOCOLS_WITH_PORTS,
    check_flow_classifier,
    overlap,
    port_range,
    protocol_of,
    reply_classifier,
    reply_ports,
)
from portchain.core.rules.function import (
    MAX_SECONDS,
    MAX_WEIGHT,
    MIN_SECONDS,
    MOST_RETRIES,
    check_changed_pair,
    check_port_pair,
    check_port_pair_group,
    health_parameters,
)
from portchain.core.rules.graph import (
    check_branch,
    check_no_function_twice,
    check_no_source_is_function,
    check_service_graph,
    reachable,
)
from portchain.core.rules.many_classifiers import (
    check_overlap,
    check_overlaps,
    first_common_packet,
)
from portchain.core.rules.violation import Kind, Violation, first_duplicate, label, label_for

__all__ = [
    "ICMP",
    "ICMPV6",
    "MAX_SECONDS",
    "MAX_WEIGHT",
    "MIN_SECONDS",
    "MOST_RETRIES",
    "PROTOCOLS_WITH_PORTS",
    "SCTP",
    "TCP",
    "UDP",
    "Kind",
    "Violation",
    "check_branch",
    "check_changed_pair",
    "check_correlation",
    "check_flow_classifier",
    "check_no_function_twice",
    "check_no_source_is_function",
    "check_overlap",
    "check_overlaps",
    "check_port_chain",
    "check_port_pair",
    "check_port_pair_group",
    "check_port_sides",
    "check_ports_in_a_row",
    "check_service_graph",
    "first_common_packet",
    "first_duplicate",
    "health_parameters",
    "label",
    "label_for",
    "overlap",
    "port_range",
    "protocol_of",
    "reachable",
    "reply_classifier",
    "reply_ports",
]
