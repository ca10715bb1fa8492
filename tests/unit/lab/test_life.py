"""The oracle of the lab's random life: where packets may go, and what hosts must have counted."""

from collections import Counter
from typing import Any

import pytest
from portchain_lab.observe.packet_paths import FiveTuple, Observation

from tests.lab.life.counts import ChainCounts, Figures, seen_figures, shown_figures
from tests.lab.life.model import Cloud, Wish
from tests.lab.life.traces import Prediction

HOSTS = {"src": "h1", "dst": "h3", "sf1": "h1", "sf2": "h2", "sf3": "h3"}
IDS = {"sf1": "PP1", "sf2": "PP2", "sf3": "PP3"}
IN, OUT = ("forward", "in", "PP1"), ("forward", "out", "PP1")


def cloud(**changes: Any) -> Cloud:
    members = {"PG1": ["sf1", "sf2"], "PG2": ["sf3"], "PG3": []}
    return Cloud(members, dict(HOSTS), not_sent=(104,), refused=(103,), **changes)


def wish(*groups: str, symmetric: bool = False) -> Wish:
    return Wish((100, 104), groups, symmetric, {"id": "PC1"}, {"id": "FC1"})


def through(*functions: str, to: str = "dst") -> tuple[str, ...]:
    ways = {"sf1": ("p1", "p2"), "sf2": ("p3", "p4"), "sf3": ("p5", "p6")}
    return ("src", *(port for name in functions for port in ways[name]), *filter(None, [to]))


@pytest.mark.parametrize(
    ("changes", "groups", "port", "paths"),
    [
        ({}, ("PG1", "PG2"), 100, {through("sf1", "sf3"), through("sf2", "sf3")}),
        ({}, (), 100, {through()}),
        ({}, ("PG2",), 103, {through("sf3", to="")}),
        ({}, ("PG2",), 104, {through(to="")}),
        ({}, ("PG2", "PG3"), 100, {through("sf3", to="")}),
        ({}, ("PG3", "PG2"), 100, {through(to="")}),
        ({"down": {"sf1"}}, ("PG1",), 100, {through("sf2")}),
        ({"down": {"sf1", "sf2"}}, ("PG1",), 100, {through(to="")}),
        ({"hung": {"sf1"}}, ("PG1",), 100, {through(to="p1"), through("sf2")}),
        ({"hung": {"sf1"}}, ("PG1", "PG3"), 100, {through(to="p1"), through("sf2", to="")}),
        ({"hung": {"sf3"}}, ("PG2",), 103, {through(to="p5")}),
    ],
)
def test_packets_go_through_each_group_until_something_ends_their_way(
    changes: dict[str, Any], groups: tuple[str, ...], port: int, paths: set[tuple[str, ...]]
) -> None:
    assert cloud(**changes).paths(wish(*groups) if groups else None, port) == paths


def test_a_connection_can_fail_if_one_of_its_ways_does_not_reach_the_destination() -> None:
    assert cloud(hung={"sf1"}).can_fail(wish("PG1"), 100)
    assert not cloud().can_fail(wish("PG1"), 100)


def test_hosts_of_ends_and_working_functions_have_a_part() -> None:
    assert cloud().hosts_of(wish("PG1")) == {"h1", "h2"}
    assert cloud(down={"sf2"}).hosts_of(wish("PG1")) == {"h1"}
    assert cloud().hosts_of(wish("PG1", symmetric=True)) == {"h1", "h2", "h3"}


def observed(
    *path: str, port: int = 100, back: bool = False, starts: str = "src"
) -> list[Observation]:
    """A packet at the ports of its way."""
    ends = FiveTuple("tcp", "10.0.0.1", 10_000, "10.0.0.2", port)
    five_tuple = ends.reverse if back else ends
    return [
        Observation(n, "", name, (n % 2 == 0) is (path[0] == starts), five_tuple, b"", None, 64)
        for n, name in enumerate(path)
    ]


def figures(seen: list[Observation], of: Wish, where: Cloud) -> Counter[tuple[str, ...]]:
    return Counter((host, *figure) for host, figure in seen_figures(seen, of, where, IDS))


def test_a_packet_counts_at_the_hosts_of_the_ports_that_it_passes() -> None:
    seen = observed(*through("sf1", "sf3"))
    assert figures(seen, wish("PG1", "PG2"), cloud()) == {
        ("h1", "forward", "classified", "FC1"): 1,
        ("h1", "forward", "in", "PP1"): 1,
        ("h1", "forward", "out", "PP1"): 1,
        ("h3", "forward", "in", "PP3"): 1,
        ("h3", "forward", "out", "PP3"): 1,
    }


def test_replies_count_in_symmetric_chains_only() -> None:
    seen = observed(*reversed(through("sf1")), back=True, starts="dst")
    assert figures(seen, wish("PG1", symmetric=True), cloud()) == {
        ("h3", "reverse", "classified", "FC1"): 1,
        ("h1", "reverse", "in", "PP1"): 1,
        ("h1", "reverse", "out", "PP1"): 1,
    }
    assert not figures(seen, wish("PG1"), cloud())


@pytest.mark.parametrize(
    ("path", "groups", "host"),
    [(through(to=""), ("PG3", "PG1"), "h1"), (through("sf3", to=""), ("PG2", "PG3"), "h3")],
)
def test_the_host_before_an_empty_group_drops(
    path: tuple[str, ...], groups: tuple[str, ...], host: str
) -> None:
    found = figures(observed(*path), wish(*groups), cloud())
    drops = {key: count for key, count in found.items() if "dropped" in key}
    assert drops == {(host, "forward", "dropped", "no_function"): 1}


def test_what_the_source_may_not_send_is_not_classified() -> None:
    assert not figures(observed("src", port=104), wish("PG1"), cloud())


def test_a_function_that_hangs_returns_nothing() -> None:
    found = figures(observed("src", "p1"), wish("PG1"), cloud(hung={"sf1"}))
    assert [key[2] for key in found] == ["classified", "in"]


def shown(**values: int) -> Figures:
    """What the API shows of the pair PP1."""
    found: Figures = Counter()
    found[IN], found[OUT] = values.get("got", 0), values.get("returned", 0)
    return found


def test_a_host_that_gets_a_part_again_has_forgotten_or_not() -> None:
    counts = ChainCounts(["h1", "h2"])
    counts.add("h1", IN)
    counts.add("h2", IN)
    assert counts.accept(shown(got=2))
    counts.set_hosts(["h2"])
    assert not counts.accept(shown(got=2))
    assert counts.accept(shown(got=1))
    counts.set_hosts(["h1", "h2"])
    counts.add("h1", IN)
    assert counts.allowed(shown()) == [shown(got=2), shown(got=3)]
    assert counts.accept(shown(got=3))
    assert counts.allowed(shown()) == [shown(got=3)], "it has not forgotten, and does not later"


def test_what_is_not_shown_is_not_compared_but_drops_are() -> None:
    counts = ChainCounts(["h1"])
    counts.add("h1", ("forward", "in", "another pair"))
    assert counts.accept(shown())
    counts.add("h1", ("forward", "dropped", "no_function"))
    assert not counts.accept(shown())
    assert counts.accept(shown() + Counter({("forward", "dropped", "no_function"): 1}))


def test_figures_are_those_of_the_api() -> None:
    pair = {"id": "PP1", "packets_in": 3, "packets_out": 2}
    path = {
        "direction": "forward",
        "flow_classifiers": [{"id": "FC1", "packets": 4}],
        "hops": [{"port_pairs": [pair]}],
        "dropped": [{"reason": "no_function", "packets": 1}],
    }
    assert shown_figures({"paths": [path]}) == {
        ("forward", "classified", "FC1"): 4,
        IN: 3,
        OUT: 2,
        ("forward", "dropped", "no_function"): 1,
    }


@pytest.mark.parametrize(
    ("predicted", "is_delivered", "path", "agrees"),
    [
        (through("sf1"), True, through("sf1"), True),
        (through("sf1"), False, through("sf1"), False),
        (through("sf1"), True, through("sf2"), False),
        (through("sf1"), True, through(to="p1"), True),
        (through(to="p1"), False, through(to="p1"), False),
        (through("sf2"), True, through(to="p1"), False),
        (through("sf2", to=""), False, through("sf2", to=""), True),
        (through("sf2"), True, through("sf2", to=""), False),
    ],
)
def test_a_trace_agrees_with_the_way_up_to_a_function_that_hangs(
    predicted: tuple[str, ...], is_delivered: bool, path: tuple[str, ...], agrees: bool
) -> None:
    one = Prediction(predicted, is_delivered, is_classified=True, shown={})
    assert one.agrees(path, "dst", keepers=("p1",)) is agrees
