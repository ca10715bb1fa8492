"""What users may ask for: pure validation over the model.

Every ``check_*`` either returns or raises `Violation`, which names the attribute of the request and
the rule it breaks. Nothing is read or written here; callers load what a rule has to see.
"""

from portchain.core.rules.chain import (
    check_correlation,
    check_port_chain,
    check_sides,
    check_still_told_apart,
    check_told_apart,
)
from portchain.core.rules.classifier import (
    ICMP,
    ICMPV6,
    PROTOCOLS_WITH_PORTS,
    SCTP,
    TCP,
    UDP,
    answering,
    check_flow_classifier,
    check_overlap,
    overlap,
    port_range,
    protocol_of,
    turned,
)
from portchain.core.rules.function import (
    MAX_WEIGHT,
    check_changed_pair,
    check_port_pair,
    check_port_pair_group,
)
from portchain.core.rules.graph import check_branch, check_functions_once, check_service_graph
from portchain.core.rules.violation import Kind, Violation, first_repeated, label, label_for

__all__ = [
    "ICMP",
    "ICMPV6",
    "MAX_WEIGHT",
    "PROTOCOLS_WITH_PORTS",
    "SCTP",
    "TCP",
    "UDP",
    "Kind",
    "Violation",
    "answering",
    "check_branch",
    "check_changed_pair",
    "check_correlation",
    "check_flow_classifier",
    "check_functions_once",
    "check_overlap",
    "check_port_chain",
    "check_port_pair",
    "check_port_pair_group",
    "check_service_graph",
    "check_sides",
    "check_still_told_apart",
    "check_told_apart",
    "first_repeated",
    "label",
    "label_for",
    "overlap",
    "port_range",
    "protocol_of",
    "turned",
]
