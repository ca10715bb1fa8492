"""What the API says of the packets of a chain, and what readers do not see."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from portchain.core.chain_stats import chain_stats
from portchain.core.counters import Count, Counter, CounterKind, DropReason, HostCounts
from portchain.core.model import (
    ChainSnapshot,
    FlowClassifier,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
)

OWNER, LENDER = "alice", "bob"
WEB = FlowClassifier("fc", OWNER, name="web")
LEFT = PortPair("left", OWNER, "left-in", "left-out", name="left's name")
RIGHT = PortPair("right", LENDER, "right-in", "right-out", name="secret")
CHAIN = PortChain(
    "chain",
    OWNER,
    1,
    (
        PortPairGroup("first", OWNER, 1, (LEFT,), name="firewall"),
        PortPairGroup("second", LENDER, 2, (RIGHT,)),
    ),
    (WEB,),
    name="chain's name",
    symmetric=True,
)
PORTS = {"left-in": Port("left-in", "net", OWNER, "02:00:00:00:00:01", host="h1")}
AT = datetime(2026, 2, 3, 4, 5, 6)


def counted(kind: str, subject: str, *, reverse: bool = False) -> Counter:
    return Counter(CHAIN.id, reverse, kind, subject)


COUNTS = HostCounts(
    {
        "h1": {
            counted(CounterKind.CLASSIFIED, WEB.id): Count(9, 900),
            counted(CounterKind.IN, LEFT.id): Count(7, 700),
            counted(CounterKind.OUT, LEFT.id): Count(6, 600),
            counted(CounterKind.LEARNED, LEFT.id): Count(2),
            counted(CounterKind.DROPPED, DropReason.FRAGMENT): Count(2, 20),
            counted(CounterKind.DROPPED, DropReason.UNREALISED, reverse=True): Count(3, 30),
        },
        "h2": {
            counted(CounterKind.IN, LEFT.id): Count(1, 150),
            counted(CounterKind.LEARNED, LEFT.id): Count(5),
            counted(CounterKind.IN, RIGHT.id, reverse=True): Count(4, 400),
        },
    },
    {"h4": "no answer within 5 s", "h3": "it cannot be reached"},
)


def shown(
    counts: HostCounts = COUNTS,
    *,
    chain: PortChain = CHAIN,
    shows_hosts: bool = True,
    sees: Callable[[str], bool] = lambda _: True,
) -> dict[str, Any]:
    snapshot = ChainSnapshot(chain, PORTS, {})
    return chain_stats(snapshot, counts, AT, shows_hosts=shows_hosts, sees=sees)


def pair(name: str, in_: Count, out: Count, learned: int = 0, **others: str) -> dict[str, Any]:
    names = {LEFT.id: LEFT.name, RIGHT.id: RIGHT.name}
    return {
        "id": name,
        "name": names[name],
        "packets_in": in_.packets,
        "bytes_in": in_.bytes,
        "packets_out": out.packets,
        "bytes_out": out.bytes,
        "learned_flows": learned,
    } | others


def hops(*pairs: dict[str, Any]) -> list[dict[str, Any]]:
    groups = {
        LEFT.id: {"id": "first", "name": "firewall"},
        RIGHT.id: {"id": "second", "name": ""},
    }
    return [{"port_pair_group": groups[one["id"]], "port_pairs": [one]} for one in pairs]


def test_counts_of_all_hosts_are_added_for_each_hop_in_each_direction() -> None:
    none = Count()
    assert shown() == {
        "id": "chain",
        "name": "chain's name",
        "project_id": OWNER,
        "updated_at": "2026-02-03T04:05:06Z",
        "paths": [
            {
                "direction": "forward",
                "flow_classifiers": [{"id": "fc", "name": "web", "packets": 9, "bytes": 900}],
                "hops": hops(
                    pair(LEFT.id, Count(8, 850), Count(6, 600), learned=7, host="h1"),
                    pair(RIGHT.id, none, none, host=""),
                ),
                "dropped": [{"reason": "fragment", "packets": 2, "bytes": 20}],
            },
            {
                "direction": "reverse",
                "flow_classifiers": [{"id": "fc", "name": "web", "packets": 0, "bytes": 0}],
                "hops": hops(
                    pair(RIGHT.id, Count(4, 400), none, host=""),
                    pair(LEFT.id, none, none, host="h1"),
                ),
                "dropped": [{"reason": "unrealised", "packets": 3, "bytes": 30}],
            },
        ],
        "hosts_without_answer": [
            {"host": "h3", "reason": "it cannot be reached"},
            {"host": "h4", "reason": "no answer within 5 s"},
        ],
    }


def test_a_chain_that_is_not_symmetric_has_one_path() -> None:
    (path,) = shown(chain=replace(CHAIN, symmetric=False))["paths"]
    assert path == shown()["paths"][0]


def test_a_reader_who_may_not_know_hosts_sees_none() -> None:
    without = shown(shows_hosts=False)
    assert without["hosts_without_answer"] == [
        {"reason": "it cannot be reached"},
        {"reason": "no answer within 5 s"},
    ]
    assert not any("host" in one for path in without["paths"] for one in pairs_of(path))


def test_a_reader_sees_names_of_visible_projects_only() -> None:
    path, _ = shown(sees=lambda project: project == OWNER)["paths"]
    assert [one["name"] for one in (*path["flow_classifiers"], *pairs_of(path))] == [
        "web",
        "left's name",
        "",
    ]


def pairs_of(path: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for hop in path["hops"] for one in hop["port_pairs"]]


@pytest.mark.parametrize("reason", list(DropReason))
def test_each_reason_for_drops_is_shown_once_packets_were_dropped(reason: DropReason) -> None:
    def dropped(count: Count) -> Any:
        counts = HostCounts({"h1": {counted(CounterKind.DROPPED, reason): count}})
        return shown(counts)["paths"][0]["dropped"]

    assert dropped(Count(1, 60)) == [{"reason": str(reason), "packets": 1, "bytes": 60}]
    assert dropped(Count()) == []
