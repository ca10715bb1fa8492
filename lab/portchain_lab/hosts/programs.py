"""The programs that run on a compute host: switch database, switch, ovn-controller, and agent."""

from functools import partial
from pathlib import Path

from portchain_lab import layout, ovn_toolchain
from portchain_lab.hosts import probes
from portchain_lab.hosts.processes import ProcessSpec, Program, log_since_start


def ovsdb_server(lab: layout.Layout, host: str) -> Program:
    """A host's switch database."""
    directory = lab.host_directory(host)
    name = f"ovsdb-server@{host}"
    argv = _switch_program(
        lab,
        host,
        "ovsdb-server",
        f"{directory}/conf.db",
        f"--remote=punix:{directory}/db.sock",
        f"--remote=ptcp:{layout.OVSDB_PORT}:127.0.0.1",
        *_remote_for_controller(lab, host),
        "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
        f"--unixctl={directory}/ovsdb.ctl",
        "-vconsole:info",
    )
    env = {"OVS_RUNDIR": str(directory)}
    process = ProcessSpec(name, lab.namespace(host), argv, lab.log_file(name), env)
    return Program(process, lambda: probes.answers_unixctl(directory / "ovsdb.ctl"))


def ovs_vswitchd(lab: layout.Layout, host: str) -> Program:
    """A host's switch."""
    directory = lab.host_directory(host)
    name = f"ovs-vswitchd@{host}"
    argv = _switch_program(
        lab,
        host,
        "ovs-vswitchd",
        f"unix:{directory}/db.sock",
        f"--pidfile={directory}/ovs-vswitchd.pid",  # where ovs-appctl looks for the switch
        *(() if lab.in_kernel else ("--disable-system",)),
        "-vconsole:info",
    )
    # The priority that distributions give it: a switch must not drop packets because other
    # programs are busy.
    argv = ("nice", "-n", "-10", *argv)
    env = {"OVS_RUNDIR": str(directory)}
    process = ProcessSpec(name, lab.namespace(host), argv, lab.log_file(name), env)
    return Program(process, lambda: probes.switch_is_configured(directory))


def agent(lab: layout.Layout, host: str) -> Program:
    """A host's neutron-openvswitch-agent, unmodified.

    With the driver ``ovs``, its configuration loads the port chain extension.
    """
    launcher = lab.host_launcher_socket(host)
    return _agent(
        lab, host, "neutron-openvswitch-agent", "Agent initialized successfully", launcher
    )


def l3_agent(lab: layout.Layout, host: str) -> Program:
    """A host's neutron-l3-agent, with network namespaces that no other host sees.

    The agent of each host makes a namespace of the same name for a distributed router. So each
    agent has a directory of namespaces of its own, which ends with the agent.
    """
    name = f"l3-agent@{host}"
    config = f"{lab.host_directory(host)}/l3.conf"
    command = f"{lab.software.command('neutron-l3-agent')} --config-file={config}"
    argv = ("sh", "-c", f"mount -t tmpfs none /run/netns && exec {command}")
    env = {"OVS_RUNDIR": str(lab.host_directory(host)), "PATH": lab.software.path}
    process = ProcessSpec(name, lab.namespace(host), argv, lab.log_file(name), env, stop_wait=2)
    return Program(process, lambda: "L3 agent started" in log_since_start(process.log))


def ovn_controller(lab: layout.Layout, host: str) -> Program:
    """A host's ovn-controller."""
    directory = lab.host_directory(host)
    name = f"ovn-controller@{host}"
    argv = ovn_toolchain.command(
        "ovn-controller",
        f"unix:{directory}/db.sock",
        "-vconsole:info",
    )
    env = {"OVS_RUNDIR": str(directory), "OVN_RUNDIR": str(directory)}
    process = ProcessSpec(name, lab.namespace(host), argv, lab.log_file(name), env)
    # OVN 23.03 has no option for the place of its socket. Those of killed processes stay.
    sockets = partial(directory.glob, "ovn-controller.*.ctl")
    return Program(process, lambda: any(map(probes.answers_unixctl, sockets())))


def ovn_agent(lab: layout.Layout, host: str) -> Program:
    """A host's neutron-ovn-agent, unmodified. It loads the port chain extension."""
    return _agent(lab, host, "neutron-ovn-agent", "OVN Neutron Agent started")


def _agent(
    lab: layout.Layout, host: str, program: str, started: str, own_launcher: Path | None = None
) -> Program:
    """A host's agent of Neutron.

    :param started: what its log says when it is ready.
    :param own_launcher: socket of the launcher that starts the agent's privilege daemons.
    """
    directory = lab.host_directory(host)
    name = f"agent@{host}"
    argv = (lab.software.command(program), f"--config-file={directory}/agent.conf")
    env = {"OVS_RUNDIR": str(directory), "PATH": lab.software.path}
    process = ProcessSpec(
        name,
        lab.namespace(host),
        argv,
        lab.log_file(name),
        env,
        # After SIGTERM an agent may take more than a minute to end.
        stop_wait=2,
        launcher=lab.launcher_socket,
        own_launcher=own_launcher,
    )
    return Program(process, lambda: started in log_since_start(process.log))


def _switch_program(
    lab: layout.Layout, host: str, program: str, *arguments: str
) -> tuple[str, ...]:
    """The system's own Open vSwitch, or the version that OVN was built with."""
    if ovn_toolchain.has_newest_switch(lab, host):
        return ovn_toolchain.command(program, *arguments)
    return (program, *arguments)


def _remote_for_controller(lab: layout.Layout, host: str) -> tuple[str, ...]:
    """The address at which portchain-controller reaches a switch database."""
    address = lab.openflow_hosts.get(host)
    return (f"--remote=ptcp:{layout.OVSDB_PORT}:{address}",) if address else ()
