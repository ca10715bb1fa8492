"""Options of the Neutron server, and the names that all configuration files share."""

from oslo_config import cfg

from portchain.drivers.hosts.options import OVS_OPTS
from portchain.drivers.ovn.options import OVN_OPTS
from portchain.metrics.options import METRICS_OPTS

PLUGIN_TYPE = "PORT_CHAIN"
"""The type under which Neutron's plugin directory knows the service plugin."""

GROUP = "port_chain"
"""Section of portchain's options in every configuration file: server, agent and controller."""

OPENFLOW_HOSTS = cfg.DictOpt(
    "openflow_hosts",
    default={},
    sample_default={"compute1": "192.0.2.11", "compute2": "192.0.2.12"},
    help="Hosts whose switches a portchain-controller programs, as host:address pairs. The address "
    "is the one at which the controller reaches the host. On the server, list the hosts of all "
    "controllers: the driver openflow owns them, and the driver ovs owns all others. On a "
    "controller, list only its own hosts.",
)
"""Shared by the drivers ovs and openflow, which divide the hosts by it, and by the controller."""

SERVER_OPTS: list[cfg.Opt] = [
    cfg.ListOpt(
        "drivers",
        default=["ovs"],
        # Deployment tools that know networking-sfc write its section.
        deprecated_opts=[cfg.DeprecatedOpt("drivers", group="sfc")],
        help="Drivers that realise port chains, by their names in the entry point namespace "
        "portchain.drivers. Each chain is realised by the driver that claims its ports: ovs claims "
        "ports of Neutron's Open vSwitch agents, ovn claims ports of ML2/OVN, openflow claims "
        "ports on the hosts in openflow_hosts.",
    ),
    cfg.IntOpt(
        "repair_interval",
        default=10,
        min=1,
        help="Seconds between two searches for port chains that are not realised, because a driver "
        "failed, or because a server process ended between storing a change and notifying the "
        "drivers.",
    ),
    cfg.IntOpt(
        "repair_after",
        default=10,
        min=0,
        help="Seconds a port chain must have waited before that search has it realised again. "
        "Requests that are still in progress should complete within this time.",
    ),
    cfg.IntOpt(
        "trace_lifetime",
        default=3600,
        min=60,
        help="Seconds after which a trace is deleted.",
    ),
    OPENFLOW_HOSTS,
    *METRICS_OPTS,
    *OVS_OPTS,
    *OVN_OPTS,
]
"""All options of the server in the section ``GROUP``. Those of a driver are declared beside it."""

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
    cfg.IntOpt(
        "quota_trace",
        default=20,
        help="Number of traces allowed per project at a time. Traces are deleted after "
        "trace_lifetime. A negative value means unlimited.",
    ),
]


def register_server_opts(conf: cfg.ConfigOpts = cfg.CONF) -> None:
    """Register the server's options; may be called more than once."""
    conf.register_opts(SERVER_OPTS, GROUP)
    conf.register_opts(QUOTA_OPTS, "QUOTAS")


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the server's options for oslo-config-generator."""
    return [(GROUP, SERVER_OPTS), ("quotas", QUOTA_OPTS)]
