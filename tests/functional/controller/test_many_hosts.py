"""One controller for several hosts, with a real message broker: as ``bench.scale.controller``."""

from bench.scale.controller import measure


def test_a_controller_programs_all_its_hosts_without_a_process_for_each() -> None:
    """The measurement ends only when all hosts have applied all chains, and a change."""
    found = {row.what: row.values for row in measure([3], rest=0)}
    assert found["processes that it started"] == (0,)
