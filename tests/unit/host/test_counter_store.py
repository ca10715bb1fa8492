"""What is kept of the counts of flows: totals never fall, and nothing counts twice."""

import pytest

from portchain.core.counters import Count, Counter
from portchain.dataplane.flow import Bridge, FlowKey
from portchain.host.counter_store import CounterStore, open_store

ONE, OTHER = (
    FlowKey(Bridge.INT, 152, 10, frozenset({"reg8=0x10001", f"reg9={n}"})) for n in (1, 2)
)
VISITS = Counter("c1", False, "in", "pair")
ENTERS = Counter("c1", False, "classified", "fc")


@pytest.fixture
def store():
    return CounterStore(":memory:")


def observe(store, *counts):
    assert store.observe([(key, VISITS, Count(n, 10 * n)) for key, n in counts], store.retirements)
    return packets(store)


def packets(store):
    return store.totals(["c1"]).get(VISITS, Count()).packets


def test_the_total_is_the_sum_of_the_flows(store):
    assert observe(store, (ONE, 5), (OTHER, 7)) == 12
    assert observe(store, (ONE, 6), (OTHER, 7)) == 13
    assert store.totals(["c1"]) == {VISITS: Count(13, 130)}
    assert store.totals(["c2"]) == {}


def test_a_flow_that_was_created_again_keeps_what_it_counted(store):
    observe(store, (ONE, 5))
    assert observe(store, (ONE, 2)) == 7
    assert observe(store, (ONE, 4)) == 9


def test_a_flow_that_was_missing_counts_from_zero(store):
    """Even if it has counted more by then than before."""
    observe(store, (ONE, 5))
    store.lose([ONE])
    assert packets(store) == 5
    assert observe(store, (ONE, 8)) == 13


def test_a_deleted_flow_counts_once(store):
    observe(store, (ONE, 5))
    store.retire([(ONE, VISITS, Count(6, 60))])
    assert packets(store) == 6
    assert observe(store, (ONE, 1)) == 7  # the same flow again, later


def test_a_deleted_flow_that_was_created_again_before_counts_both(store):
    observe(store, (ONE, 5))
    store.retire([(ONE, VISITS, Count(2, 20))])
    assert packets(store) == 7


def test_what_was_read_before_a_deletion_is_not_noted_after_it(store):
    before = store.retirements
    store.retire([(ONE, VISITS, Count(5, 50))])
    assert not store.observe([(ONE, VISITS, Count(5, 50))], before)
    assert packets(store) == 5


def test_a_flow_that_nobody_knows_counts_for_what_it_counted_for(store):
    observe(store, (ONE, 5))
    assert store.counters_of([ONE, OTHER]) == {ONE: VISITS}
    store.retire([(ONE, None, Count(6, 60)), (OTHER, None, Count(9, 90))])
    assert store.totals(["c1"]) == {VISITS: Count(6, 60)}


def test_an_added_flow_is_known_before_it_has_been_read(store):
    store.begin([(ONE, VISITS)])
    store.retire([(ONE, None, Count(6, 60))])
    assert packets(store) == 6


def test_a_flow_that_is_added_again_keeps_what_is_known(store):
    observe(store, (ONE, 5))
    store.begin([(ONE, ENTERS)])
    assert store.totals(["c1"]) == {VISITS: Count(5, 50)}


def test_a_flow_that_counts_for_something_else_leaves_what_it_counted(store):
    observe(store, (ONE, 5))
    store.observe([(ONE, ENTERS, Count(2, 20))], store.retirements)
    assert store.totals(["c1"]) == {VISITS: Count(5, 50), ENTERS: Count(2, 20)}


def test_a_forgotten_chain_is_gone(store):
    observe(store, (ONE, 5))
    store.retire([(OTHER, VISITS, Count(5, 50))])
    assert store.chain_ids() == {"c1"}
    store.forget(["c1"])
    assert packets(store) == 0
    assert store.chain_ids() == set()


def test_counts_outlive_the_process(tmp_path):
    observe(open_store("h1", str(tmp_path)), (ONE, 5))
    again = open_store("h1", str(tmp_path))
    assert packets(again) == 5
    assert observe(again, (ONE, 3)) == 8
    assert packets(open_store("h2", str(tmp_path))) == 0


def test_without_a_directory_counts_live_as_long_as_the_process(tmp_path, caplog):
    (tmp_path / "port_chain").write_text("a file")
    store = open_store("h1", str(tmp_path))
    assert observe(store, (ONE, 5)) == 5
    assert "state_path" in caplog.text


def test_a_damaged_file_does_not_stop_the_agent(tmp_path, caplog):
    (tmp_path / "port_chain").mkdir()
    (tmp_path / "port_chain" / "counters-h1.sqlite").write_bytes(b"no database" * 1000)
    assert observe(open_store("h1", str(tmp_path)), (ONE, 5)) == 5
    assert "state_path" in caplog.text
