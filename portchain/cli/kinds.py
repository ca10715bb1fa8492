"""The resources that the ``neutron`` command handles: one table, from which all of its commands are made."""

from dataclasses import dataclass

from portchain.cli import options
from portchain.cli.options import (
    Choice,
    MaybeText,
    Option,
    Parameters,
    PortRange,
    Reference,
    References,
    Switch,
)
from portchain.core.model import FailureMode, FunctionKind, HealthCheck


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource.

    :param name: as the API writes it in bodies.
    :param path: of its collection, below /v2.0.
    :param options: what can be said about one.
    :param columns: attributes that lists show besides id and name; ``more`` only long ones.
    """

    name: str
    path: str
    options: tuple[Option, ...]
    columns: tuple[str, ...]
    more: tuple[str, ...] = ()

    @property
    def plural(self) -> str:
        """The name of the collection in bodies."""
        return f"{self.name}s"

    @property
    def command(self) -> str:
        """What its commands begin with."""
        return self.name.replace("_", "-")

    @property
    def words(self) -> str:
        """What people call it."""
        return self.name.replace("_", " ")


_DESCRIPTION = Option(
    flag="--description", attribute="description", help="any text", updatable=True
)
_NAME = Option(flag="--name", attribute="name", help="name; it need not be unique", updatable=True)
_NAMES = (
    Option(flag="name", attribute="name", help="name; it need not be unique"),
    Option(flag="--name", attribute="name", help="new name", creatable=False, updatable=True),
)

PORT = Kind(
    "port",
    "/ports",
    (
        Reference(
            flag="network",
            attribute="network_id",
            kind="network",
            help="network (name or id)",
            required=True,
        ),
        _NAME,
        _DESCRIPTION,
    ),
    ("mac_address", "fixed_ips", "status"),
    ("network_id", "device_id", "project_id"),
)
NETWORK = Kind("network", "/networks", (), ())

FLOW_CLASSIFIER = Kind(
    "flow_classifier",
    "/sfc/flow_classifiers",
    (
        *_NAMES,
        Choice(
            flag="--ethertype", attribute="ethertype", values=("IPv4", "IPv6"), help="default: IPv4"
        ),
        Option(
            flag="--protocol",
            attribute="protocol",
            help="name or number of an IP protocol; default: any",
        ),
        PortRange(
            flag="--source-port",
            attribute="source_port",
            help="source ports, with icmp its type; default: any",
        ),
        PortRange(
            flag="--destination-port",
            attribute="destination_port",
            help="destination ports, with icmp its code; default: any",
        ),
        MaybeText(
            flag="--source-ip-prefix",
            attribute="source_ip_prefix",
            help="source addresses, such as 10.0.0.0/24; without a value, and by default: any",
        ),
        MaybeText(
            flag="--destination-ip-prefix",
            attribute="destination_ip_prefix",
            help="destination addresses; without a value, and by default: any",
        ),
        Reference(
            flag="--logical-source-port",
            attribute="logical_source_port",
            kind="port",
            help="port that sends the packets (name or id)",
        ),
        Reference(
            flag="--logical-destination-port",
            attribute="logical_destination_port",
            kind="port",
            help="port that gets the packets in the end (name or id)",
        ),
        _DESCRIPTION,
    ),
    ("protocol", "source_ip_prefix", "destination_ip_prefix"),
    (
        *("ethertype", "source_port_range_min", "source_port_range_max"),
        *("destination_port_range_min", "destination_port_range_max"),
        *("logical_source_port", "logical_destination_port", "project_id", "description"),
    ),
)
PORT_PAIR = Kind(
    "port_pair",
    "/sfc/port_pairs",
    (
        *_NAMES,
        Reference(
            flag="--ingress",
            attribute="ingress",
            kind="port",
            required=True,
            help="port at which the service function gets packets (name or id)",
        ),
        Reference(
            flag="--egress",
            attribute="egress",
            kind="port",
            required=True,
            help="port at which it hands them on (name or id)",
        ),
        Choice(
            flag="--function-kind",
            attribute="function_kind",
            values=tuple(kind.value for kind in FunctionKind),
            help="how the function hands on packets; default: l3, it routes",
        ),
        Parameters(
            flag="--service-function-parameters",
            attribute="service_function_parameters",
            keys={"correlation": options.word_or_none, "weight": int},
            updatable=True,
            help="correlation: the chain header that the function understands (mpls, nsh), or vlan if it keeps VLAN "
            "tags; it stays as it is; weight: the function's share of new flows, 0 for none",
        ),
        _DESCRIPTION,
    ),
    ("ingress", "egress"),
    ("service_function_parameters", "function_kind", "project_id", "description"),
)
PORT_PAIR_GROUP = Kind(
    "port_pair_group",
    "/sfc/port_pair_groups",
    (
        *_NAMES,
        References(
            flag="--port-pair",
            attribute="port_pairs",
            kind="port_pair",
            updatable=True,
            help="port pair (name or id); repeat the option for more",
        ),
        Parameters(
            flag="--port-pair-group-parameters",
            attribute="port_pair_group_parameters",
            keys={
                "lb_fields": options.words,
                "ppg_n_tuple_mapping": options.n_tuple_mapping,
            },
            help="lb_fields: packet fields that decide which pair a flow visits, such as ip_src&ip_dst; "
            "ppg_n_tuple_mapping: what the functions change in headers, such as "
            "source_ip_prefix_ingress=10.0.0.0/24&source_ip_prefix_egress=10.1.0.0/24",
        ),
        Switch(
            flag="--enable-tap",
            attribute="tap_enabled",
            help="the functions only listen, to copies of the packets",
        ),
        Choice(
            flag="--health-check",
            attribute="health_check",
            values=tuple(check.value for check in HealthCheck),
            updatable=True,
            help="how it is found out that a function forwards; default: none, it is not",
        ),
        Choice(
            flag="--failure-mode",
            attribute="failure_mode",
            values=tuple(mode.value for mode in FailureMode),
            updatable=True,
            help="what becomes of packets while no function takes them; default: closed, they are dropped",
        ),
        _DESCRIPTION,
    ),
    ("port_pairs",),
    (
        "group_id",
        "port_pair_group_parameters",
        "tap_enabled",
        "health_check",
        "failure_mode",
        "shared",
        "project_id",
        "description",
    ),
)
PORT_CHAIN = Kind(
    "port_chain",
    "/sfc/port_chains",
    (
        *_NAMES,
        References(
            flag="--port-pair-group",
            attribute="port_pair_groups",
            kind="port_pair_group",
            required=True,
            updatable=True,
            help="port pair group (name or id); repeat the option for more, in the order that packets visit them",
        ),
        References(
            flag="--flow-classifier",
            attribute="flow_classifiers",
            kind="flow_classifier",
            updatable=True,
            help="flow classifier (name or id); repeat the option for more",
        ),
        Parameters(
            flag="--chain-parameters",
            attribute="chain_parameters",
            keys={"correlation": str, "symmetric": options.boolean},
            help="correlation: the header of chain frames, mpls or nsh; symmetric: replies visit the same functions",
        ),
        _DESCRIPTION,
    ),
    ("port_pair_groups", "flow_classifiers", "status"),
    ("status_reason", "chain_id", "chain_parameters", "project_id", "description"),
)

KINDS = {
    kind.name: kind for kind in (PORT, FLOW_CLASSIFIER, PORT_PAIR, PORT_PAIR_GROUP, PORT_CHAIN)
}
REFERRED = {**KINDS, NETWORK.name: NETWORK}
"""All that an option can name."""
