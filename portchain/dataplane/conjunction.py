"""Conjunctions: flows for a match with wide port ranges (docs/decisions/0051).

A port range becomes up to 30 masked values. As separate flows, two ranges and the sources of a
chain would multiply. Open vSwitch can instead match a *conjunction*: a packet that matches one
flow of each clause, all of one priority, matches the flow for the conjunction's number
(``conj_id``). Then ranges and sources add up.

The first clause of our conjunctions has a flow for each source, and the others one for each value
of a range. The number is a digest of what the conjunction matches and does, so every host and
every start of an agent computes the same.

Flows of different clauses can have the same match, even if they belong to different chains: the
switch needs them as one flow with several actions. Until ``merge`` they stay apart, by
``FlowKey.clause``: so a chain can add and give up its own.
"""

import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from portchain.core.boxes import Interval
from portchain.core.counters import Counter
from portchain.dataplane.flow import DROP, Clause, Flow, FlowKey, SwitchEntry
from portchain.dataplane.flow_builder import build_flow
from portchain.dataplane.match import HeaderMatch, field_intervals, matches_overlap, port_ranges
from portchain.dataplane.pipeline import REG_CLAUSE

MOST_MULTIPLIED = 4
"""Up to this number of combinations of port values get a flow each: a conjunction would hardly
save flows, and costs the switch a second look."""

_NUMBER = "conj_id="
_CLAUSE_WORD = f"{REG_CLAUSE}=0"


def build_flows(
    table_name: str,
    priority: int,
    match: HeaderMatch,
    *actions: str,
    sources: Collection[str] = (),
    contestable: bool = False,
    project: str = "",
    counter: Counter | None = None,
) -> Iterator[Flow]:
    """Build the flows for a match of header fields.

    :param table_name: as for ``build_flow``.
    :param sources: words of which one must match, too: who may have sent the packet. Empty for
        anybody whom ``match`` allows.
    :param contestable: as in ``Flow``. ``project`` and ``counter``: likewise. Of a conjunction, the
        flow for its number counts: the switch counts no packets for the others.
    """
    each = [frozenset({source}) for source in sources] or [frozenset()]
    if math.prod(len(choice.words) for choice in match.ports) <= MOST_MULTIPLIED:
        for words, source in itertools.product(match.combinations, each):
            yield build_flow(
                table_name,
                priority,
                words | source,
                *actions,
                contestable=contestable,
                project=project,
                counter=counter,
            )
        return
    # A range of a single value needs no clause of its own.
    single = [choice.words[0] for choice in match.ports if len(choice.words) == 1]
    ranges = [choice for choice in match.ports if len(choice.words) > 1]
    common = match.words.union(single, {_CLAUSE_WORD})
    key = build_flow(table_name, priority, common).key
    clause = Clause(
        number=1,
        count=1 + len(ranges),
        common=common,
        ports=tuple((choice.field, choice.range) for choice in match.ports),
    )
    outcome = ",".join(actions) or DROP
    for source in each:
        first = key._replace(match=common | source, clause=clause)
        yield replace(_member(first, outcome, contestable=contestable), project=project)
    # The second one is for ``contested``.
    for each_outcome in {outcome, DROP} if contestable else {outcome}:
        conj_id = _conj_id(first, each_outcome)
        for number, choice in enumerate(ranges, 2):
            part = replace(clause, number=number, conj_id=conj_id)
            for word in choice.words:
                yield _member(key._replace(match=common | {word}, clause=part), each_outcome)
        # Some actions need a match of the protocol, such as ``tcp``.
        protocol = {word for word in common if "=" not in word}
        found = key._replace(match=frozenset(protocol | {f"{_NUMBER}{conj_id}"}))
        yield Flow(found, each_outcome, counter=counter if each_outcome == outcome else None)


def overlap(one: FlowKey, other: FlowKey) -> bool:
    """Tell whether one packet can match what two flows identify.

    :param one: of a flow, or of the first clause of a conjunction. ``other``: likewise.
    """
    if not matches_overlap(one.match, other.match):
        return False
    first, second = _port_ranges(one), _port_ranges(other)
    return all(
        first[name][0] <= second[name][1] and second[name][0] <= first[name][1]
        for name in first.keys() & second.keys()
    )


def intervals(key: FlowKey) -> tuple[Interval, ...]:
    """Return intervals for ``portchain.core.boxes`` of a key as ``overlap`` compares it."""
    return field_intervals(key.match, _port_ranges(key))


def _port_ranges(key: FlowKey) -> Mapping[str, tuple[int, int]]:
    return dict(key.clause.ports) if key.clause is not None else port_ranges(key.match)


def number_of(flow: Flow) -> int | None:
    """Return the number of the conjunction that a flow is part of; None if of none."""
    if flow.key.clause is not None:
        return int(flow.actions.removeprefix("conjunction(").partition(",")[0])
    numbers = (word.removeprefix(_NUMBER) for word in flow.key.match if word.startswith(_NUMBER))
    return next(map(int, numbers), None)


def contested(key: FlowKey) -> Flow:
    """Return the flow for a key that owners want with different actions: it drops the packets.

    :param key: of a flow, or of the first clause of a conjunction, that is contestable.
    """
    return Flow(key, DROP) if key.clause is None else _member(key, DROP)


def merge(members: Iterable[SwitchEntry]) -> Flow:
    """Return one flow that is in all clauses of some flows.

    :param members: flows that differ in the clause only; at least one.
    """
    flows = [entry for entry in members if isinstance(entry, Flow)]
    return Flow(flows[0].key.in_switch, ",".join(sorted({flow.actions for flow in flows})))


def merge_all(flows: Iterable[Flow]) -> frozenset[Flow]:
    """Return flows as the switch needs them: those of clauses merged."""
    members: defaultdict[FlowKey, list[Flow]] = defaultdict(list)
    for flow in flows:
        members[flow.key.in_switch].append(flow)
    return frozenset(map(merge, members.values()))


def _member(key: FlowKey, outcome: str, *, contestable: bool = False) -> Flow:
    """Return a flow that is part of a conjunction.

    :param outcome: the actions of the whole conjunction.
    """
    clause = key.clause
    if clause is None:
        raise ValueError(f"not part of a conjunction: {key}")
    conj_id = clause.conj_id or _conj_id(key, outcome)
    return Flow(key, f"conjunction({conj_id},{clause.number}/{clause.count})", contestable)


def _conj_id(key: FlowKey, outcome: str) -> int:
    """Return a conjunction's number, 32 bits and never 0."""
    clause = key.clause
    if clause is None:
        raise ValueError(f"not part of a conjunction: {key}")
    parts = (str(key.bridge), key.table, key.priority, sorted(clause.common), clause.ports, outcome)
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") or 1
