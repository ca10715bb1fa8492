"""The programs of the controller: how each is started, and how to check that it works."""

from collections.abc import Iterable
from pathlib import Path

from portchain_lab import layout
from portchain_lab.cloud import garbage_collection
from portchain_lab.hosts import launcher, probes
from portchain_lab.hosts.processes import ProcessSpec, Program, log_since_start

API_WORKERS = 2
KEYSTONE_WORKERS = 1
LAUNCHER = "neutron-launcher"
PRELOADED = (
    "neutron.cmd.server",
    "neutron.plugins.ml2.plugin",
    "neutron.cmd.agents.ovs_neutron_agent",
    "neutron.plugins.ml2.drivers.openvswitch.agent.ovs_neutron_agent",
    "neutron.agent.linux.openvswitch_firewall",
    "oslo_privsep.daemon",
)
"""What the launcher imports: Neutron's part of its servers and agents. The port chain extension is
not among them, so that a program that starts again runs the present code."""
API_IMPORTS = (
    *("neutron", "neutron.server.api", "neutron.plugins.ml2.plugin", "neutron.pecan_wsgi.app"),
    *("neutron.conf.policies", "kombu.common"),
    *("neutron.services.trunk.plugin", "keystonemiddleware.auth_token", "pymysql"),
)
"""The workers of Neutron's API server each load it themselves (``lazy-apps``), because its plugins
start threads and connections. They share these modules, which do neither."""
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
    # uWSGI closes the connection after each response. The header keeps clients from reusing it;
    # buffering the request keeps the response from being lost with unread request data.
    "--add-header=Connection: close",
    "--post-buffering=1048576",
    "--log-date",
)


def mariadb(lab: layout.Layout, data: Path | None = None) -> Program:
    """The database server.

    :param data: data directory of the server that prepares the databases; the lab's own server
        works on a copy of that.
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
        # Faster: a committed transaction survives a crash of the server, not one of the machine.
        "--innodb-flush-log-at-trx-commit=2",
        "--max-connections=500",
    )
    process = ProcessSpec(name, lab.controller_namespace, argv, lab.log_file(name), stop_wait=15)
    return Program(process, lambda: probes.answers_mysql(socket))


def mariadb_socket(lab: layout.Layout) -> Path:
    """The database server's Unix socket, which is reachable from outside the namespaces."""
    return lab.directory / "mysqld.sock"


def epmd(lab: layout.Layout) -> Program:
    """Erlang's port mapper, which RabbitMQ needs, on the controller's loopback interface."""
    process = ProcessSpec(
        "epmd",
        lab.controller_namespace,
        ("epmd", "-address", "127.0.0.1"),
        lab.log_file("epmd"),
        stop_wait=0,
    )
    return Program(process, lambda: probes.accepts_tcp(lab.controller_namespace, "127.0.0.1", 4369))


def _uwsgi(
    lab: layout.Layout,
    name: str,
    *,
    module: str,
    port: int,
    workers: int,
    env: dict[str, str],
    imports: Iterable[str] = (),
) -> Program:
    """A server that uWSGI runs.

    :param imports: modules to import before uWSGI forks the workers.
    """
    argv = (
        lab.software.command("uwsgi"),
        *UWSGI,
        *(f"--shared-import={one}" for one in (*imports, garbage_collection.__file__)),
        f"--http-socket={layout.CONTROLLER_IP}:{port}",
        f"--processes={workers}",
        f"--module={module}",
        f"--procname-prefix={lab.name}-{name} ",
    )
    env |= {"TMPDIR": str(lab.scratch), "PATH": lab.software.path}
    process = ProcessSpec(name, lab.controller_namespace, argv, lab.log_file(name), env)
    path = "/v3" if name == "keystone" else "/"
    return Program(
        process,
        lambda: probes.answers_http(lab.controller_namespace, layout.CONTROLLER_IP, port, path),
    )


def keystone(lab: layout.Layout) -> Program:
    """Keystone, the identity service."""
    env = {"OS_KEYSTONE_CONFIG_FILES": f"{lab.directory}/keystone.conf"}
    module = "keystone.wsgi.api:application"
    port = layout.KEYSTONE_PORT
    return _uwsgi(lab, "keystone", module=module, port=port, workers=KEYSTONE_WORKERS, env=env)


def neutron_api(lab: layout.Layout) -> Program:
    """Neutron's API server, which loads the port chain plugin."""
    env = {
        "OS_NEUTRON_CONFIG_DIR": str(lab.directory),
        "OS_NEUTRON_CONFIG_FILES": "neutron.conf;ml2_conf.ini",
    }
    module = "neutron.wsgi.api:application"
    plugins = ("portchain.plugin",) if "port_chain" in lab.software.service_plugins else ()
    port = layout.NEUTRON_PORT
    return _uwsgi(
        lab,
        "neutron-api",
        module=module,
        port=port,
        workers=API_WORKERS,
        env=env,
        imports=(*API_IMPORTS, *plugins),
    )


def neutron_launcher(lab: layout.Layout) -> Program:
    """The launcher of Neutron's programs other than its API server."""
    socket = lab.launcher_socket
    argv = (lab.software.command("python"), "-P", launcher.__file__, str(socket), *PRELOADED)
    process = ProcessSpec(
        LAUNCHER,
        lab.controller_namespace,
        argv,
        lab.log_file(LAUNCHER),
        {"PATH": lab.software.path},
        stop_wait=0,
    )
    return Program(process, lambda: probes.launches_programs(socket))


def neutron_process(lab: layout.Layout, name: str, program: str) -> ProcessSpec:
    """One of Neutron's other server programs, with the API server's configuration."""
    argv = (
        lab.software.command(program),
        f"--config-file={lab.directory}/neutron.conf",
        f"--config-file={lab.directory}/ml2_conf.ini",
    )
    return ProcessSpec(
        name,
        lab.controller_namespace,
        argv,
        lab.log_file(name),
        {"PATH": lab.software.path},
        launcher=lab.launcher_socket,
    )


def neutron_rpc_server(lab: layout.Layout) -> Program:
    """Neutron's RPC server, which the agents call."""
    process = neutron_process(lab, "neutron-rpc-server", "neutron-rpc-server")
    return Program(
        process,
        lambda: probes.is_connected(
            lab.controller_namespace, layout.RABBIT_PORT, "neutron-rpc-server"
        ),
    )


def neutron_periodic(lab: layout.Layout) -> Program:
    """Neutron's periodic workers."""
    process = neutron_process(lab, "neutron-periodic", "neutron-periodic-workers")
    # The title of a worker contains that of its parent. Neutron 29 has one worker for all services.
    worker = ("neutron-server: ", "neutron-periodic-workers")
    return Program(process, lambda: probes.has_process(lab.controller_namespace, *worker))


def prometheus(lab: layout.Layout) -> Program:
    """Prometheus, Debian's package."""
    address = (layout.CONTROLLER_IP, layout.PROMETHEUS_PORT)
    argv = (
        "prometheus",
        f"--config.file={lab.directory}/prometheus.yml",
        f"--storage.tsdb.path={lab.directory}/prometheus",
        f"--web.listen-address={address[0]}:{address[1]}",
    )
    process = ProcessSpec("prometheus", lab.controller_namespace, argv, lab.log_file("prometheus"))
    return Program(
        process, lambda: probes.answers_http(lab.controller_namespace, *address, "/-/ready")
    )


def chain_controller(lab: layout.Layout) -> Program:
    """portchain-controller, which programs the switches of the driver ``openflow``."""
    argv = (
        lab.software.command("portchain-controller"),
        f"--config-file={lab.directory}/controller.conf",
    )
    name = "portchain-controller"
    process = ProcessSpec(
        name, lab.controller_namespace, argv, lab.log_file(name), {"PATH": lab.software.path}
    )
    return Program(process, lambda: "Programming the switches" in log_since_start(process.log))
