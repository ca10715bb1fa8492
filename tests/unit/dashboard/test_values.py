"""What people type into forms, and what requests say."""

from typing import Any

import pytest
from portchain_dashboard import values


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("", None),
        ("  ", None),
        ("80", (80, 80)),
        ("100-199", (100, 199)),
        (" 1 : 65535 ", (1, 65535)),
    ],
)
def test_a_range_is_one_port_or_two(text: str, ends: Any) -> None:
    assert values.parse_range(text) == ends


@pytest.mark.parametrize("text", ["http", "80,81", "-1", "1-2-3", "80-", "1.5"])
def test_what_is_no_range_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="neither a number nor a range"):
        values.parse_range(text)


@pytest.mark.parametrize("text", ["80", "100-199"])
def test_a_range_is_shown_as_it_is_typed(text: str) -> None:
    ends = values.parse_range(text)
    assert ends is not None
    assert values.show_range(*ends) == text


def test_a_classifier_gets_only_the_ranges_that_were_typed() -> None:
    assert values.classifier_ranges({"source_ports": "", "destination_ports": "80-81"}) == {
        "destination_port_range_min": 80,
        "destination_port_range_max": 81,
    }


def test_words_are_separated_by_commas_and_spaces() -> None:
    assert values.parse_words(" ip_src, tcp_dst udp_src,") == ["ip_src", "tcp_dst", "udp_src"]
    assert values.parse_words(" , ") == []


@pytest.mark.parametrize("text", ["[]", "{", "1", '"a"', "[" * 100_000])
def test_only_json_objects_are_objects(text: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        values.parse_object(text)


def test_an_object_may_be_left_empty() -> None:
    assert values.parse_object(" ") == {}
    assert values.parse_object('{"a": [1]}') == {"a": [1]}


def test_a_request_leaves_out_what_the_server_would_set_anyway() -> None:
    wanted = {"name": "a", "backup": False, "protocol": None, "weight": 0, "port_pairs": []}
    assert values.without_defaults(wanted, {"backup": False}) == {"name": "a", "weight": 0}


def test_an_update_says_only_what_differs() -> None:
    shown = {"name": "a", "description": "", "pairs": ["1"], "check": {"delay": 1, "timeout": 0.5}}
    wanted = {"name": "b", "description": None, "pairs": [], "check": {"delay": 2, "timeout": 0.5}}
    assert values.changes(wanted, shown) == {"name": "b", "pairs": [], "check": {"delay": 2}}
    assert values.changes(shown, shown) == {}


def test_the_order_of_a_list_is_a_difference() -> None:
    assert values.changes({"groups": ["2", "1"]}, {"groups": ["1", "2"]}) == {"groups": ["2", "1"]}


def test_a_graph_is_pairs_of_chains() -> None:
    graph = {"a": ["b", "c"], "b": ["d"]}
    assert values.graph_of(values.edges_of(graph)) == graph
    assert values.graph_of([("a", "b"), ("a", "b")]) == {"a": ["b"]}
