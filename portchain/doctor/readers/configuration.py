"""Reads the agent's configuration files."""

from dataclasses import dataclass, field
from pathlib import Path

from neutron.common import config as common_config
from neutron.conf import service as service_conf
from neutron.conf.agent import securitygroups_rpc
from neutron.conf.agent.ovn.ovn_neutron_agent import config as ovn_agent_config
from neutron.conf.plugins.ml2.drivers import ovs_conf
from oslo_config import cfg

from portchain.agent.options import register_agent_opts
from portchain.conf import GROUP
from portchain.dataplane.flow import Bridge
from portchain.dataplane.host_switch import Firewall, FlowLimits
from portchain.doctor.snapshot import HostKind
from portchain.host.open_vswitch import configured_firewall, configured_rate_limits

_FOLDER = Path("/etc/neutron")
_FILES = {
    HostKind.OVS: ("neutron.conf", "plugins/ml2/ml2_conf.ini", "plugins/ml2/openvswitch_agent.ini"),
    HostKind.OVN: ("neutron.conf", "plugins/ml2/ml2_conf.ini", "plugins/ml2/ovn_agent.ini"),
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the checks need of the agent's configuration.

    :param host: as configured; ML2/OVN may have another name for the host.
    :param database: address of Open vSwitch's database.
    :param bridges: role -> name, of the bridges that Neutron's agent makes or needs.
    :param patch_to_tun: as of ``OpenVSwitch``, with the following.
    """

    host: str
    database: str
    bridges: dict[Bridge, str]
    patch_to_tun: str = ""
    patch_to_int: str = ""
    firewall: Firewall = Firewall.ELSEWHERE
    has_rate_limits: bool = False
    limits: FlowLimits = field(default_factory=FlowLimits)
    sync_interval: int = 30


def default_files(kind: HostKind) -> list[str]:
    """Return the options for configuration files in their usual places."""
    paths = (_FOLDER / name for name in _FILES[kind])
    return [f"--config-file={path}" for path in paths if path.exists()]


def read(kind: HostKind, options: list[str]) -> Configuration:
    """Read configuration files.

    :param options: of the command line, such as ``--config-file=PATH``.
    :raises cfg.Error: a file does not exist or cannot be read, or a value in it is wrong.
    """
    common_config.register_common_config_options()
    service_conf.register_service_opts(service_conf.RPC_EXTRA_OPTS)  # neutron-lib's RPC reads them
    if kind is HostKind.OVS:
        ovs_conf.register_ovs_agent_opts()
        securitygroups_rpc.register_securitygroups_opts()
    else:
        ovn_agent_config.register_opts()
    register_agent_opts(cfg.CONF)
    cfg.CONF(args=options, project="neutron", default_config_files=[], default_config_dirs=[])
    return _for_ovs() if kind is HostKind.OVS else _for_ovn()


def _for_ovs() -> Configuration:
    ovs, own = cfg.CONF.OVS, cfg.CONF[GROUP]
    bridges = {Bridge.INT: ovs.integration_bridge}
    if cfg.CONF.AGENT.tunnel_types:
        bridges[Bridge.TUN] = ovs.tunnel_bridge
    pairs = (mapping.partition(":") for mapping in ovs.bridge_mappings)
    return Configuration(
        host=cfg.CONF.host,
        database=ovs.ovsdb_connection,
        bridges=bridges | {Bridge.physical(network): name for network, _, name in pairs},
        patch_to_tun=ovs.int_peer_patch_port,
        patch_to_int=ovs.tun_peer_patch_port,
        firewall=configured_firewall(),
        has_rate_limits=configured_rate_limits(),
        limits=FlowLimits(own.max_chain_flows, own.max_project_flows),
        sync_interval=own.sync_interval,
    )


def _for_ovn() -> Configuration:
    own = cfg.CONF[GROUP]
    return Configuration(
        host=cfg.CONF.host,
        database=cfg.CONF.ovs.ovsdb_connection,
        bridges={},
        limits=FlowLimits(own.max_chain_flows, own.max_project_flows),
        sync_interval=own.sync_interval,
    )
