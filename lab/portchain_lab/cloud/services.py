"""The programs of a lab: how each is started and how one sees that it is ready."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from portchain_lab import layout
from portchain_lab.cloud import ovn_toolchain, probes
from portchain_lab.errors import LabError
from portchain_lab.hosts.processes import ProcessRecord, ProcessSpec, alive, log_since_start
from portchain_lab.waiting import wait_for

API_WORKERS = 2
KEYSTONE_WORKERS = 1
RABBIT_BIN = "/usr/lib/rabbitmq/bin/rabbitmq-server"
UWSGI = (
    "--master",
    "--no-orphans",
    "--die-on-term",
    "--need-app",
    "--lazy-apps",
    "--enable-threads",
    "--thunder-lock",
    "--buffer-size=65535",
    "--disable-logging",
    # uWSGI closes the connection after each answer: say so, or clients try to use it again. And
    # closing before the whole request was read would lose the answer.
    "--add-header=Connection: close",
    "--post-buffering=1048576",
    "--log-date",
)


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the lab.

    :param ready: asks once whether it does its work.
    :param deadline: seconds it may take to become ready.
    """

    process: ProcessSpec
    ready: Callable[[], bool]
    deadline: float = 240.0


def is_ready(program: Program, record: ProcessRecord) -> bool:
    """Whether a program that was started does its work.

    :raises LabError: it has ended; says where its log is.
    """
    if not alive(record):
        msg = f"{program.process.name} ended: see {program.process.log}"
        raise LabError(msg)
    return program.ready()


def wait_ready(program: Program, record: ProcessRecord) -> None:
    """Wait until a program that was started does its work.

    :raises LabError: it ended.
    :raises DeadlineError: it takes longer than its deadline.
    """
    what = f"{program.process.name} ready (see {program.process.log})"
    wait_for(partial(is_ready, program, record), program.deadline, what)


def log_file(lab: layout.Layout, name: str) -> Path:
    """Where a program's output goes."""
    return lab.logs / f"{name}.log"


def mariadb(lab: layout.Layout, data: Path | None = None) -> Program:
    """The database server; its data directory is a copy of the prepared one.

    :param data: another data directory, and a server of another name, for preparing.
    """
    name = "mariadb" if data is None else "mariadb-prepare"
    data = data or lab.directory / "mysql"
    socket = mariadb_socket(lab)
    argv = (
        "mariadbd",
        "--no-defaults",
        "--user=root",
        f"--datadir={data}",
        f"--socket={socket}",
        "--bind-address=127.0.0.1",
        "--port=3306",
        f"--pid-file={lab.directory}/mysqld.pid",
        f"--tmpdir={lab.scratch}",
        "--skip-name-resolve",
        "--innodb-log-file-size=32M",
        # A transaction outlives the server's death, not the machine's: enough for a lab, and quick.
        "--innodb-flush-log-at-trx-commit=2",
        "--max-connections=500",
    )
    process = ProcessSpec(name, lab.controller_namespace, argv, log_file(lab, name), stop_wait=15)
    return Program(process, lambda: probes.mysql(socket))


def mariadb_socket(lab: layout.Layout) -> Path:
    """Where the database server listens, besides its port in the controller's namespace."""
    return lab.directory / "mysqld.sock"


def epmd(lab: layout.Layout) -> Program:
    """Erlang's port mapper, on the controller's own loopback."""
    process = ProcessSpec(
        "epmd",
        lab.controller_namespace,
        ("epmd", "-address", "127.0.0.1"),
        log_file(lab, "epmd"),
        stop_wait=0,
    )
    return Program(process, lambda: probes.tcp(lab.controller_namespace, "127.0.0.1", 4369))


def rabbitmq(lab: layout.Layout) -> Program:
    """The message broker, without plug-ins."""
    directory = lab.directory / "rabbitmq"
    env = {
        "HOME": str(directory),
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_CONFIG_FILE": f"{directory}/rabbitmq.conf",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{directory}/enabled_plugins",
        "RABBITMQ_MNESIA_BASE": f"{directory}/mnesia",
        "RABBITMQ_LOG_BASE": str(lab.logs),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": f"{directory}/pid",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false +S 2:2 +sbwt none +sbwtdcpu none",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    process = ProcessSpec(
        "rabbitmq",
        lab.controller_namespace,
        (RABBIT_BIN,),
        log_file(lab, "rabbitmq"),
        env,
        stop_wait=15,
    )
    return Program(
        process,
        lambda: probes.amqp(lab.controller_namespace, layout.CONTROLLER_IP, layout.RABBIT_PORT),
    )


def _uwsgi(
    lab: layout.Layout, name: str, *, module: str, port: int, workers: int, env: dict[str, str]
) -> Program:
    argv = (
        lab.software.command("uwsgi"),
        *UWSGI,
        f"--http-socket={layout.CONTROLLER_IP}:{port}",
        f"--processes={workers}",
        f"--module={module}",
        f"--procname-prefix={lab.name}-{name} ",
    )
    env |= {"TMPDIR": str(lab.scratch), "PATH": _path(lab)}
    process = ProcessSpec(name, lab.controller_namespace, argv, log_file(lab, name), env)
    path = "/v3" if name == "keystone" else "/"
    return Program(
        process, lambda: probes.http_ok(lab.controller_namespace, layout.CONTROLLER_IP, port, path)
    )


def _path(lab: layout.Layout) -> str:
    return f"{lab.software.bin}:{os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}"


def keystone(lab: layout.Layout) -> Program:
    """The identity service."""
    env = {"OS_KEYSTONE_CONFIG_FILES": f"{lab.directory}/keystone.conf"}
    module = "keystone.wsgi.api:application"
    port = layout.KEYSTONE_PORT
    return _uwsgi(lab, "keystone", module=module, port=port, workers=KEYSTONE_WORKERS, env=env)


def neutron_api(lab: layout.Layout) -> Program:
    """Neutron's API; the port chain plug-in is loaded here."""
    env = {
        "OS_NEUTRON_CONFIG_DIR": str(lab.directory),
        "OS_NEUTRON_CONFIG_FILES": "neutron.conf;ml2_conf.ini",
    }
    module = "neutron.wsgi.api:application"
    port = layout.NEUTRON_PORT
    return _uwsgi(lab, "neutron-api", module=module, port=port, workers=API_WORKERS, env=env)


def neutron_process(lab: layout.Layout, name: str, program: str) -> ProcessSpec:
    """One of Neutron's server programs, with the servers' configuration."""
    argv = (
        lab.software.command(program),
        f"--config-file={lab.directory}/neutron.conf",
        f"--config-file={lab.directory}/ml2_conf.ini",
    )
    return ProcessSpec(
        name, lab.controller_namespace, argv, log_file(lab, name), {"PATH": _path(lab)}
    )


def neutron_rpc_server(lab: layout.Layout) -> Program:
    """What the agents talk to."""
    process = neutron_process(lab, "neutron-rpc-server", "neutron-rpc-server")
    return Program(
        process,
        lambda: probes.connected(
            lab.controller_namespace, layout.RABBIT_PORT, "neutron-rpc-server"
        ),
    )


def neutron_periodic(lab: layout.Layout) -> Program:
    """Neutron's housekeeping."""
    process = neutron_process(lab, "neutron-periodic", "neutron-periodic-workers")
    return Program(
        process, lambda: probes.titled(lab.controller_namespace, "neutron-server: services worker")
    )


def _switch_program(
    lab: layout.Layout, host: str, program: str, *arguments: str
) -> tuple[str, ...]:
    """The machine's own Open vSwitch, or the one that OVN belongs with."""
    if lab.driver_of(host) == "ovn":
        return ovn_toolchain.command(program, *arguments)
    return (program, *arguments)


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
        *_remote_database(lab, host),
        "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
        f"--unixctl={directory}/ovsdb.ctl",
        "-vconsole:info",
    )
    process = ProcessSpec(
        name, lab.namespace(host), argv, log_file(lab, name), {"OVS_RUNDIR": str(directory)}
    )
    return Program(process, lambda: probes.control(directory / "ovsdb.ctl"))


def _remote_database(lab: layout.Layout, host: str) -> tuple[str, ...]:
    """Where our controller reaches a switch database."""
    address = lab.openflow_hosts.get(host)
    return (f"--remote=ptcp:{layout.OVSDB_PORT}:{address}",) if address else ()


def ovs_vswitchd(lab: layout.Layout, host: str) -> Program:
    """A host's switch, userspace datapath."""
    directory = lab.host_directory(host)
    name = f"ovs-vswitchd@{host}"
    argv = _switch_program(
        lab,
        host,
        "ovs-vswitchd",
        f"unix:{directory}/db.sock",
        f"--unixctl={directory}/vswitchd.ctl",
        "--disable-system",
        "-vconsole:info",
    )
    # The priority that distributions give it: a switch must not drop packets because other
    # programs are busy.
    argv = ("nice", "-n", "-10", *argv)
    process = ProcessSpec(
        name, lab.namespace(host), argv, log_file(lab, name), {"OVS_RUNDIR": str(directory)}
    )
    return Program(process, lambda: probes.switch(directory))


def chain_controller(lab: layout.Layout) -> Program:
    """What programs the switches of hosts without the extension."""
    argv = (
        lab.software.command("portchain-controller"),
        f"--config-file={lab.directory}/controller.conf",
    )
    name = "portchain-controller"
    process = ProcessSpec(
        name, lab.controller_namespace, argv, log_file(lab, name), {"PATH": _path(lab)}
    )
    return Program(process, lambda: "In charge of the switches" in log_since_start(process.log))


def agent(lab: layout.Layout, host: str) -> Program:
    """A host's stock neutron-openvswitch-agent, with the port chain extension where the driver ``ovs`` needs it."""
    directory = lab.host_directory(host)
    name = f"agent@{host}"
    argv = (
        lab.software.command("neutron-openvswitch-agent"),
        f"--config-file={directory}/agent.conf",
    )
    env = {"OVS_RUNDIR": str(directory), "PATH": _path(lab)}
    # It has been seen to take more than a minute over SIGTERM.
    process = ProcessSpec(name, lab.namespace(host), argv, log_file(lab, name), env, stop_wait=2)
    return Program(
        process, lambda: "Agent initialized successfully" in log_since_start(process.log)
    )
