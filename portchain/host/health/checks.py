"""What a host checks: its functions, and the hosts that it sends packets to. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol

from portchain.core.model import HealthCheck, HealthCheckParameters, PairHealth, PeerHealth
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.plan import ChainPlan, Probe
from portchain.host.health.frames import FunctionForm, PeerForm

_NO_TIMES = HealthCheckParameters()
_PEER_TIMES = HealthCheckParameters(delay=0.5, timeout=0.4, max_retries=2, max_retries_down=3)
"""A host that is switched off counts as unreachable within two seconds."""


class Form(Protocol):
    """The form of probes and answers; see ``frames``."""

    def build(self, number: int, secret: bytes) -> bytes:
        """Return the frame of a probe."""

    def number_of(self, frame: bytes, secret: bytes) -> int | None:
        """Return the number of the probe that a frame answers; None if it answers none."""

    def resolve(self, frame: bytes) -> bytes | None:
        """Return the answer to a question about the probes' destination; None if it asks none."""


class Check(NamedTuple):
    """Something to check, and where at the moment.

    :param name: of what is checked: id of a pair, or address of a host.
    :param enters_at: OpenFlow port at which probes go out.
    :param returns_at: OpenFlow port at which answers come in.
    :param hosts: that take part in the chains of a function.
    """

    name: str
    form: Form
    times: HealthCheckParameters
    enters_at: int
    returns_at: int
    hosts: frozenset[str] = frozenset()

    def is_same_as(self, other: "Check") -> bool:
        """Tell whether what is known from one check holds for another."""
        return self == other._replace(times=self.times, hosts=self.hosts)


class Finding(NamedTuple):
    """What a check has found out.

    :param failures: how many probes in a row have to fail.
    """

    name: str
    is_up: bool
    failures: int


class ChecksOfChains:
    """What the chains of a host want to have checked.

    A change of a chain that concerns no check costs nothing more.
    """

    def __init__(self) -> None:
        self._plans: dict[str, ChainPlan] = {}  # those with something to check
        self._is_changed = False
        self._local: LocalSwitch | None = None  # that the last checks were for

    def set(self, chain_id: str, plan: ChainPlan | None) -> None:
        """Note a chain's plan; None if it has gone."""
        before = self._plans.pop(chain_id, None)
        if plan is not None and (plan.probes or plan.watched):
            self._plans[chain_id] = plan
        self._is_changed |= _wanted(before) != _wanted(plan)

    def take_changed(self, local: LocalSwitch) -> tuple[list[Check], list[Check]] | None:
        """Return the checks of functions and of hosts; None if none has changed since."""
        is_moved = bool(self._plans) and local is not self._local
        if not self._is_changed and not is_moved:
            return None
        self._is_changed, self._local = False, local
        # Of chains that share a function, always the same one says how it is checked: with another
        # destination, what is known of the function would be forgotten.
        plans = [self._plans[chain_id] for chain_id in sorted(self._plans)]
        hosts = _hosts_by_pair(plans)
        return (
            [
                check._replace(hosts=hosts[check.name])
                for check in checks_of_functions((plan.probes for plan in plans), local)
            ],
            checks_of_peers((plan.watched for plan in plans), local),
        )


def _wanted(plan: ChainPlan | None) -> tuple[object, ...]:
    if plan is None or not (plan.probes or plan.watched):
        return ()
    return (*plan.probes, *plan.watched, plan.hosts)


def _hosts_by_pair(plans: Iterable[ChainPlan]) -> Mapping[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for plan in plans:
        for probe in plan.probes:
            found[probe.pair_id] = found.get(probe.pair_id, frozenset()) | plan.hosts
    return found


def checks_of_functions(probes: Iterable[Iterable[Probe]], local: LocalSwitch) -> list[Check]:
    """Return the checks of the functions that are plugged in on a host.

    :param probes: of each chain. Chains that share a function mean the same one by a pair's id.
    """
    wanted = {probe.pair_id: probe for each in probes for probe in each if probe.host == local.host}
    checks = []
    for probe in wanted.values():
        ingress, egress = map(local.ports.get, (probe.ingress_port, probe.egress_port))
        if ingress and egress:
            back = ingress if probe.check is HealthCheck.PING else egress
            form = FunctionForm(replace(probe, parameters=_NO_TIMES))
            times = probe.parameters
            checks.append(Check(probe.pair_id, form, times, ingress.ofport, back.ofport))
    return checks


def checks_of_peers(addresses: Iterable[Iterable[str]], local: LocalSwitch) -> list[Check]:
    """Return the checks of other hosts to which a host has tunnels.

    :param addresses: of the tunnel endpoints, for each chain.
    """
    tunnels = {
        address: local.tunnels[address]
        for each in addresses
        for address in each
        if address in local.tunnels
    }
    return [
        Check(address, PeerForm(), _PEER_TIMES, port, port) for address, port in tunnels.items()
    ]


def reason(found: Finding) -> str:
    """Return why something counts as failed; nothing if it has not."""
    return "" if found.is_up else f"it has not answered {found.failures} probes in a row"


def health_of_pair(found: Finding) -> PairHealth:
    """Return what a host reports of a function."""
    return PairHealth(found.name, found.is_up, reason(found))


def health_of_peer(found: Finding) -> PeerHealth:
    """Return what a host reports of another one."""
    return PeerHealth(found.name, found.is_up)
