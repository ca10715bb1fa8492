"""Resumes chains after a restart of the agent, from the flows that it finds in the switch. Pure.

Functions hold packets that they got by the flows in the switch. The agent does not know the plan of
these flows. If it can differ from the latest plan in the order of functions, the host closes the
chain before it follows the latest plan (``transition``, docs/decisions/0053).
"""

import itertools
import re
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import replace
from functools import cached_property

from portchain.dataplane.compile import UnsupportedPlanError, compile_chain, compile_visits
from portchain.dataplane.compile.context import target_number
from portchain.dataplane.flow import EntryKey, Flow, SwitchEntry
from portchain.dataplane.flow_builder import set_field
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.packed_flows import compare, digest
from portchain.dataplane.pipeline import (
    POSITION_ARRIVED,
    POSITION_DONE,
    POSITION_WITHOUT_GENERATION,
    REG_PATH_POSITION,
    REG_TARGET,
    TABLES,
    Priority,
)
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.transition import ChainTransition, Phase

_FORWARD, _LOCAL_SWITCHING = (TABLES[name].number for name in ("FORWARD", "LOCAL_SWITCHING"))
_CHAIN_NUMBER = 0xFFFF  # the bits of a path position that hold the chain's number
_MATCHES_POSITION = f"{REG_PATH_POSITION}="
_SET_POSITION = re.compile(rf"set_field:(0x[0-9a-f]+)->{REG_PATH_POSITION}\b")

Places = Mapping[int, Collection[int]]
"""Path position -> numbers of the pairs that the host sends to there."""


def unknown_chain(path_id: int) -> str:
    """Return the id of a chain of which a host has flows but no plan.

    :param path_id: as in ``ChainPlan``.
    """
    return f"chain {path_id & _CHAIN_NUMBER}"


class FoundFlows:
    """What an agent has to know of the entries in its switch: read once, and changed since.

    :param entries: our entries in the switch; anything that can be iterated again.
    :param is_start: whether to look for chains, too. What others have written with our cookie may
        have any form: a flow that cannot be read belongs to no chain.
    :ivar path_ids: numbers of the chains whose path positions flows match. The agent treats these
        chains as active.
    :ivar added: key -> entry, for what has been added to the switch since, or replaced there.
    """

    def __init__(self, entries: Iterable[SwitchEntry], *, is_start: bool = True) -> None:
        self._entries = entries
        self._keys, self._digests = array("q"), array("q")
        self.added: dict[EntryKey, SwitchEntry] = {}
        self.path_ids: set[int] = set()
        self.places: defaultdict[int, defaultdict[int, set[int]]] = defaultdict(
            lambda: defaultdict(set)
        )
        self.returned: set[int] = set()  # numbers of the chains to which functions return packets
        for entry in entries:
            self._keys.append(hash(entry.key))
            self._digests.append(digest(entry))
            if is_start and isinstance(entry, Flow):
                self._note(entry)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __contains__(self, entry: SwitchEntry) -> bool:
        """Return whether the switch has an entry by now."""
        if (added := self.added.get(entry.key)) is not None:
            return added == entry
        return digest(entry) in self._present

    def differences(self, desired: Set[int]) -> tuple[set[int], list[SwitchEntry]]:
        """Compare the entries of the switch by now with what it should have.

        Parameters and result are those of ``packed_flows.compare``.
        """
        if not self.added:
            return compare(self._entries, self._digests, desired)
        replaced = set(map(hash, self.added))
        kept = [key not in replaced for key in self._keys]
        digests = array("q", itertools.compress(self._digests, kept))
        digests.extend(map(digest, self.added.values()))
        entries = itertools.chain(itertools.compress(self._entries, kept), self.added.values())
        return compare(entries, digests, desired)

    @cached_property
    def _present(self) -> frozenset[int]:
        return frozenset(self._digests)

    @cached_property
    def leftovers(self) -> tuple[Mapping[int, set[Flow]], set[Flow]]:
        """As of ``_leftovers``, for the entries as they were read."""
        return _leftovers(self._entries)

    def _note(self, flow: Flow) -> None:
        for word in flow.key.match:
            if word.startswith(_MATCHES_POSITION):
                matched = _exact(word[len(_MATCHES_POSITION) :])
                if matched is not None:
                    self.path_ids.add(matched & _CHAIN_NUMBER)
        table = flow.key.table  # most flows are in other tables
        if table == _FORWARD and (place := _place(flow)):
            position, pair = place
            self.places[position & _CHAIN_NUMBER][position].add(pair)
        elif table == _LOCAL_SWITCHING and (onward := _position_of_returned(flow)) is not None:
            self.returned.add(onward & _CHAIN_NUMBER)


_NO_PLACES: Places = {}


def resume(
    states: Mapping[str, ChainTransition], found: FoundFlows, local: LocalSwitch
) -> dict[str, ChainTransition]:
    """Return the states that chains must be in instead of those that assume an empty switch.

    :param states: chain id -> the state that the server's answer has led to; of all chains, or of
        some.
    :param found: our entries in the switch.
    :returns: chain id -> state.
    """
    resumed = {}
    closing: dict[str, tuple[int, ChainPlan | None]] = {}
    for chain_id, state in states.items():
        number = _number(state)
        is_found = number in found.places or number in found.returned
        places: Places = found.places.get(number, _NO_PLACES)
        if is_found and not all(_agrees(places, plan, local) for plan in state.plans):
            closing[chain_id] = number, state.plan
        elif state.phase is Phase.REMEMBERING and _selects_already(state.plan, found, local):
            resumed[chain_id] = replace(state, phase=Phase.SWITCHED)
    for chain_id, (number, plan) in closing.items():
        leftovers, drops = found.leftovers
        resumed[chain_id] = _closed(plan, leftovers.get(number, set()) | drops)
    return resumed


def resume_unknown(
    states: Mapping[str, ChainTransition], surplus: Iterable[SwitchEntry]
) -> dict[str, ChainTransition]:
    """Return the states of chains of which the host has flows, but no plan.

    :param states: as for ``resume``.
    :param surplus: our entries in the switch that no chain with a plan wants.
    :returns: ``unknown_chain`` -> state.
    """
    leftovers, drops = _leftovers(surplus)
    numbers = leftovers.keys() - {_number(state) for state in states.values()}
    return {unknown_chain(one): _closed(None, leftovers[one] | drops) for one in numbers}


def resume_unsupported(
    states: Mapping[str, ChainTransition], failed: Iterable[str], surplus: Iterable[SwitchEntry]
) -> dict[str, ChainTransition]:
    """Return the states of chains with a plan that the host cannot realise, e.g. for its size.

    That is known only after all of the plan has been compiled. ``resume`` compiles less.

    :param states: as for ``resume``.
    :param failed: ids of these chains.
    :param surplus: as for ``resume_unknown``.
    :returns: chain id -> state, for those to which functions of the host return packets.
    """
    going_on = {one: states[one] for one in failed if one in states and not states[one].is_closed}
    leftovers, drops = _leftovers(surplus if going_on else ())
    return {
        chain_id: _closed(state.plan, leftovers[number] | drops)
        for chain_id, state in going_on.items()
        if (number := _number(state)) in leftovers
    }


def _leftovers(entries: Iterable[SwitchEntry]) -> tuple[Mapping[int, set[Flow]], set[Flow]]:
    """Return flows that drop what functions return: by the chain's number, and those of any."""
    found = defaultdict[int, set[Flow]](set)
    drops: set[Flow] = set()
    for flow in entries:
        if not isinstance(flow, Flow):
            continue
        if (onward := _position_of_returned(flow)) is not None:
            # These actions send a packet nowhere. The next restart recognises the flow by them.
            drop = set_field(onward, REG_PATH_POSITION)
            found[onward & _CHAIN_NUMBER].add(replace(flow, actions=drop))
        elif _drops_returned(flow):
            drops.add(flow)  # of any chain: each that closes keeps them
    return found, drops


def _closed(plan: ChainPlan | None, leftovers: Iterable[Flow]) -> ChainTransition:
    return ChainTransition(plan, Phase.CLOSED, leftovers=frozenset(leftovers))


def _selects_already(plan: ChainPlan | None, found: FoundFlows, local: LocalSwitch) -> bool:
    """Return whether flows went by the plan's pairs before the restart already."""
    flows = _flows(plan, local) if plan is not None else None
    if flows is None:
        return False
    return all(flow in found for flow in flows if flow.key.table == TABLES["HOP"].number)


def _flows(plan: ChainPlan, local: LocalSwitch) -> frozenset[Flow] | None:
    """Return the flows of a plan; None if this agent does not support it."""
    try:
        return compile_chain(plan, local).flows
    except UnsupportedPlanError:
        return None


def _number(state: ChainTransition) -> int:
    return next((plan.path_id & _CHAIN_NUMBER for plan in state.plans), 0)


def _place(flow: Flow) -> tuple[int, int] | None:
    """Return the position and the pair that a flow of FORWARD is for; None for other flows."""
    if flow.key.table != _FORWARD:
        return None
    fields = dict(word.partition("=")[::2] for word in flow.key.match)
    position, pair = (_exact(fields.get(name, "")) for name in (REG_PATH_POSITION, REG_TARGET))
    if position is None or pair is None:
        return None
    # An agent of an older release has written other generations. The pairs tell lists apart, too.
    return position & POSITION_WITHOUT_GENERATION & ~POSITION_ARRIVED, pair


def _exact(value: str) -> int | None:
    """Return the number that a field must be equal to; None if it has a mask or no value."""
    try:
        return int(value, 0)
    except ValueError:
        return None


def _position_of_returned(flow: Flow) -> int | None:
    """Return where a flow sends what a function returns; None for other flows, and at the end."""
    key = flow.key
    if key.table != _LOCAL_SWITCHING or key.priority == Priority.CHAIN_FRAME:
        return None
    positions = [int(value, 0) for value in _SET_POSITION.findall(flow.actions)]
    return next((position for position in positions if position != POSITION_DONE), None)


def _drops_returned(flow: Flow) -> bool:
    """Return whether a flow drops what a function returns and must not bypass the next ones."""
    return flow.key.table == _LOCAL_SWITCHING and flow.key.priority in (
        Priority.HOLD_RETURNED_FRAGMENT,
        Priority.RETURN_UNCHANGED,
    )


def _agrees(found: Places, plan: ChainPlan, local: LocalSwitch) -> bool:
    """Return whether packets can go on by a plan after they got to functions by the flows found."""
    try:
        after = known = _visited(plan, local, returning=False)
        if any(hop.returning for path in plan.paths for hop in path.hops):
            known = _visited(plan, local, returning=True)
    except UnsupportedPlanError:
        return False
    before = _without_taps(found, plan)
    # Pairs may have been added, or have failed. One that is gone may have been taken for another
    # group.
    return after.keys() <= before.keys() <= known.keys() and all(
        set(pairs) <= set(known[position]) for position, pairs in before.items()
    )


def _visited(plan: ChainPlan, local: LocalSwitch, *, returning: bool) -> Places:
    """Return where a plan sends packets to functions that return them, see ``compile_visits``."""
    places: defaultdict[int, set[int]] = defaultdict(set)
    for place in filter(None, map(_place, compile_visits(plan, local, returning=returning))):
        places[place[0]].add(place[1])
    return _without_taps(places, plan)


def _without_taps(places: Places, plan: ChainPlan) -> Places:
    """Return where functions are that return packets. What taps have got does not matter."""
    taps = {
        target_number(target.pair_id)
        for path in plan.paths
        for hop in path.hops
        for target in hop.targets
        if hop.tap
    }
    return {
        position: returning
        for position, pairs in places.items()
        if (returning := set(pairs) - taps)
    }
