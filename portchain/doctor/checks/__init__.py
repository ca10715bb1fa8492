"""The checks of ``portchain-doctor``: from what was read of a host to what is wrong. Pure."""

from dataclasses import replace

from portchain.doctor import desired
from portchain.doctor.checks import agent, datapath, drops, flows, ports, switch, tunnels
from portchain.doctor.checks.context import Context
from portchain.doctor.findings import Report, join
from portchain.doctor.snapshot import Snapshot


def judge(context: Context) -> Report:
    """Return what is wrong on a host, and what could not be checked."""
    each = (switch, agent, ports, tunnels, flows, datapath, drops)
    return join(module.check(context) for module in each)


def context_of(snapshot: Snapshot) -> Context:
    """Return a snapshot with what the switch should hold."""
    plans, facts, state = snapshot.known_plans, snapshot.switch, snapshot.agent.state
    if state is not None and facts.local is not None:
        # As the agent compiles until the server has planned without functions that have failed.
        facts = replace(facts, local=replace(facts.local, failed=state.left_out))
        snapshot = replace(snapshot, switch=facts)
    wanted = None
    if plans is not None and facts.local is not None and facts.entries is not None:
        wanted = desired.compute(plans, facts.local, facts.entries)
    return Context(snapshot, plans, wanted)
