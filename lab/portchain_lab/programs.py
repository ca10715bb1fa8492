"""Which programs a lab consists of, and each of them by name."""

from collections.abc import Callable, Mapping
from functools import partial

from portchain_lab.cloud import broker, heat, horizon, ovn, services
from portchain_lab.cloud.nova import programs as nova
from portchain_lab.errors import LabError
from portchain_lab.hosts import programs as host_programs
from portchain_lab.hosts.processes import Program
from portchain_lab.layout import Layout

CentralPrograms = Mapping[str, Callable[[Layout], Program]]
HostPrograms = Mapping[str, Callable[[Layout, str], Program]]

CONTROLLER_PROGRAMS: CentralPrograms = {
    "mariadb": services.mariadb,
    "epmd": services.epmd,
    "rabbitmq": broker.server,
    services.LAUNCHER: services.neutron_launcher,
    "keystone": services.keystone,
    "neutron-api": services.neutron_api,
    "neutron-rpc-server": services.neutron_rpc_server,
    "neutron-periodic": services.neutron_periodic,
}
OVN_PROGRAMS: CentralPrograms = {
    **{f"ovn-{name}": partial(ovn.database_server, name=name) for name in ovn.DATABASES},
    "ovn-northd": ovn.northd,
    "neutron-ovn-maintenance": ovn.maintenance,
}
PROMETHEUS_PROGRAMS: CentralPrograms = {"prometheus": services.prometheus}
DASHBOARD_PROGRAMS: CentralPrograms = {horizon.NAME: horizon.server}
HEAT_PROGRAMS: CentralPrograms = {heat.API: heat.api, heat.ENGINE: heat.engine}
NOVA_PROGRAMS: CentralPrograms = {
    nova.GLANCE: nova.glance,
    nova.PLACEMENT: nova.placement,
    nova.CONDUCTOR: nova.conductor,
    nova.SCHEDULER: nova.scheduler,
    nova.API: nova.api,
}
OPENFLOW_PROGRAMS: CentralPrograms = {"portchain-controller": services.chain_controller}

LIBVIRT = nova.LIBVIRT
SWITCH_PROGRAMS: HostPrograms = {
    "ovsdb-server": host_programs.ovsdb_server,
    "ovs-vswitchd": host_programs.ovs_vswitchd,
}
ROUTER_PROGRAMS: HostPrograms = {"l3-agent": host_programs.l3_agent}
COMPUTE_PROGRAMS: HostPrograms = {nova.LIBVIRT: nova.libvirtd, nova.COMPUTE: nova.compute}
HOST_PROGRAMS: Mapping[str, HostPrograms] = {
    "ovs": {**SWITCH_PROGRAMS, "agent": host_programs.agent},
    "ovn": {
        **SWITCH_PROGRAMS,
        "ovn-controller": host_programs.ovn_controller,
        "agent": host_programs.ovn_agent,
    },
    "openflow": {**SWITCH_PROGRAMS, "agent": host_programs.agent},
}
"""By the driver that realises chains on the host."""


def central(lab: Layout) -> CentralPrograms:
    """The programs of the controller."""
    return {
        **CONTROLLER_PROGRAMS,
        **(OVN_PROGRAMS if lab.has_ovn else {}),
        **(OPENFLOW_PROGRAMS if lab.openflow_hosts else {}),
        **(PROMETHEUS_PROGRAMS if lab.prometheus else {}),
        **(DASHBOARD_PROGRAMS if lab.dashboard else {}),
        **(HEAT_PROGRAMS if lab.heat else {}),
        **(NOVA_PROGRAMS if lab.nova else {}),
    }


def on_host(lab: Layout, host: str) -> HostPrograms:
    """The programs of a host."""
    routing = ROUTER_PROGRAMS if lab.routers else {}
    computing = COMPUTE_PROGRAMS if lab.nova else {}
    return {**HOST_PROGRAMS[lab.driver_of(host)], **routing, **computing}


def names(lab: Layout) -> list[str]:
    """Names of all programs, such as ``neutron-api`` and ``agent@h1``."""
    return [
        *central(lab),
        *(f"{program}@{host}" for host in lab.host_names for program in on_host(lab, host)),
    ]


def find(lab: Layout, name: str) -> Program:
    """A program by its name.

    :raises LabError: the lab has no such program; the message lists those that it has.
    """
    program, _, host = name.partition("@")
    if not host and program in central(lab):
        return central(lab)[program](lab)
    if host in lab.host_names and program in on_host(lab, host):
        return on_host(lab, host)[program](lab, host)
    msg = f"the lab has no program {name!r}; it has {', '.join(names(lab))}"
    raise LabError(msg)
