"""Derives what functions, groups and chains do at the moment (``operating_status``). Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from portchain.core.availability import Members, is_checkable, members_of
from portchain.core.model import (
    FailureMode,
    HealthCheck,
    OperatingStatus,
    PairHealth,
    Port,
    PortPair,
    PortPairGroup,
)
from portchain.core.rules import label_for

_IN_ORDER = (OperatingStatus.ONLINE, OperatingStatus.NO_MONITOR)


class Reason(StrEnum):
    """Why something has its operating status, for programs."""

    NONE = ""
    ADMIN_STATE_DOWN = "ADMIN_STATE_DOWN"
    NOT_PLUGGED_IN = "NOT_PLUGGED_IN"
    HEALTH_CHECK_FAILED = "HEALTH_CHECK_FAILED"
    NOT_CHECKED_YET = "NOT_CHECKED_YET"
    WEIGHT_ZERO = "WEIGHT_ZERO"
    STANDS_BY = "STANDS_BY"
    NO_PAIR = "NO_PAIR"
    NO_PAIR_AVAILABLE = "NO_PAIR_AVAILABLE"
    TOO_FEW_HEALTHY = "TOO_FEW_HEALTHY"
    PAIR_UNAVAILABLE = "PAIR_UNAVAILABLE"
    GROUP_UNAVAILABLE = "GROUP_UNAVAILABLE"
    GROUP_WITHDRAWN = "GROUP_WITHDRAWN"


@dataclass(frozen=True, slots=True)
class Operating:
    """An operating status and the reason for it.

    :param text: the reason for people; empty if there is none to give.
    """

    status: OperatingStatus
    code: Reason = Reason.NONE
    text: str = ""

    @property
    def reason(self) -> dict[str, str]:
        """The reason, as the API shows it."""
        return {"code": str(self.code), "text": self.text}


@dataclass(frozen=True, slots=True)
class GroupOperating:
    """The operating status of a group, and of its pairs by their ids."""

    group: PortPairGroup
    own: Operating
    pairs: Mapping[str, Operating]


def of_pair(pair: PortPair, ports: Mapping[str, Port]) -> Operating:
    """Return the operating status of a pair that is in no group.

    :param ports: port id -> port, of all that exist.
    """
    alone = PortPairGroup("", pair.project_id, 0, (pair,))
    return of_group(alone, ports, {}).pairs[pair.id]


def of_group(
    group: PortPairGroup, ports: Mapping[str, Port], known: Mapping[str, PairHealth]
) -> GroupOperating:
    """Return the operating status of a group and its pairs.

    :param ports: port id -> port, of the group's functions.
    :param known: pair id -> what its host says of it; others have not been checked yet.
    """
    failed = {pair_id: one.reason for pair_id, one in known.items() if not one.is_up}
    members = members_of(group, ports, failed, same_host=True)
    pairs = {
        pair.id: _of_member(pair, group, ports, members, known.get(pair.id))
        for pair in group.port_pairs
    }
    return GroupOperating(group, _of_group(group, members, pairs), pairs)


def _of_member(
    pair: PortPair,
    group: PortPairGroup,
    ports: Mapping[str, Port],
    members: Members,
    health: PairHealth | None,
) -> Operating:
    reason = members.unavailable.get(pair.id, "")
    if not is_checkable(pair, ports, same_host=True):
        code = Reason.NOT_PLUGGED_IN if pair.admin_state_up else Reason.ADMIN_STATE_DOWN
        return Operating(OperatingStatus.OFFLINE, code, reason)
    if health is not None and not health.is_up:
        return Operating(OperatingStatus.ERROR, Reason.HEALTH_CHECK_FAILED, reason)
    if not pair.weight:
        return Operating(OperatingStatus.DRAINING, Reason.WEIGHT_ZERO, reason)
    status = OperatingStatus.ONLINE if health is not None else OperatingStatus.NO_MONITOR
    if not members.weights.get(pair.id, 1):  # only a backup has none here
        return Operating(status, Reason.STANDS_BY, reason)
    if health is None and group.health_check is not HealthCheck.NONE:
        text = "its host has not said yet whether it passes its health check"
        return Operating(status, Reason.NOT_CHECKED_YET, text)
    return Operating(status)


def _of_group(group: PortPairGroup, members: Members, pairs: Mapping[str, Operating]) -> Operating:
    found = {one.status for one in pairs.values()}
    if not pairs:
        return Operating(OperatingStatus.OFFLINE, Reason.NO_PAIR, "it has no pair")
    if not any(members.weights.values()):
        return _out_of_order(group, found)
    wrong = [
        one
        for one in pairs.values()
        if one.status in (OperatingStatus.ERROR, OperatingStatus.OFFLINE)
        and one.code is not Reason.ADMIN_STATE_DOWN
    ]
    if wrong:
        text = f"{len(wrong)} of {len(pairs)} pairs are not available"
        return Operating(OperatingStatus.DEGRADED, Reason.PAIR_UNAVAILABLE, text)
    is_monitored = OperatingStatus.ONLINE in found
    return Operating(OperatingStatus.ONLINE if is_monitored else OperatingStatus.NO_MONITOR)


def _out_of_order(group: PortPairGroup, found: Collection[OperatingStatus]) -> Operating:
    """Return the status of a group that gets no new flows."""
    follows = "packets skip it" if group.failure_mode is FailureMode.OPEN else "it drops new flows"
    if OperatingStatus.ERROR in found:
        status = OperatingStatus.ERROR
    elif OperatingStatus.DRAINING in found:
        status = OperatingStatus.DRAINING
    else:
        status = OperatingStatus.OFFLINE
    if any(one in _IN_ORDER for one in found):
        text = f"fewer pairs are healthy than min_healthy, {group.min_healthy}; {follows}"
        return Operating(OperatingStatus.ERROR, Reason.TOO_FEW_HEALTHY, text)
    return Operating(status, Reason.NO_PAIR_AVAILABLE, f"no pair is available; {follows}")


def of_chain(
    project_id: str, groups: Sequence[GroupOperating], *, withdrawn: bool = False
) -> Operating:
    """Return the operating status of a chain.

    The reason names groups, and nothing of what is in them.

    :param project_id: of the chain.
    :param groups: of its groups, in order.
    :param withdrawn: whether another project has withdrawn a group of the chain.
    """
    if withdrawn:
        text = "another project has withdrawn a port pair group that it shared"
        return Operating(OperatingStatus.ERROR, Reason.GROUP_WITHDRAWN, text)
    disturbed = [one for one in groups if one.own.status not in _IN_ORDER]
    text = "; ".join(f"{label_for(project_id, one.group)} is {one.own.status}" for one in disturbed)
    for status in (OperatingStatus.ERROR, OperatingStatus.OFFLINE, OperatingStatus.DRAINING):
        if any(one.own.status is status and _is_needed(one.group) for one in disturbed):
            return Operating(status, Reason.GROUP_UNAVAILABLE, text)
    if disturbed:
        return Operating(OperatingStatus.DEGRADED, Reason.GROUP_UNAVAILABLE, text)
    is_monitored = any(one.own.status is OperatingStatus.ONLINE for one in groups)
    return Operating(OperatingStatus.ONLINE if is_monitored else OperatingStatus.NO_MONITOR)


def _is_needed(group: PortPairGroup) -> bool:
    """Tell whether packets cannot go on without a group."""
    return not group.tap_enabled and group.failure_mode is FailureMode.CLOSED
