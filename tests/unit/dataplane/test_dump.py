"""What a switch prints of a flow, as a value."""

import pytest

from portchain.dataplane import flow, pipeline
from portchain.dataplane.flow import Bridge, Flow, FlowKey, parse_flow

WORDS = frozenset({"tcp", "reg8=0x1", "tp_dst=80"})


@pytest.mark.parametrize(
    ("printed", "table", "priority", "match"),
    [
        (" cookie=0x1, table=150, priority=10,tcp,reg8=0x1,tp_dst=80", 150, 10, WORDS),
        # The default priority is not printed.
        (" cookie=0x1, table=150, tcp,reg8=0x1,tp_dst=80", 150, 32768, WORDS),
        (" cookie=0x1, table=150, priority=0", 150, 0, frozenset()),
        (" cookie=0x1, table=150,", 150, 32768, frozenset()),
        (
            " cookie=0x1, duration=1.2s, table=9, n_packets=3, n_bytes=8, priority=5,ip",
            9,
            5,
            frozenset({"ip"}),
        ),
    ],
)
def test_a_printed_flow_is_read_whatever_is_printed_of_it(printed, table, priority, match):
    read = parse_flow(Bridge.INT, f"{printed} actions=output:1, NORMAL ")
    assert read == Flow(FlowKey(Bridge.INT, table, priority, match), "output:1, NORMAL")


@pytest.mark.parametrize("printed", ["table=x, priority=1", "table=1, priority=x"])
def test_a_line_that_is_malformed_is_refused(printed):
    with pytest.raises(ValueError, match="x"):
        parse_flow(Bridge.INT, f" {printed} actions=drop")


def test_the_check_of_actions_leaves_out_the_values_that_they_write():
    """Few different texts remain, however many ports and registers there are."""
    texts = [
        f"set_field:{n:#x}->reg9,learn(table=151,cookie={n:#x},load:0x1->NXM_NX_REG9[]),"
        f"output:{n}{n % 10}"
        for n in range(100, 200)
    ]
    assert len({pipeline._without_values(text) for text in texts}) == 10


def test_what_is_printed_before_the_priority_is_read_once_for_all_flows_of_a_table():
    """It is the same text for all of them."""
    flow._parse_words.cache_clear()
    for number in range(300):
        parse_flow(
            Bridge.INT, f" cookie=0x1, table={number % 3}, priority={number},ip actions=drop"
        )
    assert flow._parse_words.cache_info().misses == 3
