"""Who has carried out what: the hosts' chassis, by the number they show when they have caught up.

A number is counted up when a chain's rows are there, and the host's chassis shows it when it has
seen them. Ports that were moved are taken over anew in that moment, and other hosts have to learn
where they are: a second number, counted up when the first is shown, says that they have. Neutron
hears of it as well and writes the ports' rows twice more, each time for a moment as if they had not
been moved: until it has, the chain is not confirmed. What is
known is kept in memory alone: a process that starts anew counts again.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ovsdbapp.backend.ovs_idl.command import BaseCommand

from portchain.core.model import HostReport, PortChain
from portchain.db import realisation
from portchain.db.realisation import Unconfirmed
from portchain.drivers.ovn.health import Health
from portchain.drivers.ovn.moved import PATIENCE, is_settled
from portchain.drivers.ovn.northbound import REVISION, Database, project_of
from portchain.drivers.ovn.rows import anchor_name, chain_of_probe, check_name, wire_name

_HOST, _PROJECT = "neutron:host_id", "neutron:project_id"
_PORT = "Logical_Switch_Port"
_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class _Asked:
    """The number that confirms, and how often it was counted up for this."""

    number: int
    rounds: int


_NEVER = _Asked(0, 0)


def _key(item: Unconfirmed) -> tuple[str, str, int]:
    return item.host, item.chain_id, item.revision


class CountUp(BaseCommand):
    """Have every chassis say when it has caught up with what is in the database now.

    The result is the number that they will show.
    """

    def run_idl(self, txn: Any) -> None:
        """Called by ovsdbapp, within its transaction."""
        (row,) = self.api.rows("NB_Global")
        row.verify("nb_cfg")
        row.nb_cfg = row.nb_cfg + 1
        self.result = row.nb_cfg


class Confirmation:
    """Asks the chassis and notes their answers."""

    def __init__(self, northbound: Database, southbound: Database, health: Health) -> None:
        self._northbound = northbound
        self._southbound = southbound
        self._health = health
        self._since: dict[tuple[str, str, int], float] = {}
        self._asked: dict[tuple[str, str, int], _Asked] = {}

    def run(self, context: Any) -> None:
        """Look once; nothing but one query of ours while all is confirmed.

        :raises Unreachable: a database does not answer.
        """
        self._northbound.connect()
        self._southbound.connect()
        shown = self._shown()
        waiting = [
            item
            for item in realisation.unconfirmed(context, shown)
            if self._written(item.chain_id) >= item.revision
        ]
        keys = {_key(item): item for item in waiting}
        now = time.monotonic()
        self._since = {key: self._since.get(key, now) for key in keys}
        self._asked = {key: asked for key, asked in self._asked.items() if key in keys}
        shown_all = [key for key in keys if shown[key[0]] >= self._asked.get(key, _NEVER).number]
        rounds = {key: self._asked.get(key, _NEVER).rounds for key in shown_all}
        self._confirm(context, (keys[key] for key in shown_all if rounds[key] == _ROUNDS))
        again = [key for key in shown_all if rounds[key] < _ROUNDS]
        if again:
            number = self._northbound.run(CountUp(self._northbound))
            self._asked.update({key: _Asked(number, rounds[key] + 1) for key in again})

    def _shown(self) -> dict[str, int]:
        """The number each host's chassis shows."""
        numbers = {row.name: row.nb_cfg for row in self._southbound.rows("Chassis_Private")}
        return {row.hostname: numbers.get(row.name, 0) for row in self._southbound.rows("Chassis")}

    def _written(self, chain_id: str) -> int:
        """The revision of a chain in the Northbound database; -1 if it has no rows."""
        anchor = self._northbound.named("Port_Group", anchor_name(chain_id))
        return -1 if anchor is None else int(anchor.external_ids.get(REVISION, -1))

    def _confirm(self, context: Any, done: Iterable[Unconfirmed]) -> None:
        reports = defaultdict(list)
        for item in done:
            missing = self._missing(item)
            if missing != item.missing or not missing:
                reports[item.host].append(HostReport(item.chain_id, item.revision, missing=missing))
        for host, its in reports.items():
            realisation.record_reports(context, host, its)

    def review(self, context: Any, chain: PortChain) -> None:
        """Note what hosts that have confirmed a chain wait for again; they are looked at from then on."""
        for host in realisation.hosts_of(context, [chain.id]).get(chain.id, ()):
            missing = self._missing(Unconfirmed(host, chain.id, chain.revision, ""))
            if missing:
                report = HostReport(chain.id, chain.revision, missing=missing)
                realisation.record_reports(context, host, [report])

    def _missing(self, item: Unconfirmed) -> str:
        """What the chain's part on the host lacks, such as ports that are not plugged in; empty if nothing."""
        anchor = self._northbound.named("Port_Group", anchor_name(item.chain_id))
        switches = self._northbound.named_from("Logical_Switch", wire_name(item.chain_id))
        found = [port for row in switches for port in row.ports]
        # A child is in place with its parent; what checks functions says nothing of where packets go.
        found += [
            self._northbound.named(_PORT, name)
            for one in found
            if not chain_of_probe(one.name)
            for name in one.parent_name
        ]
        found += anchor.ports if anchor is not None else ()
        ports = {port.uuid: port for port in found if port is not None}
        here = [port for port in ports.values() if port.external_ids.get(_HOST) == item.host]
        owner = project_of(self._northbound, item.chain_id)
        down = _named([port for port in here if port.up != [True]], owner)
        if down:
            return f"{down} to be plugged in"
        silent = _named([port for port in here if self._is_silent(item.chain_id, port)], owner)
        if silent:
            return f"the function behind {silent} to pass its health check"
        moving = _named([port for port in here if not is_settled(port)], owner)
        now = time.monotonic()
        # Packets do not depend on it.
        patient = now - self._since.get(_key(item), now) < PATIENCE
        return f"Neutron to note where {moving} is" if moving and patient else ""

    def _is_silent(self, chain_id: str, port: Any) -> bool:
        """Whether a port is the egress of a function that is checked and not known to pass."""
        check = self._northbound.named("Network_Function", check_name(chain_id, port.name))
        return check is not None and not self._health.is_online(chain_id, port.name)


def _named(ports: Sequence[Any], owner: str) -> str:
    """Ports for the owner of their chain, who must not hear of those that are another project's; empty if there are none."""
    own = [port for port in ports if port.external_ids.get(_PROJECT) == owner]
    names = sorted(port.external_ids.get("neutron:port_name") or port.name for port in own)
    texts = [f"port {', '.join(names)}"] if names else []
    if len(own) < len(ports):
        texts.append("a port of another project")
    return " and ".join(texts)
