"""Options of ``portchain-controller``."""

from oslo_config import cfg

from portchain.conf import GROUP, OPENFLOW_HOSTS
from portchain.host.options import HOST_OPTS

CONTROLLER_OPTS: list[cfg.Opt] = [
    OPENFLOW_HOSTS,
    cfg.DictOpt(
        "ovn_hosts",
        default={},
        sample_default={"compute3": "192.0.2.13"},
        help="Hosts with ovn-controller whose br-chain this controller programs, as host:address "
        "pairs. The name is the chassis' hostname. These hosts have no agent with the extension "
        "port_chain. On the server, the driver ovn owns them.",
    ),
    cfg.PortOpt(
        "openflow_port",
        default=6654,
        help="TCP port at which br-int of each host listens for the controller's OpenFlow "
        "connections, at the host's address in openflow_hosts. The controller sets this up. The "
        "other bridges listen at the ports that follow: first br-tun, then the bridges of "
        "bridge_mappings in their order. On hosts of OVN, br-chain listens there.",
    ),
    cfg.PortOpt(
        "openflow_database_port",
        default=6640,
        help="TCP port at which the Open vSwitch database of each host listens.",
    ),
    cfg.IntOpt(
        "openflow_timeout",
        default=10,
        min=1,
        help="Seconds the controller waits for an answer of a switch or of its database.",
    ),
    cfg.StrOpt(
        "openflow_private_key",
        help="File with the controller's private key. If it is set, the controller connects to "
        "switches and databases by SSL, and they must present certificates that the CA in "
        "openflow_ca_cert has signed. If it is not set, connections are not encrypted.",
    ),
    cfg.StrOpt(
        "openflow_certificate",
        help="File with the certificate that belongs to openflow_private_key.",
    ),
    cfg.StrOpt(
        "openflow_ca_cert",
        help="File with the certificate of the CA that signed the certificates of the switches and "
        "of their databases.",
    ),
    *HOST_OPTS,
]


def register_controller_opts(conf: cfg.ConfigOpts = cfg.CONF) -> None:
    """Register the controller's options; may be called more than once."""
    conf.register_opts(CONTROLLER_OPTS, GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the controller's options for oslo-config-generator."""
    return [(GROUP, CONTROLLER_OPTS)]
