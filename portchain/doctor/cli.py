"""The command line of ``portchain-doctor``."""

import argparse
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import neutron  # noqa: F401  # first: it chooses the threading backend of oslo.service
from oslo_config import cfg

from portchain.doctor import output
from portchain.doctor.checks import context_of, drops, judge
from portchain.doctor.findings import COULD_NOT_CHECK, Report
from portchain.doctor.readers import bus, configuration
from portchain.doctor.readers.processes import AgentProcess, find_agents
from portchain.doctor.readers.switch import SwitchReader
from portchain.doctor.snapshot import AgentFacts, HostKind, PlanFacts, Snapshot

_DESCRIPTION = """\
Say what is wrong with the port chains of this host, in plain words: compare plans, flows, ports,
tunnels, MTU and features of the datapath, and look at Open vSwitch and the agent. Nothing is
changed. Run it as root, on a compute host, in the environment of its agent."""
_STATUS = """\
Exit status: 0 if nothing is wrong, 1 if something is, 2 if something could not be checked and
nothing else is wrong. Without --config-file and --config-dir, it reads the files that the running
agent reads or, if none runs, those in /etc/neutron."""
_RUN_FOLDER = "/var/run/openvswitch"
_PAUSE_SECONDS = 2.0


def main() -> None:
    """Run the program, and end it without waiting for threads of libraries."""
    status = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def run(arguments: Sequence[str]) -> int:
    """Check this host, and print the result.

    :returns: the exit status.
    """
    options = _parser().parse_args(arguments)
    logging.getLogger().addHandler(logging.NullHandler())
    if os.geteuid() != 0:
        return _give_up("only root can ask Open vSwitch: run it with sudo")
    agents = find_agents()
    kind = HostKind(options.agent) if options.agent else _kind(agents, options.timeout)
    agents = [one for one in agents if one.kind is kind]
    try:
        known = configuration.read(kind, _config_options(options, kind, agents))
    except cfg.Error as exc:
        return _give_up(
            f"the agent's configuration cannot be read: {exc}. Name its files with --config-file"
        )
    doctor = _Doctor(kind, known, agents, options.timeout)
    try:
        snapshot, report = doctor.check_again_until(options.settle)
    except Exception as exc:  # 1 would say that something is wrong with the host
        return _give_up(f"it has failed itself, please report this: {exc!r}")
    if options.chain:
        report = _about(report, snapshot, options.chain)
    if options.format == "json":
        print(output.as_json(report, snapshot))
    else:
        output.print_table(report, snapshot)
    return report.exit_status


def _about(report: Report, snapshot: Snapshot, chain_ids: Sequence[str]) -> Report:
    """Return what concerns some chains, and which of them the host has no part in."""
    plans = snapshot.known_plans
    unknown = set(chain_ids) - {plan.id for plan in plans or ()}
    report = report.about(chain_ids)
    if plans is None or not unknown:
        return report
    notes = tuple(f"this host has no part in chain {one}" for one in sorted(unknown))
    return replace(report, notes=(*report.notes, *notes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("portchain-doctor", description=_DESCRIPTION, epilog=_STATUS)
    add = parser.add_argument
    add(
        "--config-file",
        action="append",
        default=[],
        metavar="PATH",
        help="configuration file of the agent; may be repeated",
    )
    add(
        "--config-dir",
        action="append",
        default=[],
        metavar="PATH",
        help="folder with such files (*.conf); may be repeated",
    )
    add("-f", "--format", choices=("table", "json"), default="table")
    add(
        "--chain",
        action="append",
        default=[],
        metavar="ID",
        help="show only what concerns this chain, or all chains; may be repeated",
    )
    add(
        "--agent",
        choices=[str(kind) for kind in HostKind],
        help="the host's agent: ovs for neutron-openvswitch-agent, ovn for neutron-ovn-agent or "
        "portchain-ovn-agent (default: the one that runs)",
    )
    add(
        "--timeout",
        type=_seconds,
        default=10,
        metavar="SECONDS",
        help="how long each answer of Open vSwitch, agent and server may take (default: 10)",
    )
    add(
        "--settle",
        type=_seconds,
        default=15,
        metavar="SECONDS",
        help="look again for so long at what the agent may be about to change (default: 15)",
    )
    return parser


def _seconds(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 600:
        raise argparse.ArgumentTypeError("must be from 1 to 600")
    return number


def _give_up(reason: str) -> int:
    print(f"portchain-doctor: {reason}", file=sys.stderr)
    return COULD_NOT_CHECK


def _kind(agents: Sequence[AgentProcess], timeout: int) -> HostKind:
    """Return which agent the host has: the one that runs, or the one that fits Open vSwitch."""
    if agents:
        return agents[0].kind
    argv = [
        "ovs-vsctl",
        f"--timeout={timeout}",
        "--if-exists",
        "get",
        "Open_vSwitch",
        ".",
        "external_ids:ovn-remote",
    ]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired):
        return HostKind.OVS
    return HostKind.OVN if done.returncode == 0 and done.stdout.strip() else HostKind.OVS


def _config_options(
    options: argparse.Namespace, kind: HostKind, agents: Sequence[AgentProcess]
) -> list[str]:
    named = [f"--config-file={path}" for path in options.config_file]
    named += [f"--config-dir={path}" for path in options.config_dir]
    of_agent = [option for agent in agents[:1] for option in agent.config]
    return named or of_agent or configuration.default_files(kind)


class _Doctor:
    """Looks at this host, as often as needed."""

    def __init__(
        self,
        kind: HostKind,
        known: configuration.Configuration,
        agents: Sequence[AgentProcess],
        timeout: int,
    ) -> None:
        self._kind, self._known, self._timeout = kind, known, timeout
        self._processes = {one.pid: one.program for one in agents}
        folder = os.environ.get("OVS_RUNDIR", _RUN_FOLDER)
        self._switch = SwitchReader(kind, known, f"{folder}/db.sock", timeout)
        self._is_connected = False  # to the message broker

    def check_again_until(self, seconds: float) -> tuple[Snapshot, Report]:
        """Check until nothing is found that may pass by itself, or for some seconds.

        What may pass counts if it was there each time: an agent changes flows in several steps.
        """
        snapshot, report = self._check()
        end = time.monotonic() + seconds
        while report.may_pass and snapshot.agent.is_alive and time.monotonic() < end:
            time.sleep(_PAUSE_SECONDS)
            snapshot, again = self._check()
            report = again.without_passed(report)
        return snapshot, report

    def _connect(self) -> str:
        """Connect to the message broker; return why that is not possible."""
        if reason := bus.why_unreachable(self._timeout):
            return reason
        if not self._is_connected:
            try:
                bus.connect()
            except Exception as exc:  # the library raises many types
                return f"the message broker cannot be used: {exc}"
            self._is_connected = True
        return ""

    def _check(self) -> tuple[Snapshot, Report]:
        facts, host = self._switch.read()
        bus_error = self._connect()
        agent, plans = AgentFacts(self._processes, silence=bus_error), PlanFacts(silence=bus_error)
        if not bus_error:
            agent, plans = bus.Bus(self._timeout).ask(host, self._processes)
        snapshot = Snapshot(
            host, self._kind, facts, agent, plans, bus_error, self._known.sync_interval
        )
        context = context_of(snapshot)
        if context.desired is not None:
            counted = replace(facts, counts=self._switch.counts(drops.keys(context.desired)))
            snapshot = replace(snapshot, switch=counted)
            context = replace(context, snapshot=snapshot)
        return snapshot, judge(context)


if __name__ == "__main__":
    main()
