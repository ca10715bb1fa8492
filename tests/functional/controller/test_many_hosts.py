"""One controller for several hosts, with a real message broker: as ``bench.scale.controller``."""

from bench.scale.controller import measure

TAKEN = 1100


def test_a_controller_programs_all_its_hosts_without_a_process_for_each() -> None:
    """The measurement ends only when all hosts have applied all chains, and a change.

    Open files stand for other hosts: with some seventy, descriptors exceed what ``select`` takes.
    """
    found = {row.what: row.values for row in measure([3], rest=0, taken=TAKEN)}
    assert found["processes that it keeps"] == (0,)
    (descriptors,) = found["descriptors"]
    assert descriptors is not None
    assert descriptors > TAKEN
