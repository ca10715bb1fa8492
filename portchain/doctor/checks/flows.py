"""Whether the switch holds the flows that its plans need, and no others of ours. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from portchain.dataplane.flow import Flow, SwitchEntry
from portchain.doctor import desired
from portchain.doctor.checks.context import Context
from portchain.doctor.findings import Finding, Report, Severity
from portchain.doctor.words import Words, count, places

_CHAIN_NUMBER = 0xFFFF
_MOST_DETAILS = 50


def check(context: Context) -> Report:
    """Compare all flows, chain by chain."""
    facts = context.snapshot.switch
    if context.desired is None or facts.local is None or facts.entries is None:
        unchecked = context.unchecked("flows of chains")
        return Report(unchecked=(unchecked,), notes=_notes(facts.entries))
    words = Words(facts.local, context.plans or ())
    found = [*_of_all(context, words)]
    for chain_id in sorted(context.desired.outcomes):
        found += _of_chain(context, words, chain_id)
    return Report((*found, *_surplus(context)))


def _notes(entries: Sequence[SwitchEntry] | None) -> tuple[str, ...]:
    """Say what is in the switch, although nobody says what should be there."""
    if entries is None:
        return ()
    numbers = {number for entry in entries for number in desired.numbers_of(entry)}
    return (f"the switch has {count(len(entries), 'flow')} of {count(len(numbers), 'chain')}",)


def _of_all(context: Context, words: Words) -> Iterator[Finding]:
    assert context.desired is not None
    subject = "flows that each host with chains needs"
    yield from _differences(context, words, context.desired.of_all, subject, ())


def _of_chain(context: Context, words: Words, chain_id: str) -> Iterator[Finding]:
    assert context.desired is not None
    outcome = context.desired.outcomes[chain_id]
    subject = f"flows of chain {chain_id}"
    if outcome.error:
        yield Finding(
            severity=Severity.ERROR,
            compared=f"{subject} with what this host can realise",
            found=f"it cannot realise the chain: {outcome.error}",
            meaning="the chain goes on as before its last change if it can, and packets that would "
            "bypass it are dropped",
            action="change the chain, or what it is in conflict with; its flows are not compared",
            chain_ids=(chain_id,),
        )
        return
    entries = context.desired.of_chain.get(chain_id, ())
    yield from _differences(context, words, entries, subject, (chain_id,))


def _differences(
    context: Context,
    words: Words,
    wanted: Sequence[SwitchEntry],
    subject: str,
    chain_ids: tuple[str, ...],
) -> Iterator[Finding]:
    result = desired.differences(wanted, context.snapshot.switch.entries or ())
    changed = [entry for entry, _ in result.changed]
    for kind, effect, entries, details in (
        ("missing", "", result.missing, [_text(entry) for entry in result.missing]),
        (
            "not as they should be",
            "packets are treated in another way than the plan says, e.g. ",
            changed,
            [f"{_text(entry)}, and is: {_text(there)}" for entry, there in result.changed],
        ),
    ):
        if entries:
            where = places(entries, context.bridge_names)
            yield Finding(
                severity=Severity.ERROR,
                compared=f"{subject} with its plan" if chain_ids else subject,
                found=f"{len(entries)} of {count(result.total, 'flow')} are {kind}: {where}",
                meaning=effect + words.without(entries),
                action=context.repair("puts them right"),
                chain_ids=chain_ids,
                details=tuple(sorted(details)[:_MOST_DETAILS]),
                may_pass=context.has_agent,
            )


def _surplus(context: Context) -> Iterator[Finding]:
    assert context.desired is not None
    plans = {plan.path_id & _CHAIN_NUMBER: plan.id for plan in context.plans or ()}
    failed = {one for one, outcome in context.desired.outcomes.items() if outcome.error}
    by_chain: defaultdict[str, list[SwitchEntry]] = defaultdict(list)
    for entry in desired.surplus(context.desired, context.snapshot.switch.entries or ()):
        numbers = sorted(desired.numbers_of(entry))
        known = [plans[number] for number in numbers if number in plans]
        if failed.isdisjoint(known):
            by_chain[_owner(known, numbers)].append(entry)
    for owner, entries in sorted(by_chain.items()):
        chain_ids = tuple(one for one in plans.values() if one in owner)
        yield Finding(
            severity=Severity.WARNING,
            compared=f"flows with portchain's cookie with all plans: {owner}",
            found=f"{count(len(entries), 'flow')} that no plan needs: "
            f"{places(entries, context.bridge_names)}",
            meaning="they may take packets into a chain, or drop some, although no chain asks for "
            "that",
            action=context.repair("deletes them"),
            chain_ids=chain_ids,
            details=tuple(sorted(map(_text, entries))[:_MOST_DETAILS]),
            may_pass=context.has_agent,
        )


def _owner(known: Sequence[str], numbers: Sequence[int]) -> str:
    if known:
        return f"chain {', '.join(known)}"
    if numbers:
        return f"number {', '.join(map(str, numbers))}, of a chain that has no plan here"
    return "no chain"


def _text(entry: SwitchEntry) -> str:
    if isinstance(entry, Flow):
        return f"{entry.key.bridge} {entry.match_text} actions={entry.actions}"
    return str(entry)
