"""Whether the datapath can do what the flows of chains ask for. Pure."""

from collections import defaultdict
from collections.abc import Iterator

from portchain.doctor.checks.context import Context
from portchain.doctor.findings import Finding, Report, Severity, Unchecked
from portchain.doctor.words import listed


def check(context: Context) -> Report:
    """Check the datapath, and the kernel's module that divides large packets."""
    facts = context.snapshot.switch
    if facts.lacks_error and not facts.database_error and not facts.daemon_error:
        unknown = Unchecked("features of the datapath", facts.lacks_error, "run this again")
        return Report(unchecked=(unknown,))
    return Report(tuple(_findings(context)))


def _findings(context: Context) -> Iterator[Finding]:
    chains: defaultdict[str, list[str]] = defaultdict(list)
    for chain_id, outcome in context.desired.outcomes.items() if context.desired else ():
        if outcome.warning:
            chains[outcome.warning].append(chain_id)
    for warning, chain_ids in sorted(chains.items()):
        yield Finding(
            severity=Severity.WARNING,
            compared="features of the datapath with what flows of chains use",
            found=warning,
            meaning=f"this concerns packets of {listed(chain_ids)}",
            action="load the module that is named, or use a kernel and an Open vSwitch that have "
            "what is missing (docs/datapaths.md)",
            chain_ids=tuple(sorted(chain_ids)),
        )
