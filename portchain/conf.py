"""Configuration options of the Neutron server, and the section that all our options are in."""

import importlib
from typing import Any

from oslo_config import cfg

PLUGIN_TYPE = "PORT_CHAIN"
"""The type under which Neutron's plugin directory knows the service plugin."""

GROUP = "port_chain"
"""Section of portchain's options in the server's, the agent's and the controller's configuration."""

OPENFLOW_HOSTS = cfg.DictOpt(
    "openflow_hosts",
    default={},
    sample_default={"compute1": "192.0.2.11", "compute2": "192.0.2.12"},
    help="Hosts whose switches a portchain-controller programs, as host:address pairs. The address "
    "is the one at which the controller reaches the host. On the server, list the hosts of all "
    "controllers: the driver openflow owns them, and the driver ovs owns all others. On a "
    "controller, list only its own hosts.",
)
"""An option that the driver openflow and the controller share."""

SERVER_OPTS: list[cfg.Opt] = [
    cfg.ListOpt(
        "drivers",
        default=["ovs"],
        help="Drivers that realise port chains, by their names in the entry point namespace "
        "portchain.drivers. A chain is realised by the one that claims the ports it has, e.g. ovs "
        "for those of Neutron's Open vSwitch agents and ovn for those of ML2/OVN.",
    ),
    OPENFLOW_HOSTS,
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


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the server's options for oslo-config-generator."""
    return [(GROUP, SERVER_OPTS), ("quotas", QUOTA_OPTS)]


# An installation made before the options moved names these two as its entry points. They import
# by name, because this module is below those two.
def list_agent_opts() -> Any:
    """Return the agent extension's options; see ``portchain.agent.options``."""
    return importlib.import_module("portchain.agent.options").list_opts()


def list_controller_opts() -> Any:
    """Return the controller's options; see ``portchain.controller.options``."""
    return importlib.import_module("portchain.controller.options").list_opts()
