"""A host hears that functions have failed, before the server has planned again."""

import pytest

from portchain.core.model import PairHealth
from portchain.dataplane.failed_functions import leave_out
from portchain.dataplane.pipeline import TABLES
from portchain.dataplane.plan import ChainPlan, Hop, Reaction, Target
from portchain.dataplane.transition import ChainTransition
from portchain.host import failed_functions as module
from portchain.host.failed_functions import FailedFunctions
from portchain.host.reconciler import Reconciler
from portchain.rpc.contract import PlanUpdate
from tests.plans import after, chain, ident, target
from tests.unit.host.in_memory_switch import MemorySwitch, let_time_pass

A, B, C = target("a", "h1"), target("b", "h2"), target("c", "h3")
DOWN, UP = PairHealth(ident("b"), False, "it hangs"), PairHealth(ident("b"), True)


def plan(revision: int, *targets: Target, returning: tuple[Target, ...] = ()) -> ChainPlan:
    reaction = Reaction(len(targets))
    return chain(Hop(1, targets, returning=returning, reaction=reaction), revision=revision)


WHOLE, WITHOUT = plan(1, A, B, C), plan(2, A, C, returning=(B,))


@pytest.fixture
def host(memory: MemorySwitch, reconciler: Reconciler) -> Reconciler:
    reconciler.synchronise(PlanUpdate((WHOLE,)))
    assert memory.holds_exactly(WHOLE)
    return reconciler


def leaves_out(memory: MemorySwitch, name: str) -> bool:
    return memory.holds_exactly(leave_out(WHOLE, {ident(name)}))


def test_a_function_that_has_failed_is_left_out_until_it_is_back(
    memory: MemorySwitch, host: Reconciler
) -> None:
    host.note_health("h2", [DOWN])
    assert leaves_out(memory, "b")
    host.note_health("h2", [UP])
    assert leaves_out(memory, "b")  # the server's plan may be on its way
    let_time_pass(host, module._BACK_SECONDS)
    assert memory.holds_exactly(WHOLE)
    assert host.seconds_until_due is None


def test_a_function_that_fails_again_stays_left_out(memory: MemorySwitch, host: Reconciler) -> None:
    for said in (DOWN, UP, DOWN):
        host.note_health("h2", [said])
    let_time_pass(host, module._FAILED_SECONDS - 1)
    assert leaves_out(memory, "b")


def test_that_a_function_is_back_twice_puts_nothing_off(
    memory: MemorySwitch, host: Reconciler
) -> None:
    host.note_health("h2", [DOWN])
    for _ in range(2):
        host.note_health("h2", [UP])
        let_time_pass(host, module._BACK_SECONDS / 2)
    assert memory.holds_exactly(WHOLE)


def test_a_host_leaves_out_its_own_function(memory: MemorySwitch, host: Reconciler) -> None:
    host.note_health("h1", [PairHealth(ident("a"), False)])
    assert leaves_out(memory, "a")


@pytest.mark.parametrize("said", [DOWN, PairHealth(ident("other"), False)])
def test_nobody_speaks_of_functions_of_others(
    memory: MemorySwitch, host: Reconciler, said: PairHealth
) -> None:
    host.note_health("h3", [said])
    assert memory.holds_exactly(WHOLE)
    host.note_health("h2", [DOWN])
    host.note_health("h3", [UP])
    assert leaves_out(memory, "b")


def test_what_is_not_repeated_is_forgotten(memory: MemorySwitch, host: Reconciler) -> None:
    host.note_health("h2", [DOWN])
    let_time_pass(host, module._FAILED_SECONDS - 1)
    host.note_health("h2", [DOWN])
    let_time_pass(host, module._FAILED_SECONDS - 1)
    assert leaves_out(memory, "b")
    let_time_pass(host, 2)
    assert memory.holds_exactly(WHOLE)
    assert host.seconds_until_due is None


def test_the_servers_plan_selects_as_the_host_does_already(
    memory: MemorySwitch, host: Reconciler
) -> None:
    host.note_health("h2", [DOWN])
    tables = {TABLES[name].number for name in ("HOP", "BALANCE", "CHOICE", "AFFINITY")}

    def selecting() -> set[object]:
        return {flow for key, flow in memory.flows.items() if key.table in tables}

    before = selecting()
    host.update(PlanUpdate((after(WITHOUT, WHOLE),)))
    let_time_pass(host)
    assert selecting() == before
    assert memory.holds_exactly(after(WITHOUT, WHOLE))


def test_the_server_puts_a_function_back_whatever_hosts_have_missed(
    memory: MemorySwitch, host: Reconciler
) -> None:
    host.note_health("h2", [DOWN])
    again = plan(3, A, B, C)
    for sent in (WITHOUT, again):
        host.update(PlanUpdate((sent,)))
    let_time_pass(host)
    assert memory.holds_exactly(again)


def test_a_plan_from_before_the_report_puts_nothing_back(
    memory: MemorySwitch, host: Reconciler
) -> None:
    host.note_health("h2", [DOWN])
    host.update(PlanUpdate((plan(2, A, B, C),)))
    assert leaves_out(memory, "b")


def test_flows_are_complete_after_the_switch_was_away(
    memory: MemorySwitch, host: Reconciler
) -> None:
    memory.is_down = True
    with pytest.raises(RuntimeError):
        host.note_health("h2", [DOWN])
    memory.is_down = False
    host.reconcile()
    assert leaves_out(memory, "b")


def test_only_the_chains_of_a_function_are_looked_at() -> None:
    """Hosts have thousands of chains, and hear of each failure within a second."""

    class Chains(dict[str, ChainTransition]):
        def __getitem__(self, chain_id: str) -> ChainTransition:
            looked_at.append(chain_id)
            return super().__getitem__(chain_id)

    looked_at: list[str] = []
    chains, failed = Chains(), FailedFunctions(clock=lambda: 0.0)
    for name, made in (("two", A), ("three", B), ("four", B)):
        hop = Hop(1, (made, C), reaction=Reaction(2))
        state = chains[name] = ChainTransition(chain(hop, name=name))
        failed.set_plans(name, state.plans)
    assert failed.note("h2", {ident("b"): False}, chains) == ({ident("b")}, {"three", "four"})
    assert sorted(looked_at) == ["four", "three"]
    # Chains that have gone are none of its chains.
    for name in ("three", "four"):
        failed.set_plans(name, ())
    assert failed.take_back([ident("b")], chains) == set()
    assert not failed._chains_of_pairs._chains.keys() & {ident("b")}
