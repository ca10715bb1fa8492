"""``python -m bench.scale.controller``: what a controller costs that programs many hosts.

The real program ``portchain-controller`` programs real switches, over TCP, and gets its plans over
a real RabbitMQ. Only Neutron's server is missing: plans are made up. All of it runs in a network
namespace of its own, which takes root.
"""

import argparse
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import neutron  # noqa: F401  # first: it chooses the threading backend of oslo.service
import oslo_messaging
from neutron_lib import context as n_context
from neutron_lib import rpc as n_rpc
from portchain_lab.hosts import netns

from bench.cpu import spent
from bench.scale.plans import HERE, Cloud
from bench.scale.rows import Row, rows_of, text_table
from bench.scale.switches import running
from portchain.controller.main import read_configuration
from portchain.rpc import contract
from portchain.rpc.contract import PlanUpdate

SIZES = (10, 50, 200)
CHAINS = 10
"""Chains of each host, of which each has two groups."""
REST_SECONDS = 60.0
_DEADLINE = 240.0
_MOMENT = 20.0
_BROKER_PORT = 5672
_MARK = "RESULT "
_CONFIG = """
[DEFAULT]
transport_url = rabbit://guest:guest@127.0.0.1:5672/
rpc_response_timeout = 60
[oslo_messaging_rabbit]
rabbit_qos_prefetch_count = 1
[securitygroup]
firewall_driver = noop
[port_chain]
openflow_hosts = {hosts}
"""


def measure(sizes: Sequence[int], rest: float = REST_SECONDS, taken: int = 0) -> list[Row]:
    """Measure a controller with each of these numbers of hosts.

    :param rest: seconds during which nothing happens.
    :param taken: files that the controller has open before it connects to hosts.
    :raises subprocess.CalledProcessError: a measurement failed.
    """
    runs = []
    for size in sizes:
        name = f"benchctl{os.getpid()}"
        netns.create([name])
        try:
            argv = [sys.executable, "-m", "bench.scale.controller", "--one", str(size)]
            argv += ["--rest", str(rest), "--taken", str(taken)]
            command = netns.command(name, argv)
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        finally:
            for pid in netns.pids(name):  # Erlang's name server among them
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            netns.delete([name])
        runs.append(json.loads(done.stdout.rpartition(_MARK)[2]))
    return rows_of(runs)


class Server:
    """Stands in for Neutron's server: each host has the same plans, with a name of its own."""

    target = oslo_messaging.Target(version=contract.VERSION)

    def __init__(self, cloud: Cloud) -> None:
        self.plans = tuple(cloud.plan(number) for number in range(CHAINS))
        self.cloud = cloud
        self._answer = json.dumps(contract.encode_update(PlanUpdate(self.plans)))
        self._applied: dict[str, dict[str, int]] = {}
        self._errors: list[str] = []
        self._news = threading.Condition()

    def sync(self, context: Any, host: str, known: Any) -> Any:
        """Answer a host that asks for its plans."""
        if contract.decode_known(known).revisions:
            return contract.encode_update(PlanUpdate())
        return json.loads(self._answer.replace(f'"{HERE}"', f'"{host}"'))

    def report(self, context: Any, host: str, reports: Any) -> None:
        """Note which chains a host has applied."""
        with self._news:
            for one in contract.decode_reports(reports):
                if one.error or one.missing:
                    self._errors.append(f"{host}: {one}")
                if not one.prepared:
                    self._applied.setdefault(host, {})[one.chain_id] = one.revision
            self._news.notify_all()

    def report_health(self, context: Any, host: str, health: Any) -> None:
        """No function is checked."""

    def report_peers(self, context: Any, host: str, peers: Any) -> None:
        """All hosts are reached."""

    def wait(self, hosts: Sequence[str], revisions: Mapping[str, int]) -> None:
        """Wait until hosts have applied revisions of chains.

        :raises RuntimeError: a host cannot apply a chain, or it takes too long.
        """

        def is_done() -> bool:
            wanted, applied = revisions.items(), self._applied
            return all(wanted <= applied.get(host, {}).items() for host in hosts)

        with self._news:
            done = self._news.wait_for(lambda: self._errors or is_done(), _DEADLINE)
        if self._errors or not done:
            raise RuntimeError("\n".join(self._errors[:5]) or "the hosts take too long")


@contextlib.contextmanager
def _broker(folder: Path) -> Iterator[None]:
    """Have RabbitMQ run."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "RABBITMQ_NODENAME": "bench@localhost",
        "RABBITMQ_CONFIG_FILE": str(folder / "none.conf"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
    }
    argv = ["/usr/lib/rabbitmq/bin/rabbitmq-server"]
    with (folder / "broker.log").open("w") as log:
        process = subprocess.Popen(argv, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(lambda: _listens(_BROKER_PORT), "the broker")
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_for(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _DEADLINE
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} takes too long")
        time.sleep(0.1)


def measure_one(count: int, rest: float, taken: int) -> dict[str, float]:
    """Measure a controller with a number of hosts in this network namespace."""
    cloud = Cloud(hosts=3)
    server = Server(cloud)
    with tempfile.TemporaryDirectory(prefix="ctl") as path, contextlib.ExitStack() as stack:
        folder = Path(path)
        hosts = stack.enter_context(running(folder, count, cloud, server.plans))
        stack.enter_context(_broker(folder))
        config = folder / "controller.conf"
        pairs = ",".join(f"{host}:{place}" for host, place in hosts.items())
        config.write_text(_CONFIG.format(hosts=pairs))
        read_configuration([f"--config-file={config}"])
        rpc = n_rpc.get_server(
            oslo_messaging.Target(topic=contract.SERVER_TOPIC, server="bench"), [server]
        )
        rpc.start()
        stack.callback(rpc.stop)
        return _measure(_controller(stack, config, taken), server, list(hosts), rest)


def _controller(stack: contextlib.ExitStack, config: Path, taken: int) -> int:
    """Start the program; return its process id. It ends with the stack."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * taken), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(taken)]
    program = Path(sys.executable).with_name("portchain-controller")
    argv = [str(program), f"--config-file={config}", f"--log-file={config.with_suffix('.log')}"]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL, pass_fds=files)
    for file in files:
        os.close(file)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process.pid


def _measure(pid: int, server: Server, hosts: Sequence[str], rest: float) -> dict[str, float]:
    began = time.monotonic()
    server.wait(hosts, {plan.id: 1 for plan in server.plans})
    found = {
        "start: until all hosts have all flows (s)": time.monotonic() - began,
        "start: processor time (s)": _used(pid),
    }
    before, began = _used(pid), time.monotonic()
    time.sleep(rest)
    busy = _used(pid) - before
    found |= {
        "at rest: processor time, % of a core": 100 * busy / max(0.001, time.monotonic() - began),
        "threads": len(list(Path(f"/proc/{pid}/task").iterdir())),
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "processes that it keeps": len(_children_that_stay(pid)),
        "memory (MiB)": _memory(pid),
    }
    return found | _measure_changes(server, pid, hosts)


def _measure_changes(server: Server, pid: int, hosts: Sequence[str]) -> dict[str, float]:
    from portchain.rpc.agent import AgentClient  # noqa: PLC0415  # after n_rpc has been set up

    client, found = AgentClient(), dict[str, float]()
    for revision, (which, told) in enumerate((("one host", hosts[:1]), ("all hosts", hosts)), 2):
        plan = server.cloud.plan(0, revision=revision)
        text = json.dumps(contract.encode_update(PlanUpdate((plan,))))
        before, began = _used(pid), time.monotonic()
        for host in told:
            update = contract.decode_update(json.loads(text.replace(f'"{HERE}"', f'"{host}"')))
            client.apply(n_context.get_admin_context(), {host: update})
        server.wait(told, {plan.id: revision})
        found |= {
            f"a chain changes on {which} (s)": time.monotonic() - began,
            f"a chain changes on {which}: processor time (ms)": 1000 * (_used(pid) - before),
        }
    return found


def _used(pid: int) -> float:
    """Return the processor time of a process and of what it started and has ended, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    ended = sum(int(field) for field in fields[13:15]) / os.sysconf("SC_CLK_TCK")
    return spent([pid])[pid] + ended


def _children_that_stay(pid: int) -> set[int]:
    """Return the processes that a process has started and that do not end within a moment."""
    found = _children(pid)
    deadline = time.monotonic() + _MOMENT
    while found and time.monotonic() < deadline:
        time.sleep(0.1)
        found &= _children(pid)
    return found


def _children(pid: int) -> set[int]:
    found = set[int]()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            found |= {int(child) for child in task.read_text().split()}
    return found


def _memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale.controller", description=__doc__)
    parser.add_argument("--hosts", default=",".join(map(str, SIZES)), help="default: %(default)s")
    parser.add_argument(
        "--rest", type=float, default=REST_SECONDS, help="seconds at rest; default: %(default)s"
    )
    parser.add_argument(
        "--taken", type=int, default=0, help="files that the controller has open at its start"
    )
    parser.add_argument("--one", type=int, help="measure in this namespace, print JSON")
    arguments = parser.parse_args()
    if arguments.one:
        print(_MARK + json.dumps(measure_one(arguments.one, arguments.rest, arguments.taken)))
        return
    sizes = [int(size) for size in arguments.hosts.split(",")]
    rows = measure(sizes, arguments.rest, arguments.taken)
    print(text_table("controller: N hosts with ten chains each", sizes, rows))


if __name__ == "__main__":
    main()
