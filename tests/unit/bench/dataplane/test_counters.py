"""What the benchmark reads from switches."""

from bench.dataplane import counters

SHOWN = """netdev@ovs-netdev:
  lookups: hit:28 missed:25 lost:0
  flows: 7
  port 0: ovs-netdev (tap)
netdev@ovs-netdev:
  lookups: hit:2 missed:3 lost:0
  flows: 4
"""


def test_misses_and_entries_of_all_hosts_are_added_up():
    assert counters.misses(SHOWN) == 28
    assert counters.entries(SHOWN) == 11


def test_only_new_and_changed_flows_count_as_changes():
    shown = "\n".join(
        f" event={event} table=155 cookie=0" for event in ("ADDED", "DELETED reason=idle", "ADDED")
    )
    assert counters.count_changes(shown) == 2
