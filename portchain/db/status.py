"""Derives the status of a chain from the recorded progress of its realisation."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from portchain.core.model import ChainStatus
from portchain.db import redaction

_FOR_DRIVERS = "waiting for the drivers"
_WITHDRAWN = (
    "another project has withdrawn a port pair group that it shared; the chain drops its packets. "
    "Set port_pair_groups, or delete the chain"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts that determine a chain's status.

    :param group_withdrawn: another project has withdrawn a group of the chain.
    :param failure: why a driver failed; empty if none did.
    :param down_reason: why the chain cannot forward traffic even if every host does its part;
        empty if it can.
    :param warning: what the owner should know although the chain forwards traffic; empty if
        nothing.
    :param host_warnings: pairs of a host and what it carries slowly or not at all.
    :param errors: pairs of a host and the reason why it failed.
    :param pending: pairs of a host that has not confirmed its latest plan and what it waits for;
        the latter is empty if the host has not said.
    """

    revision: int
    realised_revision: int
    group_withdrawn: bool = False
    failure: str = ""
    down_reason: str = ""
    warning: str = ""
    host_warnings: tuple[tuple[str, str], ...] = ()
    errors: tuple[tuple[str, str], ...] = ()
    pending: tuple[tuple[str, str], ...] = ()


def facts(row: Any) -> Facts:
    """Return the facts recorded in a chain's row and in the rows of its hosts."""
    return Facts(
        revision=row.revision,
        realised_revision=row.realised_revision,
        group_withdrawn=row.group_withdrawn,
        failure=row.failure,
        down_reason=row.down_reason,
        warning=row.warning,
        host_warnings=tuple((host.host, host.warning) for host in row.hosts if host.warning),
        errors=tuple((host.host, host.error) for host in row.hosts if host.error),
        pending=tuple(
            (host.host, host.missing)
            for host in row.hosts
            if host.missing or host.applied_revision < host.wanted_revision
        ),
    )


def reason_without_hosts(row: Any) -> str:
    """Return the reason for a chain's status for readers who may not see all of its hosts.

    What a host reports names ports, which may be another project's. So it is left out.
    """
    hosts, known = [host.host for host in row.hosts], facts(row)
    hidden = "see the log of the host's agent; a group of another project takes part in the chain"
    state, reason = derive(
        replace(
            known,
            failure=redaction.redact_hosts(known.failure, hosts),
            down_reason=redaction.redact_hosts(known.down_reason, hosts),
            warning=redaction.redact_hosts(known.warning, hosts),
            errors=known.errors and (("a host", f"it cannot realise the chain; {hidden}"),),
        ),
        name_hosts=False,
    )
    lacks_port = state is ChainStatus.BUILD and any(missing for _, missing in known.pending)
    return _joined(reason, f"a port is not plugged in yet; {hidden}" if lacks_port else "")


def derive(known: Facts, *, name_hosts: bool = True) -> tuple[ChainStatus, str]:
    """Return a chain's status and the reason for it.

    The reason of an ACTIVE chain is its warning.

    :param name_hosts: name hosts that are waited for, and say what they wait for.
    """
    if error := _error(known):
        return ChainStatus.ERROR, error
    if known.down_reason:
        return ChainStatus.DOWN, _joined(known.down_reason, _not_yet_blocked(known))
    if known.realised_revision < known.revision:
        return ChainStatus.BUILD, _FOR_DRIVERS
    warning = _joined(known.warning, *_host_warnings(known, name_hosts))
    if known.pending:
        waits = (f"{host} ({missing})" if missing else host for host, missing in known.pending)
        awaited = ", ".join(waits) if name_hosts else _counted(len(known.pending))
        return ChainStatus.BUILD, _joined(f"waiting for {awaited}", warning)
    return ChainStatus.ACTIVE, warning


def _host_warnings(known: Facts, name_hosts: bool) -> Iterator[str]:
    """Yield what hosts carry slowly or not at all; hosts of which the same is true together."""
    texts = sorted({text for _, text in known.host_warnings})
    for text in texts:
        hosts = sorted(host for host, other in known.host_warnings if other == text)
        yield f"{', '.join(hosts) if name_hosts else _counted(len(hosts))}: {text}"


def _error(known: Facts) -> str:
    """Return why a chain is in ERROR; empty if it is not."""
    if known.group_withdrawn:
        # Other reasons may be about the chain as it was, with names of the other project in them.
        return _joined(_WITHDRAWN, _not_yet_blocked(known))
    return known.failure or "; ".join(f"{host}: {error}" for host, error in known.errors)


def _not_yet_blocked(known: Facts) -> str:
    """Return what does not yet drop the traffic of a chain; empty if all hosts do.

    A host that waits for a port already drops the traffic. Hosts are counted and not named: not
    everybody who sees that a chain is DOWN may see where its functions are.
    """
    if known.realised_revision < known.revision:
        return _FOR_DRIVERS
    silent = sum(not missing for _, missing in known.pending)
    return f"waiting for {_counted(silent)}" if silent else ""


def _counted(hosts: int) -> str:
    return f"{hosts} host{'s' * (hosts > 1)}"


def _joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))
