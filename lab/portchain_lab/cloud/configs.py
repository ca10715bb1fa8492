"""The configuration files of servers and agents, as text. Pure."""

import json

from portchain_lab import layout
from portchain_lab.hosts import launcher_client
from portchain_lab.hosts.underlay import UNDERLAY_BRIDGE
from portchain_lab.layout import CONTROLLER_IP, PASSWORD
from portchain_lab.waiting import patient

_MECHANISMS = {"ovs": "openvswitch", "ovn": "ovn", "openflow": "openvswitch"}
"""Neutron's ML2 mechanism driver for the hosts of each chain driver."""
_ROUTER_PLUGIN: dict[bool, tuple[str, ...]] = {False: (), True: ("router",)}
_QOS: dict[bool, tuple[str, ...]] = {False: (), True: ("qos",)}
"""Neutron's service plugin, extension driver and agent extension have one name."""
RABBIT_URL = f"rabbit://openstack:{PASSWORD}@{CONTROLLER_IP}:{layout.RABBIT_PORT}/"

# Clients reconnect to a restarted broker within a few seconds.
MESSAGING = f"""
[oslo_messaging_rabbit]
rabbit_retry_interval = 1
rabbit_retry_backoff = 1
rabbit_interval_max = 2
kombu_reconnect_delay = 0.5
heartbeat_timeout_threshold = {patient(20):.0f}
"""


def database_url(name: str) -> str:
    """The URL of one of the lab's databases."""
    return f"mysql+pymysql://{name}:{PASSWORD}@127.0.0.1/{name}?charset=utf8"


def client_section(section: str, user: str) -> str:
    """The section with the account by which a server uses another one.

    :param user: name of the account.
    """
    return f"""\
[{section}]
auth_url = {layout.KEYSTONE_URL}
auth_type = password
username = {user}
password = {PASSWORD}
user_domain_name = Default
project_name = service
project_domain_name = Default
region_name = {layout.REGION}"""


def rabbitmq() -> str:
    """The broker's rabbitmq.conf."""
    return f"""\
listeners.tcp.1 = {CONTROLLER_IP}:{layout.RABBIT_PORT}
default_user = openstack
default_pass = {PASSWORD}
loopback_users = none
vm_memory_high_watermark.relative = 0.2
disk_free_limit.absolute = 100MB
log.console = true
log.console.level = info
log.file = false
"""


def keystone(directory: str) -> str:
    """Keystone's keystone.conf.

    :param directory: the parent of the directories with token and credential keys.
    """
    return f"""\
[DEFAULT]
use_stderr = true
[database]
connection = {database_url("keystone")}
[token]
provider = fernet
expiration = 86400
[fernet_tokens]
key_repository = {directory}/fernet-keys
[fernet_receipts]
key_repository = {directory}/fernet-keys
[credential]
key_repository = {directory}/credential-keys
[identity]
# bcrypt's minimum: a lab's passwords protect nothing, and clients ask for many tokens.
password_hash_rounds = 4
[cache]
enabled = true
backend = oslo_cache.dict
"""


def neutron(lab: layout.Layout) -> str:
    """neutron.conf of API server, RPC server and periodic workers."""
    return f"""\
[DEFAULT]
core_plugin = ml2
service_plugins = {",".join(_service_plugins(lab))}
transport_url = {RABBIT_URL}
auth_strategy = keystone
api_paste_config = {lab.directory}/api-paste.ini
state_path = {lab.directory}/neutron
global_physnet_mtu = {lab.global_physnet_mtu}
dhcp_agent_notification = false
notify_nova_on_port_status_changes = {str(lab.nova).lower()}
notify_nova_on_port_data_changes = {str(lab.nova).lower()}
agent_down_time = {patient(20):.0f}
rpc_workers = 1
rpc_state_report_workers = 0
rpc_response_timeout = {patient(10):.0f}
api_workers = 2
use_stderr = true
[port_chain]
drivers = {lab.driver}
openflow_hosts = {_openflow_hosts(lab)}
underlay_mtu = {layout.UNDERLAY_MTU}
{_metrics(lab, layout.CONTROLLER_IP)}
[database]
connection = {database_url("neutron")}
max_retries = -1
{client_section("keystone_authtoken", "neutron")}
www_authenticate_uri = {layout.KEYSTONE_URL}
service_token_roles_required = true
[oslo_concurrency]
lock_path = {lab.directory}/neutron/lock
[oslo_policy]
policy_file = {lab.directory}/policy.yaml
[quotas]
quota_network = -1
quota_subnet = -1
quota_port = -1
{client_section("nova", "nova") if lab.nova else ""}
{MESSAGING}
{lab.software.neutron_options}
"""


def ml2(lab: layout.Layout) -> str:
    """Neutron's ml2_conf.ini."""
    # Projects cannot create flat networks: each needs a physical network of its own.
    project_network_types = "" if lab.network_type == "flat" else lab.network_type
    mechanisms = [_MECHANISMS[driver] for driver in lab.drivers]
    if lab.l2_population:
        mechanisms.append("l2population")
    return f"""\
[ml2]
type_drivers = vxlan,gre,geneve,vlan,flat,local
tenant_network_types = {project_network_types}
mechanism_drivers = {",".join(mechanisms)}
extension_drivers = {",".join(("port_security", *_QOS[lab.qos]))}
overlay_ip_version = {6 if lab.ipv6_underlay else 4}
[ml2_type_vxlan]
vni_ranges = 1:10000
[ml2_type_geneve]
vni_ranges = 1:10000
max_header_size = {layout.NETWORK_TYPES["geneve"] - 20 + layout.OVN_OPTIONS}
[ml2_type_gre]
tunnel_id_ranges = 1:10000
[ml2_type_vlan]
network_vlan_ranges = {layout.PHYSICAL_NETWORK}:100:199
[securitygroup]
enable_security_group = true
{_ovn_databases()}
ovn_metadata_enabled = false
"""


def _ovn_databases() -> str:
    """Where OVN's databases are, for Neutron's server and agents."""
    return f"""\
[ovn]
ovn_nb_connection = tcp:{CONTROLLER_IP}:{layout.NORTHBOUND_PORT}
ovn_sb_connection = tcp:{CONTROLLER_IP}:{layout.SOUTHBOUND_PORT}
ovsdb_connection_timeout = {patient(30):.0f}
ovsdb_retry_max_interval = 5"""


def agent(lab: layout.Layout, host: str) -> str:
    """Configuration of a host's neutron-openvswitch-agent."""
    directory = lab.host_directory(host)
    helper = " ".join(
        (
            *(lab.software.command("python"), "-I", "-S", launcher_client.__file__),
            str(lab.host_launcher_socket(host)),
            *(lab.software.command("privsep-helper"), f"--config-file={directory}/agent.conf"),
        )
    )
    # Nova's guests ask for their addresses, and the agent itself answers.
    extensions = [*lab.software.agent_extensions, *_QOS[lab.qos], *(["dhcp"] if lab.nova else [])]
    if host in lab.openflow_hosts:  # the controller programs this switch instead
        extensions.remove("port_chain")
    return f"""\
{_of_agent(lab, host, helper)}
[agent]
# The agent runs as root: it needs no rootwrap to run commands.
root_helper = env
report_interval = 5
ovsdb_monitor_respawn_interval = 2
polling_interval = 1
tunnel_types = {lab.network_type if lab.has_tunnels else ""}
l2_population = {lab.l2_population}
enable_distributed_routing = {lab.routers}
extensions = {",".join(extensions)}
[ovs]
local_ip = {lab.tunnel_ip(host)}
bridge_mappings = {_bridge_mappings(lab)}
datapath_type = {lab.datapath_type}
ovsdb_connection = tcp:127.0.0.1:{layout.OVSDB_PORT}
ovsdb_timeout = {patient(10):.0f}
of_inactivity_probe = {patient(10):.0f}
[securitygroup]
firewall_driver = {lab.firewall}
enable_security_group = true
{lab.software.agent_options}
"""


def ovn_agent(lab: layout.Layout, host: str) -> str:
    """Configuration of the neutron-ovn-agent on a host of OVN."""
    directory = lab.host_directory(host)
    helper = f"{lab.software.command('privsep-helper')} --config-file={directory}/agent.conf"
    return f"""\
{_of_agent(lab, host, helper)}
[agent]
root_helper = env
extensions = {",".join(lab.software.agent_extensions)}
[ovs]
ovsdb_connection = tcp:127.0.0.1:{layout.OVSDB_PORT}
{_ovn_databases()}
{lab.software.agent_options}
"""


def _of_agent(lab: layout.Layout, host: str, helper: str) -> str:
    """The sections that the agents of all hosts have.

    :param helper: the command that starts a privilege daemon.
    """
    directory = lab.host_directory(host)
    return f"""\
[DEFAULT]
host = {host}
transport_url = {RABBIT_URL}
state_path = {directory}/agent
rpc_response_timeout = {patient(10):.0f}
use_stderr = true
[oslo_concurrency]
lock_path = {directory}/agent/lock
{_metrics(lab, lab.management_ip(host))}
{_privsep_sections(helper)}
{MESSAGING}"""


def l3_agent(lab: layout.Layout, host: str) -> str:
    """Configuration of a host's neutron-l3-agent.

    Its privilege daemons are its children, because they must see its network namespaces.
    """
    directory = lab.host_directory(host)
    return f"""\
[DEFAULT]
host = {host}
transport_url = {RABBIT_URL}
state_path = {directory}/l3-agent
rpc_response_timeout = {patient(10):.0f}
use_stderr = true
interface_driver = openvswitch
agent_mode = {"dvr_snat" if host == lab.router_host else "dvr"}
enable_metadata_proxy = false
[agent]
root_helper = env
report_interval = 5
[ovs]
ovsdb_connection = tcp:127.0.0.1:{layout.OVSDB_PORT}
[oslo_concurrency]
lock_path = {directory}/l3-agent/lock
{_privsep_sections(f"{lab.software.command('privsep-helper')} --config-file={directory}/l3.conf")}
{MESSAGING}
"""


def controller(lab: layout.Layout) -> str:
    """Configuration of portchain-controller."""
    return f"""\
[DEFAULT]
transport_url = {RABBIT_URL}
rpc_response_timeout = {patient(10):.0f}
use_stderr = true
[port_chain]
openflow_hosts = {_openflow_hosts(lab)}
openflow_port = {layout.OPENFLOW_PORT}
openflow_database_port = {layout.OVSDB_PORT}
{_metrics(lab, layout.CONTROLLER_IP, layout.CONTROLLER_METRICS_PORT)}
[ovs]
bridge_mappings = {_bridge_mappings(lab)}
[securitygroup]
firewall_driver = {lab.firewall}
enable_security_group = true
{MESSAGING}
{lab.software.agent_options}
"""


def prometheus(lab: layout.Layout) -> str:
    """Configuration of Prometheus: JSON is YAML."""
    hosts = [
        f"{lab.management_ip(host)}:{layout.METRICS_PORT}"
        for host in lab.host_names
        if host not in lab.openflow_hosts
    ]
    targets = {"portchain-hosts": hosts, "portchain-server": [_SERVER_METRICS]}
    if lab.openflow_hosts:
        targets["portchain-hosts"].append(
            f"{layout.CONTROLLER_IP}:{layout.CONTROLLER_METRICS_PORT}"
        )
    return json.dumps(
        {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": each}]}
                for job, each in targets.items()
            ],
        },
        indent=1,
    )


_SERVER_METRICS = f"{layout.CONTROLLER_IP}:{layout.METRICS_PORT}"


def _metrics(lab: layout.Layout, address: str, port: int = layout.METRICS_PORT) -> str:
    """The section of a program that serves figures for Prometheus; nothing without Prometheus."""
    if not lab.prometheus:
        return ""
    return f"""\
[port_chain]
enable_prometheus_exporter = true
prometheus_listen_addresses = {address}:{port}"""


def _privsep_sections(helper: str) -> str:
    """How an agent starts its privilege daemons."""
    sections = (
        "privsep",
        "privsep_conntrack",
        "privsep_link",
        "privsep_namespace",
        "privsep_ovs_vsctl",
    )
    return "\n".join(f"[{section}]\nhelper_command = {helper}" for section in sections)


def _service_plugins(lab: layout.Layout) -> tuple[str, ...]:
    # Neutron's maintenance worker for OVN ends without OVN's routers.
    ovn = ("ovn-router",) if lab.has_ovn else ()
    return (*lab.software.service_plugins, *_ROUTER_PLUGIN[lab.routers], *ovn, *_QOS[lab.qos])


def _bridge_mappings(lab: layout.Layout) -> str:
    """The provider network of a host, where the underlay carries project networks untunnelled."""
    return "" if lab.has_tunnels else f"{layout.PHYSICAL_NETWORK}:{UNDERLAY_BRIDGE}"


def _openflow_hosts(lab: layout.Layout) -> str:
    return ",".join(f"{host}:{address}" for host, address in lab.openflow_hosts.items())


def clouds() -> str:
    """clouds.yaml: cloud ``demo`` is a member of a project, ``admin`` the administrator."""
    return "clouds:\n" + "".join(
        f"""\
  {name}:
    auth:
      auth_url: {layout.KEYSTONE_URL}
      project_name: {name}
      username: {name}
      password: {PASSWORD}
      project_domain_name: Default
      user_domain_name: Default
    region_name: {layout.REGION}
    identity_api_version: 3
"""
        for name in ("demo", "admin")
    )


def openrc(user: str) -> str:
    """Shell variables that log the command line clients in."""
    variables = {**login_variables(user), "OS_IDENTITY_API_VERSION": "3"}
    return "".join(f"export {name}={value}\n" for name, value in variables.items())


def login_variables(user: str) -> dict[str, str]:
    """Environment variables that log a client in which does not read clouds.yaml."""
    return {
        "OS_AUTH_URL": layout.KEYSTONE_URL,
        "OS_PROJECT_NAME": user,
        "OS_USERNAME": user,
        "OS_PASSWORD": PASSWORD,
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_REGION_NAME": layout.REGION,
    }
