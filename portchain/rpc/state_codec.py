"""The answer to the call ``state`` (contract 1.19): how what programs a host's switch is.

``portchain-doctor`` asks for it. It checks the answer as every receiver does.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from portchain.core.model import PairHealth
from portchain.dataplane.plan import ChainPlan
from portchain.rpc import contract
from portchain.rpc.fields import (
    ContractError,
    as_mapping,
    read_each,
    read_int,
    read_list,
    read_text,
    read_uuid,
)

_MOST_SECONDS = 2**31
_MOST_VERSIONS = 2**16


@dataclass(frozen=True, slots=True)
class AgentState:
    """How an agent, or the controller of a host, is.

    :param minor_version: of the contract, that it follows.
    :param is_in_sync: whether the switch holds what the plans require, as far as it knows.
    :param compared_seconds: how many seconds ago it has compared all flows with the switch; None
        if it has not done so since its start.
    :param failure: why it cannot program the switch at the moment; empty if it can.
    :param revisions: chain id -> revision of the plan that it has.
    :param health: what it knows of the functions that it checks.
    :param plans: its latest plans, if they were asked for.
    :param left_out: ids of the pairs to which it sends nothing until the server has planned again,
        because their functions have failed.
    """

    minor_version: int
    is_in_sync: bool
    compared_seconds: int | None = None
    failure: str = ""
    revisions: Mapping[str, int] = field(default_factory=dict)
    health: tuple[PairHealth, ...] = ()
    plans: tuple[ChainPlan, ...] = ()
    left_out: frozenset[str] = frozenset()


def encode_state(state: AgentState) -> dict[str, Any]:
    """Return a message for ``decode_state``."""
    update = contract.PlanUpdate(chains=state.plans, parts_sent={})
    return {
        "minor_version": state.minor_version,
        "is_in_sync": state.is_in_sync,
        "compared_seconds": state.compared_seconds,
        "failure": state.failure,
        "revisions": dict(state.revisions),
        "health": [asdict(one) for one in state.health],
        "update": contract.encode_update(update),
        "left_out": sorted(state.left_out),
    }


def decode_state(message: Any) -> AgentState:
    """Return the state in a message.

    :raises ContractError: a value is missing or has a wrong type.
    """
    body = as_mapping(message, "state")
    revisions = as_mapping(body.get("revisions"), "revisions")
    if any(not isinstance(one, str) for one in revisions):
        raise ContractError("revisions: an id is no text")
    compared = body.get("compared_seconds")
    return AgentState(
        minor_version=read_int(body, "minor_version", 0, _MOST_VERSIONS),
        is_in_sync=bool(body.get("is_in_sync", False)),
        compared_seconds=None
        if compared is None
        else read_int(body, "compared_seconds", 0, _MOST_SECONDS),
        failure=read_text(body, "failure"),
        revisions={
            read_uuid({"id": chain_id}, "id"): read_int(revisions, chain_id, 0)
            for chain_id in revisions
        },
        health=read_each(body, "health", _health),
        plans=contract.decode_update(body.get("update")).chains,
        left_out=frozenset(read_uuid({"id": one}, "id") for one in read_list(body, "left_out")),
    )


def _health(item: Mapping[str, Any]) -> PairHealth:
    is_up = bool(item.get("is_up", False))
    return PairHealth(read_uuid(item, "pair_id"), is_up, read_text(item, "reason"))
