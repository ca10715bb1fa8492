"""What an agent costs that has many chains on its host: ``python -m bench.scale.agent``.

The real reconciler works on a switch in memory (``switch``). Each size runs in a process of its
own, so that memory is comparable.
"""

import argparse
import cProfile
import gc
import itertools
import json
import multiprocessing
import pstats
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.scale.plans import HERE, Cloud, ident
from bench.scale.rows import Row, rows_of, text_table
from bench.scale.switch import SwitchInMemory
from portchain.dataplane.host_switch import LocalPort
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.transition import TransitionTimeouts
from portchain.host.priority_lock import PriorityLock
from portchain.host.reconciler import Reconciler
from portchain.rpc import contract
from portchain.rpc.contract import PlanUpdate

SIZES = (100, 1_000, 10_000)
SHARED = 20
"""Number of functions, where chains share them."""
_PORTS_AT_START = 200
_REPEAT = 5
_MARK = "RESULT "


def measure(chains: Sequence[int], *, functions: int = 0) -> list[Row]:
    """Measure an agent with each of these numbers of chains.

    :param functions: as in ``plans.Cloud``.
    :raises subprocess.CalledProcessError: a measurement failed.
    """
    runs = []
    for number in chains:
        argv = [sys.executable, "-m", "bench.scale.agent", "--one", str(number)]
        argv += ["--functions", str(functions)]
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
        runs.append(json.loads(done.stdout.rpartition(_MARK)[2]))
    return rows_of(runs)


class Meter:
    """Collects figures.

    :param profile: name of the figure to profile.
    """

    def __init__(self, profile: str = "") -> None:
        self.figures: dict[str, float] = {}
        self._profile = profile

    def note(self, name: str, value: float) -> None:
        """Note a figure."""
        self.figures[name] = round(value, 5)

    @contextmanager
    def processor_time(self, name: str) -> Iterator[None]:
        """Note the processor time of a block, in seconds."""
        gc.collect()
        profile = cProfile.Profile() if self._profile and self._profile in name else None
        before = time.process_time()
        if profile:
            profile.enable()
        yield
        if profile:
            profile.disable()
            pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(40)
        self.note(f"{name} (s)", time.process_time() - before)

    def least(self, name: str, act: Callable[[int], object]) -> None:
        """Note the least processor time of several runs, in milliseconds: noise only adds."""
        used = []
        gc.collect()
        for number in range(_REPEAT):
            before = time.process_time()
            act(number)
            used.append(time.process_time() - before)
        self.note(f"{name} (ms)", min(used) * 1000)


class TimedLock(PriorityLock):
    """Notes for how long the lock was held at most, in seconds of processor time."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0
        self._depth, self._since = 0, 0.0

    @contextmanager
    def urgently(self) -> Iterator[None]:
        with super().urgently(), self._timed():
            yield

    @contextmanager
    def for_a_slice(self) -> Iterator[None]:
        with super().for_a_slice(), self._timed():
            yield

    def __enter__(self) -> None:
        super().__enter__()
        self._begin()

    def __exit__(self, *exc_info: object) -> None:
        self._end()
        super().__exit__(*exc_info)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        self._begin()
        try:
            yield
        finally:
            self._end()

    def _begin(self) -> None:
        if not self._depth:
            self._since = time.process_time()
        self._depth += 1

    def _end(self) -> None:
        self._depth -= 1
        if not self._depth:
            self.longest = max(self.longest, time.process_time() - self._since)


class Agent:
    """A reconciler with a clock that stands still, and a lock that is timed."""

    def __init__(self, switch: SwitchInMemory) -> None:
        self.now = 0.0
        self.reports = 0
        self.reconciler = Reconciler(
            switch, HERE, self._count, TransitionTimeouts(), lambda: self.now
        )
        self.lock = TimedLock()
        self.reconciler._lock = self.lock

    def _count(self, reports: Sequence[object]) -> None:
        self.reports += len(reports)

    def let_time_pass(self) -> None:
        """Complete all transitions."""
        while (left := self.reconciler.seconds_until_due) is not None:
            self.now += left
            self.reconciler.advance_transitions()


def measure_one(chains: int, functions: int, profile: str = "") -> dict[str, float]:
    """Measure an agent with a number of chains in this process."""
    cloud = Cloud(functions=functions)
    meter = Meter(profile)
    switch = SwitchInMemory(cloud.switch(cloud.plan(number) for number in range(chains)))
    meter.note("ports of the host", len(switch.local.ports))
    message = _encoded(cloud.plan(number) for number in range(chains))
    meter.note("answer to sync (MB)", len(message) / 1e6)
    meter.figures |= _in_process(lambda: _first_sync(message, switch))
    empty = _resident()
    with meter.processor_time("decode the answer to sync"):
        update = contract.decode_update(json.loads(message))
    agent = Agent(switch)
    with meter.processor_time("start with all flows in place"):
        agent.reconciler.synchronise(update)
    meter.note("start: flows touched", switch.changed)
    meter.note("start: longest hold of the lock (s)", agent.lock.longest)
    del update
    gc.collect()
    meter.note("peak of memory above an agent without chains (MiB)", _peak() - empty)
    meter.note("memory above an agent without chains (MiB)", _resident() - empty)
    _measure_comparison(meter, agent, switch)
    _measure_start_of_ports(meter, agent, switch)
    _measure_changes(meter, cloud, agent, chains)
    _measure_port(meter, cloud.plan(0), agent, switch)
    switch.close()
    return meter.figures


def _first_sync(message: str, switch: SwitchInMemory) -> dict[str, float]:
    """Measure the first agent; it leaves all flows in the switch."""
    meter = Meter()
    agent, update = Agent(switch), contract.decode_update(json.loads(message))
    with meter.processor_time("first sync, empty switch"):
        agent.reconciler.synchronise(update)
    meter.note("flows", switch.changed)
    return meter.figures


def _in_process(act: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Run something in a process of its own: it leaves nothing in the memory of this one."""
    context = multiprocessing.get_context("fork")
    queue: Any = context.SimpleQueue()
    process = context.Process(target=lambda: queue.put(act()))
    process.start()
    figures: dict[str, float] = queue.get()
    process.join()
    return figures


def _measure_comparison(meter: Meter, agent: Agent, switch: SwitchInMemory) -> None:
    for which in ("first comparison", "comparison"):
        agent.lock.longest, before = 0.0, switch.dumped
        with meter.processor_time(f"{which}, nothing differs"):
            assert not agent.reconciler.synchronise(PlanUpdate()), "it changed something"
        meter.note(f"{which}: longest hold of the lock (s)", agent.lock.longest)
        meter.note(f"{which}: bridges read", switch.dumped - before)


def _measure_start_of_ports(meter: Meter, agent: Agent, switch: SwitchInMemory) -> None:
    """Neutron's agent tells of every port when it starts."""
    ports = list(itertools.islice(switch.local.ports, _PORTS_AT_START))
    with meter.processor_time(f"start: {len(ports)} ports are handled"):
        for port in ports:
            agent.reconciler.ports_changed([port])


def _measure_changes(meter: Meter, cloud: Cloud, agent: Agent, chains: int) -> None:
    # Even numbers: their sources are here. Beyond those that exist: numbers of new chains.
    new = range(chains + chains % 2, chains + 2 * _REPEAT + 1, 2)
    update = agent.reconciler.update
    meter.least("one new chain", lambda one: update(PlanUpdate((cloud.plan(new[one]),))))
    removed = [(cloud.plan(number).id, 9) for number in new]
    meter.least("one chain deleted", lambda one: update(PlanUpdate(removed=(removed[one],))))
    agent.let_time_pass()
    changed = [cloud.plan(2 * one, revision=2, pairs=1) for one in range(_REPEAT)]

    def prepare(one: int) -> None:
        update(PlanUpdate((changed[one],), prepare=frozenset({changed[one].id})))

    meter.least("one chain gets a pair: prepare", prepare)
    meter.least(
        "one chain gets a pair: switch",
        lambda one: update(PlanUpdate(switch=((changed[one].id, 2),))),
    )
    with meter.processor_time(f"{_REPEAT} chains get a pair: drain"):
        agent.let_time_pass()


def _measure_port(meter: Meter, plan: ChainPlan, agent: Agent, switch: SwitchInMemory) -> None:
    source = plan.paths[0].sources[0].port_id
    of_port = agent.reconciler._chains_of_ports.chains_with([source])
    meter.note("chains of a source's port", len(of_port))
    meter.least("event of that port", lambda _: agent.reconciler.ports_changed([source]))

    def replug(port_id: str, number: int) -> None:
        port = LocalPort(60_000 + number, 1, f"{port_id}/{number}")
        switch.local = replace(switch.local, ports={**switch.local.ports, port_id: port})
        agent.reconciler.ports_changed([port_id])

    meter.least("that port is plugged in again", lambda one: replug(source, one))
    replug(ident("no chain uses this port"), 99)
    with meter.processor_time("comparison after ports of other machines have changed"):
        agent.reconciler.synchronise(PlanUpdate())


def _encoded(plans: Iterator[ChainPlan]) -> str:
    return json.dumps(contract.encode_update(PlanUpdate(tuple(plans))))


def _resident() -> float:
    """Return the memory of this process, in MiB."""
    return _status("VmRSS:")


def _peak() -> float:
    return _status("VmHWM:")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale.agent", description=__doc__)
    parser.add_argument("--chains", default=",".join(map(str, SIZES)))
    parser.add_argument("--functions", type=int, help="only with so many functions; 0: own ones")
    parser.add_argument("--one", type=int, help="measure in this process, print JSON")
    parser.add_argument("--profile", default="", help="with --one: the figure to profile")
    arguments = parser.parse_args()
    if arguments.one:
        figures = measure_one(arguments.one, arguments.functions or 0, arguments.profile)
        print(_MARK + json.dumps(figures))
        return
    sizes = [int(size) for size in arguments.chains.split(",")]
    kinds = {0: "each chain has functions of its own", SHARED: "chains share 20 functions"}
    chosen = [arguments.functions] if arguments.functions is not None else list(kinds)
    for functions in chosen:
        title = kinds.get(functions, f"chains share {functions} functions")
        print(text_table(title, sizes, measure(sizes, functions=functions)), flush=True)


if __name__ == "__main__":
    main()
