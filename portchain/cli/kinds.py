"""The resources that ``neutron`` handles: one table from which all of its commands are made.

The attributes themselves are declared in `portchain.api.definitions`. A test compares both: an
attribute needs an option here, and a column. The clients do not import the definitions, so that
they start without loading Neutron.
"""

from dataclasses import dataclass

from portchain.cli import options
from portchain.cli.options import (
    Boolean,
    Choice,
    ListOfParameters,
    MaybeText,
    Number,
    Option,
    Parameters,
    PortRange,
    Reference,
    References,
    Switch,
    Toggle,
)
from portchain.core.model import FailureMode, FunctionKind, HealthCheck, OnFailure


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource.

    :param name: as the API writes it in request bodies, such as ``port_pair``.
    :param path: of its collection, below /v2.0.
    :param options: the options of its create and update commands.
    :param columns: attributes that lists show besides id and name.
    :param long_columns: attributes that lists show in addition with ``--long``.
    :param filters: attributes by which lists select, besides the name.
    """

    name: str
    path: str
    options: tuple[Option, ...]
    columns: tuple[str, ...]
    long_columns: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()

    @property
    def plural(self) -> str:
        """The name of the collection in response bodies."""
        return f"{self.name}s"

    @property
    def command(self) -> str:
        """The beginning of its commands, such as ``port-pair``."""
        return self.name.replace("_", "-")

    @property
    def words(self) -> str:
        """The name in messages, such as ``port pair``."""
        return self.name.replace("_", " ")


def _named(kind: str) -> tuple[Option, ...]:
    """Return the options that all resources of the API have, for a command with a name argument."""
    return (
        Option(flag="name", attribute="name", help=f"Name of the {kind}; need not be unique"),
        Option(
            flag="--name",
            attribute="name",
            creatable=False,
            updatable=True,
            help=f"New name of the {kind}",
        ),
        _description(kind),
    )


def _description(kind: str) -> Option:
    return Option(
        flag="--description",
        attribute="description",
        updatable=True,
        help=f"Description of the {kind}, at most 255 characters",
    )


# The options that the original program had for ports, by name or by passing unknown ones on.
_PORT_STATE = (
    Switch(
        flag="--admin-state-down",
        attribute="admin_state_up",
        value=False,
        help="Set the administrative state of the port to down",
    ),
    Boolean(
        flag="--admin-state-up",
        attribute="admin_state_up",
        updatable=True,
        help="Administrative state of the port (default: true)",
    ),
    Option(
        flag="--device-id",
        attribute="device_id",
        updatable=True,
        help="Device that uses the port, such as the ID of a virtual machine",
    ),
    Option(
        flag="--device-owner",
        attribute="device_owner",
        updatable=True,
        help="What uses the port, such as compute:nova",
    ),
    Option(flag="--tenant-id", attribute="project_id", help="ID of the project of the port"),
)
_PORT_ADDRESSES = (
    Option(
        flag="--mac-address",
        attribute="mac_address",
        updatable=True,
        help="MAC address of the port (default: a free one)",
    ),
    ListOfParameters(
        flag="--fixed-ip",
        attribute="fixed_ips",
        keys={"subnet_id": str, "ip_address": str},
        references={"subnet_id": "subnet"},
        flag_for_none="--no-fixed-ip",
        updatable=True,
        help="Subnet (name or ID) or address of the port, or both; repeat the option to add "
        "several (default: an address of each IP version that the network has)",
    ),
    ListOfParameters(
        flag="--extra-dhcp-opt",
        attribute="extra_dhcp_opts",
        keys={"opt_name": str, "opt_value": str, "ip_version": int},
        updatable=True,
        help="DHCP option for the port; repeat the option to add several",
    ),
    Option(
        flag="--dns-name",
        attribute="dns_name",
        updatable=True,
        help="Name of the port in the internal DNS",
    ),
)
_PORT_SECURITY = (
    References(
        flag="--security-group",
        attribute="security_groups",
        kind="security_group",
        flag_for_none="--no-security-groups",
        updatable=True,
        help="Security group (name or ID); repeat the option to add several (default: the "
        "project's group named default)",
    ),
    Boolean(
        flag="--port-security-enabled",
        attribute="port_security_enabled",
        updatable=True,
        help="Whether the port may send with its own addresses only. Without, it can have neither "
        "security groups nor allowed address pairs (default: as the network)",
    ),
    ListOfParameters(
        flag="--allowed-address-pair",
        attribute="allowed_address_pairs",
        keys={"ip_address": str, "mac_address": str},
        flag_for_none="--no-allowed-address-pairs",
        updatable=True,
        help="Address, or CIDR, that the port may send with besides its own; repeat the option to "
        "add several",
    ),
)
_PORT_BINDING = (
    Option(
        flag="--vnic-type",
        attribute="binding:vnic_type",
        updatable=True,
        help="Type of the virtual network card, such as normal or direct (default: normal)",
    ),
    Option(
        flag="--binding:host-id",
        attribute="binding:host_id",
        updatable=True,
        help="Host that the port is bound to; administrators only",
    ),
)
PORT = Kind(
    "port",
    "/ports",
    (
        Reference(
            flag="network",
            attribute="network_id",
            kind="network",
            required=True,
            help="Network the port belongs to (name or ID)",
        ),
        Option(
            flag="--name",
            attribute="name",
            updatable=True,
            help="Name of the port; need not be unique",
        ),
        _description("port"),
        *_PORT_STATE,
        *_PORT_ADDRESSES,
        *_PORT_SECURITY,
        *_PORT_BINDING,
    ),
    columns=("mac_address", "fixed_ips", "status"),
    long_columns=("network_id", "device_id", "project_id"),
    filters=("network_id", "device_id", "device_owner", "mac_address", "status", "tenant_id"),
)
NETWORK = Kind("network", "/networks", (), ())
SUBNET = Kind("subnet", "/subnets", (), ())
SECURITY_GROUP = Kind("security_group", "/security-groups", (), ())

FLOW_CLASSIFIER = Kind(
    "flow_classifier",
    "/sfc/flow_classifiers",
    (
        *_named("flow classifier"),
        Choice(
            flag="--ethertype",
            attribute="ethertype",
            values=("IPv4", "IPv6"),
            help="Address family of the packets: IPv4 or IPv6 (default: IPv4)",
        ),
        Option(
            flag="--protocol",
            attribute="protocol",
            help="Name or number of the IP protocol, such as tcp (default: any)",
        ),
        PortRange(
            flag="--source-port",
            attribute="source_port",
            help="First and last source port, each 0 to 65535; with protocol icmp, the ICMP type "
            "(default: any)",
        ),
        PortRange(
            flag="--destination-port",
            attribute="destination_port",
            help="First and last destination port, each 0 to 65535; with protocol icmp, the ICMP "
            "code (default: any)",
        ),
        MaybeText(
            flag="--source-ip-prefix",
            attribute="source_ip_prefix",
            help="Source addresses in CIDR notation, such as 10.0.0.0/24 (default, also without a "
            "value: any)",
        ),
        MaybeText(
            flag="--destination-ip-prefix",
            attribute="destination_ip_prefix",
            help="Destination addresses in CIDR notation (default, also without a value: any)",
        ),
        Reference(
            flag="--logical-source-port",
            attribute="logical_source_port",
            kind="port",
            help="Port that sends the packets (name or ID) (default: the project's ports on the "
            "networks of the chain's functions)",
        ),
        Reference(
            flag="--logical-destination-port",
            attribute="logical_destination_port",
            kind="port",
            help="Port to whose addresses the packets are sent (name or ID) (default: any)",
        ),
        Parameters(
            flag="--l7-parameters",
            attribute="l7_parameters",
            keys={"logical_source_network": str, "logical_destination_network": str},
            help="Network IDs for drivers that classify by network; no driver of this package does",
        ),
    ),
    columns=("protocol", "source_ip_prefix", "destination_ip_prefix"),
    long_columns=(
        "ethertype",
        "source_port_range_min",
        "source_port_range_max",
        "destination_port_range_min",
        "destination_port_range_max",
        "logical_source_port",
        "logical_destination_port",
        "l7_parameters",
        "project_id",
        "description",
    ),
)
PORT_PAIR = Kind(
    "port_pair",
    "/sfc/port_pairs",
    (
        *_named("port pair"),
        Reference(
            flag="--ingress",
            attribute="ingress",
            kind="port",
            required=True,
            help="Port at which the service function receives packets (name or ID)",
        ),
        Reference(
            flag="--egress",
            attribute="egress",
            kind="port",
            required=True,
            help="Port at which the service function sends packets (name or ID)",
        ),
        Choice(
            flag="--function-kind",
            attribute="function_kind",
            values=tuple(kind.value for kind in FunctionKind),
            help="How the service function forwards packets: l3 routes, l2 bridges (default: l3)",
        ),
        Parameters(
            flag="--service-function-parameters",
            attribute="service_function_parameters",
            keys={"correlation": options.word_or_none, "weight": int},
            updatable=True,
            help="correlation: mpls or nsh if the function understands that chain header, vlan if "
            "it keeps VLAN tags, none for any other (default: none); it cannot be updated. "
            "weight: share of new flows, 0 to 65535, 0 for none (default: 1)",
        ),
        Toggle(
            flag="--enable",
            off="--disable",
            attribute="admin_state_up",
            updatable=True,
            help="Whether the service function gets packets (default: --enable)",
        ),
        Toggle(
            flag="--backup",
            off="--no-backup",
            attribute="backup",
            updatable=True,
            help="Whether the service function gets packets only while no other one of its group "
            "is healthy (default: --no-backup)",
        ),
    ),
    columns=("ingress", "egress", "operating_status"),
    long_columns=(
        "service_function_parameters",
        "function_kind",
        "admin_state_up",
        "backup",
        "operating_status_reason",
        "project_id",
        "description",
    ),
)
PORT_PAIR_GROUP = Kind(
    "port_pair_group",
    "/sfc/port_pair_groups",
    (
        *_named("port pair group"),
        References(
            flag="--port-pair",
            attribute="port_pairs",
            kind="port_pair",
            updatable=True,
            help="Port pair (name or ID); repeat the option to add several",
        ),
        Parameters(
            flag="--port-pair-group-parameters",
            attribute="port_pair_group_parameters",
            keys={
                "lb_fields": options.words,
                "ppg_n_tuple_mapping": options.n_tuple_mapping,
            },
            help="lb_fields: packet fields that decide which port pair a flow visits, such as "
            "ip_src&ip_dst (default: addresses, protocol and ports). ppg_n_tuple_mapping: header "
            "fields that the functions rewrite, such as source_ip_prefix_ingress=10.0.0.0/24&"
            "source_ip_prefix_egress=10.1.0.0/24 (default: none)",
        ),
        Switch(
            flag="--enable-tap",
            attribute="tap_enabled",
            help="The functions receive copies of the packets and send none (default: they "
            "forward the packets)",
        ),
        Choice(
            flag="--health-check",
            attribute="health_check",
            values=tuple(check.value for check in HealthCheck),
            updatable=True,
            help="How failed functions are detected: none; icmp by packets through the function; "
            "l2 by frames through a function that bridges; ping by asking its ingress port only "
            "(default: none)",
        ),
        Parameters(
            flag="--health-check-parameters",
            attribute="health_check_parameters",
            keys={
                "delay": float,
                "timeout": float,
                "max_retries": int,
                "max_retries_down": int,
                "destination": options.word_or_none,
            },
            updatable=True,
            help="delay: seconds from one probe to the next (default: 1). timeout: seconds to wait "
            "for the answer, at most delay (default: half of it). max_retries: answers in a row "
            "after which a failed function is back, 1 to 10 (default: 3). max_retries_down: "
            "failures in a row after which a function has failed, 1 to 10 (default: 3). "
            "destination: address that probes of icmp are sent to (default: one that packets of "
            "the chain go to)",
        ),
        Number(
            flag="--min-healthy",
            attribute="min_healthy",
            updatable=True,
            help="With fewer healthy functions than this, the failure mode applies (default: 1)",
        ),
        Choice(
            flag="--on-failure",
            attribute="on_failure",
            values=tuple(one.value for one in OnFailure),
            updatable=True,
            help="What happens to the flows of a failed function: rebalance moves them to others, "
            "keep leaves them (default: rebalance)",
        ),
        Choice(
            flag="--failure-mode",
            attribute="failure_mode",
            values=tuple(mode.value for mode in FailureMode),
            updatable=True,
            help="What happens to packets while no function forwards: closed drops them, open "
            "skips the group (default: closed)",
        ),
        Option(
            flag="--withdraw-from",
            attribute="withdraw_from",
            creatable=False,
            updatable=True,
            help="Project ID, or * for all: take the group out of the chains of other projects, "
            "which drop their packets until their owners choose other groups",
        ),
    ),
    columns=("port_pairs", "operating_status"),
    long_columns=(
        "group_id",
        "port_pair_group_parameters",
        "tap_enabled",
        "health_check",
        "failure_mode",
        "health_check_parameters",
        "min_healthy",
        "on_failure",
        "operating_status_reason",
        "shared",
        "project_id",
        "description",
    ),
)
PORT_CHAIN = Kind(
    "port_chain",
    "/sfc/port_chains",
    (
        *_named("port chain"),
        References(
            flag="--port-pair-group",
            attribute="port_pair_groups",
            kind="port_pair_group",
            required=True,
            updatable=True,
            help="Port pair group (name or ID); repeat the option to add several, in the order in "
            "which packets visit them",
        ),
        References(
            flag="--flow-classifier",
            attribute="flow_classifiers",
            kind="flow_classifier",
            updatable=True,
            help="Flow classifier (name or ID); repeat the option to add several",
        ),
        Parameters(
            flag="--chain-parameters",
            attribute="chain_parameters",
            keys={"correlation": str, "symmetric": options.boolean},
            help="correlation: header of frames inside the chain, mpls or nsh (default: mpls). "
            "symmetric: true if replies visit the same functions in reverse order, or false "
            "(default: false)",
        ),
        Number(
            flag="--chain-id",
            attribute="chain_id",
            help="Path identifier of the chain, 1 to 65535; 0 for a free one (default: 0)",
        ),
    ),
    columns=("port_pair_groups", "flow_classifiers", "status", "operating_status"),
    long_columns=(
        "status_reason",
        "operating_status_reason",
        "chain_id",
        "chain_parameters",
        "project_id",
        "description",
    ),
)

TRACE = Kind(
    "trace",
    "/sfc/traces",
    (
        Option(flag="--name", attribute="name", updatable=True, help="Name of the trace"),
        _description("trace"),
        Reference(
            flag="--source",
            attribute="port_id",
            kind="port",
            required=True,
            help="Port that sends the packet (name or ID)",
        ),
        Option(
            flag="--destination",
            attribute="destination_ip_address",
            required=True,
            help="Destination IP address of the packet",
        ),
        Option(
            flag="--source-ip-address",
            attribute="source_ip_address",
            help="Source IP address of the packet (default: the first one of the port)",
        ),
        Option(
            flag="--protocol",
            attribute="protocol",
            help="IP protocol of the packet, by name or number (default: icmp)",
        ),
        Number(
            flag="--source-port",
            attribute="source_port",
            help="Source port of the packet, or its ICMP type (default: 49152; an echo request)",
        ),
        Number(
            flag="--destination-port",
            attribute="destination_port",
            help="Destination port of the packet, or its ICMP code (default: 0)",
        ),
        Switch(
            flag="--established",
            attribute="established",
            help="The packet belongs to a connection that is open (default: it is the first one)",
        ),
        Switch(
            flag="--live",
            attribute="live",
            help="Also send one such packet, and say where it was seen (default: send none)",
        ),
    ),
    columns=("port_id", "destination_ip_address", "protocol", "outcome", "reason"),
    long_columns=(
        *("source_ip_address", "source_port", "destination_port", "established", "live"),
        *("phase", "steps", "expires_at", "project_id", "description"),
    ),
)

KINDS = {
    kind.name: kind
    for kind in (PORT, FLOW_CLASSIFIER, PORT_PAIR, PORT_PAIR_GROUP, PORT_CHAIN, TRACE)
}
"""The kinds that ``neutron`` has commands for."""
REFERRED = {**KINDS, **{kind.name: kind for kind in (NETWORK, SUBNET, SECURITY_GROUP)}}
"""The kinds that options can name."""
