"""What a project sees of the way of a packet: nothing of other projects but that they exist."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.plugins.ml2 import models as ml2
from neutron_lib import constants

from portchain.core.mismatches import Header, mismatches
from portchain.dataplane.tracing.journey import Journey
from portchain.dataplane.tracing.reasons import NO_CLASSIFIER
from portchain.dataplane.tracing.steps import Decision, Step
from portchain.db import convert, models, status

_MOST_CLASSIFIERS = 200
_MOST_NAMED = 3
_OTHERS = {
    Decision.SELECTED: "a function of a group of another project",
    Decision.DELIVERED: "a function of a group of another project, or a port of another project",
    Decision.RETURNED: "a function of another project has returned it",
    Decision.COPIED: "a tap of another project",
    Decision.DROPPED: "it is dropped where another project's ports are",
    Decision.LOST: "it cannot be followed where another project's ports are",
}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who is to see a trace.

    :param project_id: None for administrators, who see everything.
    :param sees_hosts: whether a policy lets the viewer see hosts.
    """

    project_id: str | None
    sees_hosts: bool = True


@dataclass(slots=True)
class _Chained:
    """A classifier of a chain, with what is said of the chain."""

    chain_id: str
    chain: str
    symmetric: bool
    state: str
    classifier: Any = field(repr=False)

    def problems(self, header: Header) -> list[str]:
        """Return what of a packet the classifier does not match; of replies, too."""
        found = mismatches(self.classifier, header)
        if found and self.symmetric and not mismatches(self.classifier, header.of_request):
            return []
        return found

    def __str__(self) -> str:
        return f"flow classifier {self.classifier.name or self.classifier.id} of {self.chain}"


def show_steps(
    session: Any, journey: Journey, header: Header, viewer: Viewer
) -> list[dict[str, Any]]:
    """Return the steps of a packet as the API shows them.

    :param header: of the packet as its port sends it.
    """
    steps = [step for _, step in journey.steps]
    visible = _visible(session, steps, viewer)
    hosts = _visible_hosts(journey, visible, _own_homes(session, header, viewer))
    chained = _chained(session, header.port_id, viewer)
    shown = []
    for host, step in journey.steps:
        is_own = viewer.project_id is None or host in hosts
        shown.append(
            _shown(step, visible, chained, header, is_own=is_own)
            | {"host": host if is_own and viewer.sees_hosts else ""}
        )
        to = step.peer if viewer.sees_hosts and is_own else ""
        shown[-1]["to"] = to
    return shown


def _shown(
    step: Step, visible: Collection[str], chained: Iterable[_Chained], header: Header,
    *, is_own: bool,
) -> dict[str, Any]:  # fmt: skip
    ids = [one for one in (step.chain_id, step.pair_id, step.port_id) if one]
    concerns_others = any(one not in visible for one in ids)
    in_own_chain = step.chain_id in visible
    reason = step.reason
    if concerns_others or not (is_own or in_own_chain):
        reason = _OTHERS.get(step.decision, "" if concerns_others else reason)
    classifier = ""
    if step.decision is Decision.CLASSIFIED:
        classifier, reason = _classified(step, chained, header)
    elif step.decision is Decision.NOT_CLASSIFIED and reason == NO_CLASSIFIER:
        reason = _join(reason, *_near_misses(chained, header))
    return {
        "decision": str(step.decision),
        "reason": reason,
        "bridge": step.bridge if is_own else "",
        "table": step.table if is_own else None,
        "path": ("reverse" if step.reverse else "forward") if step.chain_id else "",
        "hop": step.hop if not step.chain_id or in_own_chain else None,
        "port_chain_id": _if_visible(step.chain_id, visible),
        "flow_classifier_id": classifier,
        "port_pair_id": _if_visible(step.pair_id, visible),
        "port_id": _if_visible(step.port_id, visible),
        "seen": "",
    }


def _if_visible(one: str, visible: Collection[str]) -> str:
    return one if one in visible else ""


def _join(*texts: str) -> str:
    return "; ".join(filter(None, texts))


def _classified(step: Step, chained: Iterable[_Chained], header: Header) -> tuple[str, str]:
    """Return the classifier that has taken a packet into a chain, and a sentence about it."""
    for one in chained:
        if one.chain_id == step.chain_id and not one.problems(header):
            return one.classifier.id, f"{one} matches it"
    return "", "a flow classifier of the chain matches it"


def _near_misses(chained: Iterable[_Chained], header: Header) -> list[str]:
    """Return what keeps a packet out of chains, of those that lack least first."""
    found = sorted(((one.problems(header), one) for one in chained), key=lambda each: len(each[0]))
    texts = []
    for problems, one in found[:_MOST_NAMED]:
        if problems:
            texts.append(f"{one} does not match it: {', '.join(problems)}")
        else:
            texts.append(f"{one} matches it, but the host has no flow for that: {one.state}")
    return texts


def _visible(session: Any, steps: Iterable[Step], viewer: Viewer) -> set[str]:
    """Return the ids in steps of which the viewer may see the resource."""
    named = [
        (models.PortChain, {step.chain_id for step in steps if step.chain_id}),
        (models.PortPair, {step.pair_id for step in steps if step.pair_id}),
        (models_v2.Port, {step.port_id for step in steps if step.port_id}),
    ]
    if viewer.project_id is None:
        return set().union(*(ids for _, ids in named))
    found: set[str] = set()
    for table, ids in named:
        if ids:
            own = table.project_id == viewer.project_id
            found |= set(session.scalars(sa.select(table.id).where(table.id.in_(ids), own)))
    return found


def _visible_hosts(
    journey: Journey, visible: Collection[str], own_homes: Collection[str]
) -> set[str]:
    """Return the hosts with a port of the viewer: the ends', and those that steps name.

    :param own_homes: the hosts of those ends that are the viewer's.
    """
    first = {host for host, _ in journey.steps[:1]}.union(own_homes)
    named = {
        host
        for host, step in journey.steps
        if step.port_id in visible or (step.pair_id and step.pair_id in visible)
        if step.decision in (Decision.DELIVERED, Decision.RETURNED)
    }
    return first | named


def _own_homes(session: Any, header: Header, viewer: Viewer) -> set[str]:
    """Return the hosts of the packet's ends that are the viewer's ports."""
    port, binding = models_v2.Port, ml2.PortBinding
    ends = (header.port_id, header.destination_port_id)
    query = (
        sa.select(binding.host)
        .join(port, port.id == binding.port_id)
        .where(port.id.in_(ends), binding.status == constants.ACTIVE)
    )
    if viewer.project_id is not None:
        query = query.where(port.project_id == viewer.project_id)
    return set(session.scalars(query))


def _chained(session: Any, port_id: str, viewer: Viewer) -> list[_Chained]:
    """Return the classifiers that might take what a port sends, as far as the viewer sees them."""
    table, link, chain = models.FlowClassifier, models.ChainClassifier, models.PortChain
    project = viewer.project_id
    if project is None:
        owner = sa.select(models_v2.Port.project_id).where(models_v2.Port.id == port_id)
        project = session.scalar(owner)
    query = (
        sa.select(table, chain)
        .join(link, link.classifier_id == table.id)
        .join(chain, chain.id == link.chain_id)
        .where(chain.project_id == project)
        .order_by(table.id)
        .limit(_MOST_CLASSIFIERS)
    )
    found = []
    for row, of_chain in session.execute(query):
        state, reason = status.derive(status.facts(of_chain))
        if of_chain.has_foreign_parts and viewer.project_id is not None:
            reason = status.reason_without_hosts(of_chain)
        found.append(
            _Chained(
                of_chain.id,
                f"port chain {of_chain.name or of_chain.id}",
                of_chain.symmetric,
                f"the chain is {state}{f' ({reason})' if reason else ''}",
                convert.classifier(row),
            )
        )
    return found
