"""The Northbound rows of a chain as values, and how they follow from its plan. Pure.

::

    ChainSnapshot -> rows_of -> ChainRows: what OVN needs for the chain
    guards that exist -> while_changing -> those that it may have until all hosts have the plan
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from portchain.core.model import ChainSnapshot, Port
from portchain.dataplane.gates import gate_mac, gated_ports
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.planning.planner import plan_chain
from portchain.drivers.ovn.match import classified, exceptions

GATES = "pc_gates"
"""Name of the port group of all gates."""

STATELESS_PRIORITY = 32000
PASS_PRIORITY, DROP_PRIORITY = 3000, 2000
FROM_PORT, TO_PORT = "from-lport", "to-lport"
AFTER_CHECKS = {"apply-after-lb": "true"}
"""These ACLs count after those of security groups, and cannot let pass what those drop."""


@dataclass(frozen=True, slots=True)
class Acl:
    """A row of the table ACL."""

    direction: str
    priority: int
    match: str
    action: str
    options: Mapping[str, str] = field(default_factory=dict)


GATE_ACLS = (
    Acl(FROM_PORT, STATELESS_PRIORITY, f"inport == @{GATES}", "allow-stateless"),
    Acl(TO_PORT, STATELESS_PRIORITY, f"outport == @{GATES}", "allow-stateless"),
)
"""A gate sees one direction of a connection, in which conntrack would find invalid packets."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Drops what ports send into a chain if it did not come by their gates.

    :param match: which packets, apart from the ports that send them.
    :param ports: names of the logical ports.
    :param exceptions: which of these packets pass.
    """

    match: str
    ports: frozenset[str]
    exceptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChainRows:
    """What a chain needs in the Northbound database.

    :param gates: id of each port that needs a gate -> id of its network.
    :param guards: name -> guard.
    """

    gates: Mapping[str, str] = field(default_factory=dict)
    guards: Mapping[str, Guard] = field(default_factory=dict)


NOTHING = ChainRows()


class Phase(Enum):
    """How far a change of a chain is."""

    CHANGING = "changing"
    """Hosts may still send by an earlier plan."""

    COMPLETE = "complete"
    """All hosts have confirmed the plan."""

    REMOVED = "removed"
    """The chain is deleted. Hosts may still send by its last plan."""


def anchor_name(chain_id: str) -> str:
    """Return the name of the port group that says which revision of a chain has been written.

    OVN's expressions accept no hyphens in names.
    """
    return f"pc_chain_{_word(chain_id)}"


def guard_prefix(chain_id: str) -> str:
    """Return what the names of all guards of a chain begin with."""
    return f"pc_guard_{_word(chain_id)}_"


def _word(chain_id: str) -> str:
    return chain_id.replace("-", "_")


def switch_name(network_id: str) -> str:
    """Return the name of the logical switch that ML2/OVN makes for a network."""
    return f"neutron-{network_id}"


def rows_of(snapshot: ChainSnapshot) -> ChainRows:
    """Return what a chain needs once all hosts have its plan.

    A function that is not plugged in has its gate already when it comes back.
    """
    ports = {port_id: replace(port, plugged=True) for port_id, port in snapshot.ports.items()}
    return chain_rows(plan_chain(replace(snapshot, ports=ports), {}).plan, ports)


def chain_rows(plan: ChainPlan, ports: Mapping[str, Port]) -> ChainRows:
    """Return what a plan needs.

    :param ports: id -> port, of all in the plan.
    """
    found = sorted(gated_ports(plan) & ports.keys())
    senders: defaultdict[tuple[str, tuple[str, ...]], set[str]] = defaultdict(set)
    for path in plan.paths:
        for source in path.sources:
            classifier = path.classifiers[source.classifier]
            passed = tuple(exceptions(classifier, source.forwarded))
            senders[classified(classifier), passed].add(source.port_id)
    return ChainRows(
        {port_id: ports[port_id].network_id for port_id in found},
        {
            _guard_name(plan.id, match, passed): Guard(match, frozenset(ids), passed)
            for (match, passed), ids in sorted(senders.items())
        },
    )


def _guard_name(chain_id: str, match: str, passed: Iterable[str]) -> str:
    """Return a name that says what a guard matches: a change of it is another guard."""
    text = "\n".join((match, *passed))
    return guard_prefix(chain_id) + hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def gate_addresses(guard: Guard) -> list[str]:
    """Return the MAC addresses of the gates by which a guard's ports may send.

    They are a row of their own, an address set with the guard's name: ovn-controller adds and
    removes single addresses, but would delete all flows of an ACL whose match changes.
    """
    return sorted(map(gate_mac, guard.ports))


def guard_acls(name: str, guard: Guard) -> tuple[Acl, ...]:
    """Return the ACLs of a guard's port group.

    :param name: of the port group, and of the address set.

    Two priorities, because OVN would make a flow for each bit of an address that must differ.
    """
    sent = f"inport == @{name}"
    passing = (f"eth.dst == ${name}", *guard.exceptions)
    return (
        *(
            Acl(FROM_PORT, PASS_PRIORITY, f"{sent} && {match}", "allow", AFTER_CHECKS)
            for match in passing
        ),
        Acl(FROM_PORT, DROP_PRIORITY, f"{sent} && {guard.match}", "drop", AFTER_CHECKS),
    )


def while_changing(
    present: Mapping[str, Guard], wanted: Mapping[str, Guard]
) -> Mapping[str, Guard]:
    """Return the guards that a chain may have until all hosts have its plan: those of both plans.

    What no longer enters the chain must not be dropped, and hosts that do not have the plan yet let
    pass what will enter it.

    :param present: name -> guard, of all that exist.
    """
    return {
        name: replace(wanted[name], ports=guard.ports & wanted[name].ports)
        for name, guard in present.items()
        if name in wanted
    }
