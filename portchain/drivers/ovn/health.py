"""What OVN found out about functions: it writes a ``Service_Monitor`` for each check into its Southbound database."""

from collections.abc import Iterable
from typing import Any

from oslo_log import log as logging

from portchain.core.model import PortChain
from portchain.drivers.ovn.errors import Unreachable
from portchain.drivers.ovn.northbound import Database, Noted
from portchain.drivers.ovn.probing import checked
from portchain.drivers.ovn.rows import chain_of_probe, probe_name

LOG = logging.getLogger(__name__)

_TABLE = "Service_Monitor"
_ONLINE, _FAILED = ["online"], (["offline"], ["error"])


class Health:
    """Reads the verdicts, and notes whose chains' changed."""

    def __init__(self, southbound: Database) -> None:
        self._southbound = southbound
        self._changed: Noted | None = None

    def offline(self, chain: PortChain) -> frozenset[str]:
        """Ids of the pairs of a chain that do not pass their health check; those of which nothing is known yet may.

        Without an answer of the database, what it said last counts: chains must not wait for it.
        """
        pairs = list(checked(chain))
        if not pairs:
            return frozenset()
        try:
            self._southbound.connect()
        except Unreachable as error:
            LOG.warning("What OVN found out about functions may be out of date: %s", error)
        if not self._southbound.is_known:
            return frozenset()
        return frozenset(
            pair.id for pair in pairs if self._verdict(chain.id, pair.egress) in _FAILED
        )

    def is_online(self, chain_id: str, egress: str) -> bool:
        """Whether a function that is checked is known to pass, by its egress."""
        return self._verdict(chain_id, egress) == _ONLINE

    def changed(self) -> set[str]:
        """Ids of the chains of which a verdict changed since the last call; at first, all that have one.

        :raises Unreachable: the database does not answer.
        """
        if self._changed is None:
            self._changed = Noted()
            self._southbound.watch(self._note)
        self._southbound.connect()
        return self._changed.take()

    def later(self, chains: Iterable[str]) -> None:
        """Have chains among the changed ones of the next call."""
        if self._changed is not None:
            self._changed.add(chains)

    def _note(self, row: Any) -> None:
        """Called from ovsdbapp's thread with a row that came, went or changed."""
        chain = chain_of_probe(str(getattr(row, "logical_port", "")))
        if chain and self._changed is not None:
            self._changed.add([chain])

    def _verdict(self, chain_id: str, egress: str) -> list[str]:
        row = self._southbound.named(_TABLE, probe_name(chain_id, egress))
        return list(row.status) if row is not None else []
