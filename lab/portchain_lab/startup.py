"""The first start of a lab: its files, then its programs in the order that they need each other."""

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import openstack.connection

from portchain_lab import layout, programs
from portchain_lab.cloud import broker, configs, database, heat, horizon, ovn, services
from portchain_lab.cloud.nova import preparation
from portchain_lab.cloud.nova import programs as nova
from portchain_lab.hosts import processes, switch
from portchain_lab.progress import Progress
from portchain_lab.waiting import wait_for

AGENTS_DEADLINE = 240.0
"""Seconds within which Neutron must report every agent alive."""
PARALLEL_STARTS = 16
OVN_CONTROLLER = "ovn-controller"

STARTED_BY_NAME = {
    *("mariadb", "epmd", "rabbitmq", "keystone", "neutron-rpc-server", "neutron-api"),
    services.LAUNCHER,
    horizon.NAME,
    *(heat.API, heat.ENGINE),
    *programs.NOVA_PROGRAMS,
    *("ovn-nb", "ovn-sb", "ovn-northd"),
}
"""The controller's programs to which ``_Starter`` gives an order of their own."""
STARTED_BY_NAME_ON_HOSTS = {*programs.SWITCH_PROGRAMS, *programs.COMPUTE_PROGRAMS}


def write_files(lab: layout.Layout) -> None:
    """Write the configuration files and create the directories of all programs."""
    lab.scratch.mkdir(parents=True, exist_ok=True)
    for directory in ("log", "rabbitmq", "neutron/lock", "ovn", *lab.host_names):
        (lab.directory / directory).mkdir(parents=True, exist_ok=True)
    files = {
        "rabbitmq/rabbitmq.conf": configs.rabbitmq(),
        "rabbitmq/enabled_plugins": "[].\n",
        "keystone.conf": configs.keystone(str(lab.directory)),
        "policy.yaml": "{}\n",
        "prometheus.yml": configs.prometheus(lab),
        "clouds.yaml": configs.clouds(),
        "openrc-demo": configs.openrc("demo"),
        "openrc-admin": configs.openrc("admin"),
    }
    for name, text in files.items():
        (lab.directory / name).write_text(text)
    write_neutron_files(lab)
    write_agent_files(lab)
    if lab.dashboard:
        horizon.write_files(lab)
    broker.write_home(lab)
    # Erlang refuses a cookie that others than its owner can read.
    cookie = lab.directory / "rabbitmq" / ".erlang.cookie"
    cookie.write_text(layout.PASSWORD)
    cookie.chmod(0o400)


def write_neutron_files(lab: layout.Layout) -> None:
    """Write the configuration files of Neutron's servers."""
    (lab.directory / "neutron.conf").write_text(configs.neutron(lab))
    (lab.directory / "ml2_conf.ini").write_text(configs.ml2(lab))
    paste = lab.software.bin + "/../etc/neutron/api-paste.ini"
    shutil.copy(paste, lab.directory / "api-paste.ini")


def write_agent_files(lab: layout.Layout) -> None:
    """Write the configuration files of agents and portchain-controller."""
    (lab.directory / "controller.conf").write_text(configs.controller(lab))
    for host in lab.host_names:
        is_ovn = lab.driver_of(host) == "ovn"
        text = configs.ovn_agent(lab, host) if is_ovn else configs.agent(lab, host)
        (lab.host_directory(host) / "agent.conf").write_text(text)
        if lab.routers:
            (lab.host_directory(host) / "l3.conf").write_text(configs.l3_agent(lab, host))


def start_all(
    lab: layout.Layout,
    registry: processes.ProcessRegistry,
    start: Callable[[str], None],
    connect: Callable[[], openstack.connection.Connection],
    report: Progress,
) -> None:
    """Start every program and wait until the lab is usable.

    :param start: starts a program by name and waits until it is ready.
    :param connect: makes an administrator's SDK connection.
    :param report: receives a line once a program is ready.
    """
    starter = _Starter(lab, registry, start, report)
    starter.start_programs()
    network = connect().network

    def agents_are_alive() -> bool:
        alive = {agent.host for agent in network.agents() if agent.is_alive}
        return alive >= set(lab.host_names)

    wait_for(agents_are_alive, AGENTS_DEADLINE, "every agent to be alive in Neutron", interval=0.3)
    starter.report_ready("Neutron reports every agent alive")


class _Starter:
    """Starts programs in parallel, each as soon as the programs it cannot do without are ready.

    ::

        mariadb ----------> keystone, neutron-api
        epmd -> rabbitmq -> neutron-rpc-server and all others of the controller (with mariadb and
                            neutron-launcher)
                neutron-rpc-server -> agent (with the host's switch)
                ovn-controller, which registers the host -> agent of a host of OVN
        ovn-nb, ovn-sb, ovn-northd -> everything but switches, MariaDB and RabbitMQ
    """

    def __init__(
        self,
        lab: layout.Layout,
        registry: processes.ProcessRegistry,
        start: Callable[[str], None],
        report: Progress,
    ) -> None:
        self._lab = lab
        self._registry = registry
        self._start = start
        self._report = report
        self._began = time.monotonic()

    def report_ready(self, what: str) -> None:
        """Report a step with the time since the beginning."""
        self._report(f"{what} ({time.monotonic() - self._began:.1f} s)")

    def start_programs(self) -> None:
        """Start every program and wait until all are ready.

        :raises LabError: a program does not start.
        """
        lab = self._lab
        # Jobs run in the order of submission, so none waits for one that cannot begin.
        with ThreadPoolExecutor(max_workers=PARALLEL_STARTS) as pool:
            mariadb = pool.submit(self._start_database)
            rabbitmq = pool.submit(self._start_in_turn, "epmd", "rabbitmq")
            launcher = pool.submit(self._start_in_turn, services.LAUNCHER)
            switches = {host: pool.submit(self._start_switch, host) for host in lab.host_names}
            central_ovn = [pool.submit(self._start_ovn)] if lab.has_ovn else []
            jobs = [mariadb, rabbitmq, launcher, *switches.values(), *central_ovn]

            def start_after(name: str, *needed: Future[None]) -> Future[None]:
                after = [*needed, *central_ovn]
                jobs.append(pool.submit(self._start_in_turn, name, after=after))
                return jobs[-1]

            # An agent repeats a failed call only after a timeout, which grows each time: on a busy
            # machine that takes a minute. So its server is ready first.
            rpc_server = start_after("neutron-rpc-server", mariadb, rabbitmq, launcher)
            start_after("neutron-api", mariadb)
            for host in lab.host_names:
                needed = [rpc_server, switches[host]]
                for program in programs.on_host(lab, host):
                    if program == OVN_CONTROLLER:
                        needed.append(
                            pool.submit(self._start_chassis, host, switches[host], *central_ovn)
                        )
                        jobs.append(needed[-1])
                    elif program not in STARTED_BY_NAME_ON_HOSTS:
                        start_after(f"{program}@{host}", *needed)
            keystone = start_after("keystone", mariadb)
            jobs += self._start_on_demand(pool, switches, keystone, rabbitmq)
            for name in programs.central(lab):
                if name not in STARTED_BY_NAME:
                    start_after(name, mariadb, rabbitmq, launcher, *switches.values())
            finish(jobs)

    def _start_in_turn(self, *names: str, after: Sequence[Future[None]] = ()) -> None:
        """Start programs one after the other, once the jobs they need are complete."""
        finish(after)
        for name in names:
            self._start(name)
            self.report_ready(name)

    def _start_database(self) -> None:
        database.install(self._lab, self._registry, self._report)
        self._start_in_turn("mariadb")

    def _start_horizon(self) -> None:
        horizon.install(self._report)
        self._start_in_turn(horizon.NAME)

    def _start_heat(self, *needed: Future[None]) -> None:
        finish(needed)
        heat.prepare(self._lab, self._report)
        self._start_in_turn(heat.ENGINE, heat.API)

    def _start_on_demand(
        self,
        pool: Executor,
        switches: Mapping[str, Future[None]],
        keystone: Future[None],
        rabbitmq: Future[None],
    ) -> list[Future[None]]:
        """Submit the jobs of what only some labs have.

        :param switches: the job that starts each host's switch.
        """
        lab, jobs = self._lab, []
        if lab.dashboard:
            jobs.append(pool.submit(self._start_horizon))
        if lab.heat:
            jobs.append(pool.submit(self._start_heat, keystone, rabbitmq))
        if lab.nova:
            jobs += self._start_nova(pool, switches, keystone, rabbitmq)
        return jobs

    def _start_nova(
        self, pool: Executor, switches: Mapping[str, Future[None]], *needed: Future[None]
    ) -> list[Future[None]]:
        """Submit the jobs of the compute service: servers, hosts, and what needs both.

        :param switches: the job that starts each host's switch.
        """
        prepared = pool.submit(self._prepare_nova, *needed)
        images = pool.submit(self._start_in_turn, nova.GLANCE, after=[prepared])
        # Nova's servers end without Placement, and hosts without a conductor.
        placement = pool.submit(self._start_in_turn, nova.PLACEMENT, after=[prepared])
        servers = [
            pool.submit(self._start_in_turn, name, after=[placement])
            for name in (nova.CONDUCTOR, nova.SCHEDULER, nova.API)
        ]
        hosts = [
            pool.submit(
                self._start_in_turn,
                *(f"{name}@{host}" for name in programs.COMPUTE_PROGRAMS),
                after=[switch_of_host, *servers],
            )
            for host, switch_of_host in switches.items()
        ]
        finished = pool.submit(self._finish_nova, images, *servers, *hosts)
        return [prepared, images, placement, *servers, *hosts, finished]

    def _prepare_nova(self, *needed: Future[None]) -> None:
        finish(needed)
        preparation.prepare(self._lab, self.report_ready)

    def _finish_nova(self, *needed: Future[None]) -> None:
        finish(needed)
        preparation.finish(self._lab, self.report_ready)

    def _start_switch(self, host: str) -> None:
        switch.create_database(self._lab, host)
        self._start_in_turn(*(f"{name}@{host}" for name in programs.SWITCH_PROGRAMS))

    def _start_chassis(self, host: str, switch: Future[None], central: Future[None]) -> None:
        self._start_in_turn(f"{OVN_CONTROLLER}@{host}", after=[switch, central])
        # Neutron's agent ends if the host is not registered yet.
        ovn.wait_for_chassis(self._lab, host)

    def _start_ovn(self) -> None:
        ovn.create_databases(self._lab)
        self._start_in_turn("ovn-nb", "ovn-sb", "ovn-northd")


def finish(jobs: Iterable[Future[None]]) -> None:
    """Wait for jobs; raises what the first of them to fail raised."""
    for job in jobs:
        job.result()
