"""Turns what a switch says of a packet into decisions, with what is known of the pipeline."""

import re
from collections.abc import Mapping
from dataclasses import replace

from portchain.dataplane.flow import COOKIE, BridgeKind
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.pipeline import (
    POSITION_DONE,
    POSITION_RETURNED,
    REG_CHECKS,
    REG_PATH_POSITION,
    REG_SLOT,
    REG_TARGET,
    TABLES,
    Priority,
)
from portchain.dataplane.tracing.host_view import HostView, Position
from portchain.dataplane.tracing.output import Action, Event, PassEnd, Visit, datapath_outputs
from portchain.dataplane.tracing.packet_state import PacketState
from portchain.dataplane.tracing.parts import Explained, Frozen
from portchain.dataplane.tracing.reasons import (
    ENTRANCES,
    KEPT_OUT,
    NO_CHAIN,
    NO_CLASSIFIER,
    ROUTED,
    TO_CHECKS,
    UNSEEN_CHECKS,
    VISITED_ALL,
    why_dropped,
    why_out,
    why_selected,
)
from portchain.dataplane.tracing.steps import Decision, Exit, Reach, Step

_OUTPUT = re.compile(r"output:(\d+)$")
_OUTPUT_PORT = re.compile(r"output port is (\d+)$")
_LABEL = re.compile(r"mpls_label=(\d+)")
_NUMBER = {name: table.number for name, table in TABLES.items()}
_IN_PORT = re.compile(r"in_port=(\d+)")

Ports = Mapping[int, tuple[str, int, str]]
"""As ``output.parse_ports`` returns them."""


def explain(
    events: list[Event], view: HostView, state: PacketState, ports: Ports, *, is_start: bool
) -> Explained:
    """Return the decisions in a trace.

    :param state: of the packet at the beginning.
    :param ports: of the datapath; empty if no bridge forwards like an ordinary switch.
    :param is_start: whether the packet has just been sent by a port of this host.
    """
    explainer = _Explainer(view, state, ports, is_start=is_start)
    for event, following in zip(events, [*events[1:], None], strict=True):
        explainer.handle(event, following)
        if explainer.frozen is not None:
            break
    return explainer.result()


class _Explainer:
    def __init__(self, view: HostView, state: PacketState, ports: Ports, *, is_start: bool) -> None:
        self._view = view
        self._ports = ports
        self._state = state
        self._is_start = is_start
        self._block: int | None = None
        self._states: dict[int, PacketState] = {}  # block -> state when it was left
        self._resumed: list[PacketState] = []  # of packets that the datapath sends through again
        self._has_passed = False
        self._original: PacketState | None = None  # while actions are about a copy
        self._visits: list[Visit] = []
        self._steps: list[Step] = []
        self._exits: list[Exit] = []
        self._normal: tuple[Visit, PacketState] | None = None
        self._output: set[tuple[str, int]] = set()  # ports of this pass that actions name
        self._hop: Visit | None = None  # while a pair is being selected
        self._remembers = False
        self._note = ""
        self._checked: PacketState | None = None  # before OVN's checks, on br-chain
        self.frozen: Frozen | None = None

    def handle(self, event: Event, following: Event | None) -> None:
        if isinstance(event, PassEnd):
            self._end_pass(event)
        elif (
            event.bridge not in self._view.bridges
            if isinstance(event, Visit)
            else (event.visit.bridge not in self._view.bridges)
        ):
            pass  # beyond this host
        elif isinstance(event, Visit):
            self._change_block(event)
            self._visit(event)
        else:
            self._change_block(event.visit)
            self._act(event, following)

    def result(self) -> Explained:
        if self.frozen is None and not self._exits and self._visits:
            self._drop()
        if self._is_start and self.frozen is None:
            self._note_unclassified()
        return Explained(tuple(self._steps), tuple(self._exits), self.frozen)

    # Which bridge, which pass, which copy.

    def _change_block(self, visit: Visit) -> None:
        number = visit.block.number
        if number == self._block:
            return
        if self._block is not None:
            self._states[self._block] = self._state
        self._block = number
        if number in self._states:
            self._state = self._states[number]
        elif self._has_passed:
            self._has_passed = False
            self._state = self._resumed.pop(0) if self._resumed else self._state
        elif self._states:
            self._state = self._state.in_next_bridge(self._patch_into(visit))

    def _patch_into(self, visit: Visit) -> int:
        """Return the port by which a packet has entered a bridge, in whose first table it is."""
        if self._view.local.has_br_chain:  # each flow that packets meet first matches their port
            found = _IN_PORT.search(visit.match or "")
            return int(found[1]) if found else 0
        return self._view.patch_into(visit.bridge, self._visits[-1].bridge if self._visits else "")

    def _end_pass(self, end: PassEnd) -> None:
        self._has_passed, self._block = True, None
        self._states.clear()
        if self._original is not None:
            self._state, self._original = self._original, None
        if self._normal is not None:
            visit, state = self._normal
            for number in datapath_outputs(end.datapath_actions):
                if (found := self._ports.get(number)) and found[:2] not in self._output:
                    bridge, ofport, name = found
                    if bridge in self._view.bridges:
                        self._leave(visit, bridge, ofport, state, name)
        self._normal = None
        self._output.clear()

    # Tables.

    def _visit(self, visit: Visit) -> None:
        if visit.block.is_on_copy:
            return
        self._visits.append(visit)
        if not self._is_integration(visit):
            return
        if self._is_to_checks(visit):
            self._checked = self._state.copy()
        elif visit.table == _NUMBER["NEXT_HOPS"] and visit.match is None and self._checked:
            # Learned by the packet that is sent; the trace of it has no side effects.
            self._resume_checked(visit, self._checked)
        elif visit.table == _NUMBER["HOP"]:
            self._hop, self._remembers = visit, False
        elif visit.table == _NUMBER["AFFINITY"]:
            self._remembers = visit.match is not None
        elif visit.table == _NUMBER["FORWARD"] and self._hop is not None:
            self._select(visit)
            self._hop = None
        elif visit.table == _NUMBER["LOCAL_SWITCHING"] and _is_ours(visit, Priority.CHAIN_FRAME):
            label = _LABEL.search(visit.match or "")
            position = self._view.position(int(label[1]) if label else 0)
            self._step(
                Decision.RECEIVED, "as a packet of the chain", visit, replace(position, hop=-1)
            )

    def _resume_checked(self, visit: Visit, before: PacketState) -> None:
        """Go on behind the gate with the packet as it was before OVN's checks."""
        state = before.copy()
        for name in (REG_CHECKS, REG_PATH_POSITION):
            state.registers.pop(name, None)
        self.frozen = Frozen(visit, state, (f"resubmit(,{_NUMBER['TRANSIENT']})",))

    def _select(self, visit: Visit) -> None:
        position = self._position()
        slot = None
        if any(v.table == _NUMBER["CHOICE"] for v in self._visits[-3:]):
            slot = self._state.register(REG_SLOT)
        if self._remembers:
            reason = "flow affinity: earlier packets of this traffic flow have visited it"
        else:
            reason = why_selected(position.group, self._state.register(REG_TARGET), slot)
        self._step(Decision.SELECTED, reason, visit, position, pair_id=self._pair())

    # Actions.

    def _act(self, action: Action, following: Event | None) -> None:
        if action.is_on_copy and self._original is None:
            self._original = self._state.copy()
        elif not action.is_on_copy and self._original is not None:
            self._state, self._original = self._original, None
        if action.text.startswith(("pop_mpls", "decap(")) and self._is_hidden_below():
            self.frozen = Frozen(action.visit, self._state)
            return
        if action.text.startswith("ct(") and "table=" in action.text:
            self._resumed.append(self._state.copy())
        before = self._state.register(REG_PATH_POSITION)
        self._state.apply(action.text, action.notes)
        after = self._state.register(REG_PATH_POSITION)
        if before != after and not action.is_on_copy and self._is_integration(action.visit):
            self._change_position(action.visit, before, after)
        self._output_by(action, following)

    def _is_hidden_below(self) -> bool:
        return 0 < self._state.packet.depth <= self._state.hidden

    def _output_by(self, action: Action, following: Event | None) -> None:
        if action.text == "NORMAL":
            self._normal = action.visit, self._state.copy()
            self._note = " ".join(action.notes)
            return
        number = next(
            (found[1] for note in action.notes if (found := _OUTPUT_PORT.search(note))), ""
        )
        if not number and (found := _OUTPUT.match(action.text)):
            number = found[1]
        if not number:
            return
        if refusals := [note for note in action.notes if "skipping" in note or "nonexist" in note]:
            self._note = refusals[0]
            return
        enters_bridge = (
            isinstance(following, Visit)
            and following.block.number != action.visit.block.number
            and following.bridge in self._view.bridges
            and following.block.number not in self._states
        )
        self._output.add((action.visit.bridge, int(number)))
        if self._checked and self._is_to_checks(action.visit):
            self._send_to_checks(action.visit, self._checked, is_seen=enters_bridge)
            return
        if not enters_bridge:
            self._leave(
                action.visit, action.visit.bridge, int(number), self._state, "",
                is_copy=action.is_on_copy and not self._is_ovns(action.visit),
            )  # fmt: skip

    def _send_to_checks(self, visit: Visit, before: PacketState, *, is_seen: bool) -> None:
        reason = TO_CHECKS if is_seen else UNSEEN_CHECKS
        position = self._view.position(before.register(REG_PATH_POSITION))
        self._step(Decision.FORWARDED, reason, visit, replace(position, hop=-1))
        if not is_seen:
            self._resume_checked(visit, before)

    def _change_position(self, visit: Visit, before: int, after: int) -> None:
        table = visit.table
        if self._is_behind_checks() and table in ENTRANCES:
            return  # it was decided before them
        is_returned = table == _NUMBER["LOCAL_SWITCHING"] and visit.priority not in KEPT_OUT
        if after == POSITION_DONE and is_returned:
            self._return(visit, POSITION_RETURNED)  # by a function whose packets nobody checks
            self._step(Decision.LEFT, VISITED_ALL, visit)
        elif after == POSITION_DONE:
            if before == 0:
                reason = KEPT_OUT.get(visit.priority, ROUTED)
                self._step(Decision.NOT_CLASSIFIED, reason, visit)
            else:
                position = replace(self._view.position(before), hop=-1)
                self._step(Decision.LEFT, VISITED_ALL, visit, position)
        elif after == 0:
            reason = "the function has sent it of its own, not for a chain"
            self._step(Decision.NOT_CLASSIFIED, reason, visit)
        elif table in ENTRANCES or (
            table == _NUMBER["BRANCH"] and self._view.position(after).hop == 0
        ):
            self._step(Decision.CLASSIFIED, "", visit, replace(self._view.position(after), hop=-1))
        elif table == _NUMBER["LOCAL_SWITCHING"] and not _is_ours(visit, Priority.CHAIN_FRAME):
            self._return(visit, after)

    def _return(self, visit: Visit, after: int) -> None:
        port_id = self._view.port_at(self._state.in_port)
        reason = "its header is that of the chain's packets"
        pair = self._view.pair_at(port_id)
        if after == POSITION_RETURNED:
            self._step(Decision.RETURNED, reason, visit, port_id=port_id, pair_id=pair)
            return
        position = self._view.position(after)
        came_from = replace(position, hop=max(position.hop - 1, 0))
        self._step(Decision.RETURNED, reason, visit, came_from, port_id=port_id, pair_id=pair)

    # Ends.

    def _leave(
        self, visit: Visit, bridge: str, ofport: int, state: PacketState, name: str,
        *, is_copy: bool = False,
    ) -> None:  # fmt: skip
        """Note that the packet leaves the host's bridges at a port."""
        reach, found = self._view.way_out(bridge, ofport, name)
        self._note_exit(visit, Exit(reach, found, state.packet), is_copy=is_copy)

    def _note_exit(self, visit: Visit, way: Exit, *, is_copy: bool) -> None:
        in_forward = self._is_integration(visit) and visit.table == _NUMBER["FORWARD"]
        is_for_function = in_forward or bool(way.packet.labels)
        in_chain = is_for_function or is_copy
        pair = self._pair() if in_forward else ""
        position = self._position() if in_chain else None
        if is_copy:
            tap = self._view.pair_at(way.name)
            self._step(
                Decision.COPIED, "the next group is a tap", visit, position, pair_id=tap,
                port_id=way.name if way.reach is Reach.PORT else "",
                peer=way.name if way.reach is not Reach.PORT else "",
            )  # fmt: skip
            return
        way = replace(way, pair_id=pair)
        decision, reason = why_out(way, is_ovns=self._is_ovns(visit))
        self._step(
            decision, reason, visit, position, pair_id=pair,
            port_id=way.name if decision is Decision.DELIVERED else "",
            peer=way.name if decision is Decision.FORWARDED else "",
        )  # fmt: skip
        self._exits.append(way)

    def _drop(self) -> None:
        last, kind = self._visits[-1], self._view.bridges[self._visits[-1].bridge]
        reason = self._note or why_dropped(self._visits, kind.kind if kind else None)
        state = self._state
        if kind is None:  # OVN has registers of its own
            state = self._checked or PacketState(state.packet, 0)
        value = state.register(REG_PATH_POSITION)
        in_chain = value not in (0, POSITION_DONE, POSITION_RETURNED)
        position = self._view.position(value) if in_chain else None
        self._step(Decision.DROPPED, reason, last, position)

    def _note_unclassified(self) -> None:
        """Say that the packet is in no chain, if it has passed where chains begin."""
        decided = {Decision.CLASSIFIED, Decision.NOT_CLASSIFIED, Decision.RETURNED}
        if decided & {step.decision for step in self._steps}:
            return
        first = self._visits[0] if self._visits else None
        if first is not None and self._is_ovns(first):
            self._steps.insert(0, Step(Decision.NOT_CLASSIFIED, NO_CHAIN, first.bridge))
            return
        firewall = self._view.local.firewall is Firewall.OPENVSWITCH
        tables = ENTRANCES - ({_NUMBER["TRANSIENT"]} if firewall else frozenset())
        for visit in self._visits:
            if self._is_integration(visit) and visit.table in tables:
                is_dropped = visit is self._visits[-1] and _is_ours(visit, visit.priority)
                if not (is_dropped and not self._exits):
                    step = Step(Decision.NOT_CLASSIFIED, NO_CLASSIFIER, visit.bridge, visit.table)
                    self._steps.insert(0, step)
                return

    # Helpers.

    def _is_integration(self, visit: Visit) -> bool:
        role = self._view.bridges.get(visit.bridge)
        return role is not None and role.kind is BridgeKind.INT

    def _is_ovns(self, visit: Visit) -> bool:
        return self._view.bridges[visit.bridge] is None

    def _is_to_checks(self, visit: Visit) -> bool:
        return self._is_integration(visit) and visit.table == _NUMBER["TO_CHECKS"]

    def _is_behind_checks(self) -> bool:
        return self._view.local.has_br_chain and not self._state.register(REG_CHECKS)

    def _position(self) -> Position:
        return self._view.position(self._chain_register())

    def _chain_register(self) -> int:
        """Return the path position, also on a bridge that does not see the register."""
        if value := self._state.register(REG_PATH_POSITION):
            return value
        values = (state.register(REG_PATH_POSITION) for state in self._states.values())
        return next((value for value in values if value), 0)

    def _pair(self) -> str:
        value = self._state.register(REG_TARGET)
        return self._view.pair(value) or f"{value:08x}"

    def _step(
        self, decision: Decision, reason: str, visit: Visit, position: Position | None = None,
        *, pair_id: str = "", port_id: str = "", peer: str = "",
    ) -> None:  # fmt: skip
        self._steps.append(
            Step(
                decision, reason, visit.bridge, visit.table,
                chain_id=position.chain_id if position else "",
                reverse=position.reverse if position else False,
                hop=position.hop if position and position.hop >= 0 else None,
                pair_id=pair_id, port_id=port_id, peer=peer,
            )
        )  # fmt: skip


def _is_ours(visit: Visit, priority: int) -> bool:
    return visit.cookie == COOKIE and visit.priority == priority
