"""Whether the agent lives, compares, and has the plans that the server has. Pure."""

from collections.abc import Iterator

from portchain.doctor.checks.context import Context
from portchain.doctor.findings import Finding, Report, Severity, Unchecked
from portchain.doctor.words import listed
from portchain.rpc import contract
from portchain.rpc.state_codec import AgentState

_LATE = 4
"""So many intervals without a comparison are too many: each may take long on a busy host."""


def check(context: Context) -> Report:
    """Check the agent, and its conversation with the server."""
    return Report(tuple(_findings(context)), tuple(_unchecked(context)))


def _findings(context: Context) -> Iterator[Finding]:
    facts = context.snapshot.agent
    if facts.state is not None:
        yield from _of_state(context, facts.state)
    elif not facts.is_alive:
        yield Finding(
            severity=Severity.ERROR,
            compared=f"the agent ({context.agent})",
            found=f"no such process runs on this host, {_silence(context)}",
            meaning="packets go on by the flows that the switch has. Changes of chains, of ports "
            "and of functions' health do not come into force here, and flows that are lost stay "
            "lost",
            action=f"start {context.agent}",
        )
    elif facts.processes and not facts.is_older and not context.snapshot.bus_error:
        yield Finding(
            severity=Severity.ERROR,
            compared=f"the agent ({_processes(context)})",
            found=f"it runs, and does not answer on the message broker: {facts.silence}",
            meaning="changes of chains may not come into force here",
            action="see its log: it may lack the extension port_chain (section agent, option "
            "extensions), wait for Open vSwitch, or have lost the message broker",
        )


def _silence(context: Context) -> str:
    if context.snapshot.bus_error:
        return "and the message broker cannot be reached to ask a portchain-controller"
    return (
        f"and nothing answers for the host on the message broker ({context.snapshot.agent.silence})"
    )


def _processes(context: Context) -> str:
    processes = context.snapshot.agent.processes.items()
    return ", ".join(f"{program}, process {pid}" for pid, program in sorted(processes))


def _of_state(context: Context, state: AgentState) -> Iterator[Finding]:
    compared = f"the agent ({_processes(context) or 'portchain-controller'})"
    if state.failure or not state.is_in_sync:
        yield Finding(
            severity=Severity.ERROR,
            compared=f"{compared}: does it program the switch?",
            found=f"it cannot: {state.failure or 'it does not know what the switch holds'}",
            meaning="packets go on by the flows of before; changes of chains do not come into "
            "force here",
            action="see its log, and what is wrong with Open vSwitch here. It tries again every "
            "2 s",
            may_pass=True,
        )
    limit = _LATE * context.snapshot.sync_interval
    seconds = state.compared_seconds
    if seconds is None or seconds > limit:
        found = "it has not done so" if seconds is None else f"the last time was {seconds} s ago"
        yield Finding(
            severity=Severity.WARNING,
            compared=f"{compared}: when has it compared all flows with the switch?",
            found=f"{found}; every {context.snapshot.sync_interval} s is usual",
            meaning="flows that are lost stay lost, and changes whose message was lost do not come "
            "into force",
            action="find out whether the Neutron server answers: see the agent's log",
            may_pass=True,
        )
    if state.minor_version != contract.MINOR_VERSION:
        yield Finding(
            severity=Severity.WARNING,
            compared=f"{compared}: version of the contract with the server",
            found=f"it follows 1.{state.minor_version}; the package that is installed here follows "
            f"1.{contract.MINOR_VERSION}",
            meaning="the agent still runs the release from before an upgrade, and this program may "
            "expect other flows than it programs",
            action=f"restart {context.agent}",
        )
    yield from _revisions(context, state)
    yield from _health(context, state)


def _revisions(context: Context, state: AgentState) -> Iterator[Finding]:
    plans = context.snapshot.plans.of_server
    if plans is None:
        return
    for plan in plans:
        known = state.revisions.get(plan.id)
        if known is None or known < plan.revision:
            has = "has no plan" if known is None else f"has revision {known}"
            yield Finding(
                severity=Severity.ERROR,
                compared=f"the agent's plan of chain {plan.id} with the server's",
                found=f"the agent {has}, the server revision {plan.revision}",
                meaning="this host treats packets of the chain as before its last change",
                action="run this again after some seconds; if it stays so, see the logs of the "
                "agent and of neutron-rpc-server for calls of sync that fail",
                chain_ids=(plan.id,),
                may_pass=True,
            )
    gone = state.revisions.keys() - {plan.id for plan in plans}
    if gone:
        yield Finding(
            severity=Severity.WARNING,
            compared="the agent's chains with the server's",
            found=f"the agent has chains in which this host has no part: {listed(gone)}",
            meaning="packets are still taken into chains that are deleted, or have moved",
            action="run this again after some seconds; if it stays so, see the agent's log",
            chain_ids=tuple(sorted(gone)),
            may_pass=True,
        )


def _health(context: Context, state: AgentState) -> Iterator[Finding]:
    for one in state.health:
        if one.is_up:
            continue
        chains = tuple(
            plan.id
            for plan in context.plans or ()
            if any(probe.pair_id == one.pair_id for probe in plan.probes)
        )
        yield Finding(
            severity=Severity.WARNING,
            compared=f"health check of the function of pair {one.pair_id}",
            found=f"it has failed: {one.reason}",
            meaning="the function gets no packets until it answers again; others of its group take "
            "them, or the group's failure mode decides",
            action="look at the function's virtual machine: does it run, forward packets, and have "
            "its addresses?",
            chain_ids=chains,
        )


def _unchecked(context: Context) -> Iterator[Unchecked]:
    snapshot = context.snapshot
    if snapshot.bus_error:
        yield Unchecked(
            "what the agent and the Neutron server say",
            snapshot.bus_error,
            "start the message broker, or correct transport_url in the agent's configuration",
        )
    elif snapshot.plans.of_server is None:
        yield Unchecked(
            "whether the agent has the plans that the Neutron server has",
            f"the server does not answer: {snapshot.plans.silence}",
            "start neutron-rpc-server (or neutron-server), or see its log. A server of a release "
            "before contract 1.19 cannot answer: upgrade it",
        )
    if snapshot.agent.state is None:
        reason = (
            "the agent's release is from before contract 1.19"
            if snapshot.agent.is_older
            else "only the agent knows it, and it does not answer"
        )
        yield Unchecked(
            "the agent's last comparison, and which functions of this host have failed",
            reason,
            f"upgrade or start {context.agent}, and run this again",
        )
