"""Configuration options of the server, of the agent extension and of the controller."""

from oslo_config import cfg

PLUGIN_TYPE = "PORT_CHAIN"
"""The type under which Neutron's plugin directory knows the service plugin."""

GROUP = "port_chain"
"""The section of the options below, in the server's, the agent's and the controller's configuration."""

_OPENFLOW_HOSTS = cfg.DictOpt(
    "openflow_hosts",
    default={},
    sample_default={"compute1": "192.0.2.11", "compute2": "192.0.2.12"},
    help="Hosts whose switches portchain-controller programs, each with the address at which it reaches "
    "them. The server takes from it which hosts are the "
    "driver openflow's instead of the driver ovs's; several controllers have a part of them each.",
)

SERVER_OPTS: list[cfg.Opt] = [
    cfg.ListOpt(
        "drivers",
        default=["ovs"],
        help="Drivers that realise port chains, by their names in the entry point namespace "
        "portchain.drivers. A chain is realised by the one that claims the ports it has, e.g. ovs "
        "for those of Neutron's Open vSwitch agents and ovn for those of ML2/OVN.",
    ),
    _OPENFLOW_HOSTS,
    cfg.IntOpt(
        "repair_interval",
        default=10,
        min=1,
        help="Seconds between two searches for port chains whose realisation failed or was "
        "interrupted, e.g. because a server process ended between storing a change and passing "
        "it on.",
    ),
    cfg.IntOpt(
        "repair_after",
        default=10,
        min=0,
        help="Seconds a port chain must have waited for its realisation before the search takes "
        "it up; a request that is still being carried out should be done by then.",
    ),
    cfg.IntOpt(
        "ovn_timeout",
        default=10,
        min=1,
        help="Seconds the driver ovn waits for OVN's Northbound database before a chain counts as "
        "failed; it is tried again later. Where the databases are and how they are spoken to "
        "is said in the section ovn, which ML2/OVN reads as well.",
    ),
    cfg.IntOpt(
        "ovn_sync_interval",
        default=60,
        min=1,
        help="Seconds between two comparisons of all rows of the driver ovn with those that should "
        "be there. Rows that somebody changes are repaired at once without them.",
    ),
    cfg.IntOpt(
        "ovn_check_interval",
        default=1,
        min=1,
        help="Seconds between two probes that OVN sends into each function of port pair groups with "
        "health_check icmp, and the longest that one may take.",
    ),
    cfg.IntOpt(
        "ovn_check_failures",
        default=3,
        min=1,
        help="Number of probes that have to fail for such a function to count as offline, and to pass "
        "for it to count as online again.",
    ),
    cfg.IntOpt(
        "ovn_check_vlan",
        default=4094,
        min=1,
        max=4094,
        help="VLAN tag of the probes. The functions have to let frames with it pass; no subport of a "
        "trunk may have it on a port of theirs. (At functions that keep VLAN tags, each chain has a tag of its own instead.)",
    ),
    cfg.IntOpt(
        "underlay_mtu",
        default=0,
        min=0,
        help="MTU of the networks between the hosts, in bytes, if it is larger than what "
        "global_physnet_mtu, path_mtu and physical_network_mtus say. Chain frames are 18 bytes "
        "longer than others; a chain whose frames do not fit says so in its status_reason. 0: as "
        "those options say.",
    ),
]

AGENT_OPTS: list[cfg.Opt] = [
    cfg.IntOpt(
        "sync_interval",
        default=30,
        min=1,
        help="Seconds between two comparisons of what the agent has realised with what the server "
        "expects on its host. Changes arrive at once without them; they make up for lost messages.",
    ),
    cfg.FloatOpt(
        "switch_timeout",
        default=5.0,
        min=0,
        help="Seconds that a change of a chain waits until every host is prepared for it. After that, "
        "this host sends packets by the new plan; those that it sends to hosts that are not prepared "
        "are dropped.",
    ),
    cfg.FloatOpt(
        "drain_time",
        default=1.0,
        min=0,
        help="Seconds that a packet may take through a whole chain, the time in its functions included. "
        "Rules of a chain's earlier plan stay that much longer than any host sends by it. Changing the "
        "order of a chain's functions interrupts its traffic for this time.",
    ),
]

CONTROLLER_OPTS: list[cfg.Opt] = [
    _OPENFLOW_HOSTS,
    cfg.PortOpt(
        "openflow_port",
        default=6654,
        help="Port at which the controller has br-int of its hosts listen for OpenFlow connections, at the "
        "host's address in openflow_hosts. The other bridges have the next ones: br-tun, then those of "
        "bridge_mappings in their order.",
    ),
    cfg.PortOpt(
        "openflow_database_port",
        default=6640,
        help="Port at which the databases of the hosts' switches listen.",
    ),
    cfg.IntOpt(
        "openflow_timeout",
        default=10,
        min=1,
        help="Seconds the controller waits for a switch or its database.",
    ),
    cfg.StrOpt(
        "openflow_private_key",
        help="File with the controller's private key. With it, switches and databases are spoken to by "
        "SSL; they have to present certificates of openflow_ca_cert.",
    ),
    cfg.StrOpt("openflow_certificate", help="File with the certificate of that private key."),
    cfg.StrOpt(
        "openflow_ca_cert",
        help="File with the certificate of whoever signed the switches' and the databases'.",
    ),
]

QUOTA_OPTS: list[cfg.Opt] = [
    cfg.IntOpt(
        "quota_service_graph",
        default=10,
        deprecated_name="quota_service_graphs",
        help="Number of service graphs allowed per project. A negative value means unlimited.",
    ),
    cfg.IntOpt(
        "quota_port_chain",
        default=10,
        help="Number of port chains allowed per project. A negative value means unlimited.",
    ),
    cfg.IntOpt(
        "quota_port_pair_group",
        default=10,
        help="Number of port pair groups allowed per project. A negative value means unlimited.",
    ),
    cfg.IntOpt(
        "quota_port_pair",
        default=100,
        help="Number of port pairs allowed per project. A negative value means unlimited.",
    ),
    cfg.IntOpt(
        "quota_flow_classifier",
        default=100,
        help="Number of flow classifiers allowed per project. A negative value means unlimited.",
    ),
]


def register_server_opts(conf: cfg.ConfigOpts = cfg.CONF) -> None:
    """Make the server's options known; harmless when repeated."""
    conf.register_opts(SERVER_OPTS, GROUP)
    conf.register_opts(QUOTA_OPTS, "QUOTAS")


def register_agent_opts(conf: cfg.ConfigOpts = cfg.CONF) -> None:
    """Make the agent extension's options known; harmless when repeated."""
    conf.register_opts(AGENT_OPTS, GROUP)


def register_controller_opts(conf: cfg.ConfigOpts = cfg.CONF) -> None:
    """Make the controller's options known, which include the agent extension's; harmless when repeated."""
    conf.register_opts(AGENT_OPTS + CONTROLLER_OPTS, GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the server's options for oslo-config-generator."""
    return [(GROUP, SERVER_OPTS), ("quotas", QUOTA_OPTS)]


def list_agent_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the agent extension's options for oslo-config-generator."""
    return [(GROUP, AGENT_OPTS)]


def list_controller_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the controller's options for oslo-config-generator."""
    return [(GROUP, AGENT_OPTS + CONTROLLER_OPTS)]
