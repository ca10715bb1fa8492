"""The status of a chain, derived from what is known of its realisation. Pure but for the row it can
be read from.
"""

from dataclasses import dataclass
from typing import Any

from portchain.core.model import ChainStatus

_DRIVERS = "waiting for the drivers"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a chain's status depends on.

    :param failure: why a driver failed, empty if none did.
    :param down_reason: why the chain cannot carry traffic even if every host did its part, empty if
        it can.
    :param warning: what is amiss although the chain carries traffic, empty if nothing is.
    :param errors: host -> why it failed.
    :param pending: host that has not confirmed what it was told last -> what it waits for, if it
        said so.
    """

    revision: int
    realised_revision: int
    failure: str = ""
    down_reason: str = ""
    warning: str = ""
    errors: tuple[tuple[str, str], ...] = ()
    pending: tuple[tuple[str, str], ...] = ()


def facts(row: Any) -> Facts:
    """Return the facts in a chain's row and its hosts' rows."""
    return Facts(
        revision=row.revision,
        realised_revision=row.realised_revision,
        failure=row.failure,
        down_reason=row.down_reason,
        warning=row.warning,
        errors=tuple((host.host, host.error) for host in row.hosts if host.error),
        pending=tuple(
            (host.host, host.missing)
            for host in row.hosts
            if host.missing or host.applied_revision < host.wanted_revision
        ),
    )


def derive(known: Facts) -> tuple[ChainStatus, str]:
    """Return a chain's status and the reason; while it is ACTIVE, what is amiss all the same."""
    if known.failure:
        return ChainStatus.ERROR, known.failure
    if known.errors:
        return ChainStatus.ERROR, "; ".join(f"{host}: {error}" for host, error in known.errors)
    if known.down_reason:
        return ChainStatus.DOWN, "; ".join(filter(None, [known.down_reason, _not_held(known)]))
    if known.realised_revision < known.revision:
        return ChainStatus.BUILD, _DRIVERS
    if known.pending:
        waits = (f"{host} ({missing})" if missing else host for host, missing in known.pending)
        return ChainStatus.BUILD, "; ".join(
            filter(None, [f"waiting for {', '.join(waits)}", known.warning])
        )
    return ChainStatus.ACTIVE, known.warning


def _not_held(known: Facts) -> str:
    """Who has yet to see to it that what a chain classifies is held back; empty if nobody has.

    A host that waits for a port has done what it can. Whose function is where is not for all who see that a chain is down.
    """
    if known.realised_revision < known.revision:
        return _DRIVERS
    silent = sum(not missing for _, missing in known.pending)
    return f"waiting for {silent} host{'s' * (silent > 1)}" if silent else ""
