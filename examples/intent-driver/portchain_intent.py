"""A driver for an SDN controller that watches a folder with a file for each chain, in JSON.

The controller is made up, the driver is complete: it compiles chains with pure functions, rejects
what the controller cannot do, reports status, and repairs. docs/drivers.md explains it.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from portchain.core import availability
from portchain.core.model import ChainSnapshot, Port
from portchain.core.rules import Kind, Violation
from portchain.drivers.base import (
    Capabilities,
    ChainStatusReporter,
    OwnChains,
    PeriodicTask,
    PortChainDriver,
)

FOLDER = "PORTCHAIN_INTENT_FOLDER"
MECHANISM = "intent"
MAX_HOPS = 8


# Pure functions decide, so that tests need no controller.


def compile_chain(snapshot: ChainSnapshot) -> dict[str, Any]:
    """Return what the controller has to know about a chain."""
    chain = snapshot.chain
    return {
        "revision": chain.revision,
        "classifiers": [
            {
                "ports": sorted(snapshot.sources[classifier.id]),
                "ethertype": classifier.ethertype,
                "protocol": classifier.protocol,
                "destination": classifier.destination_prefix,
            }
            for classifier in chain.flow_classifiers
        ],
        "hops": [
            [
                [pair.ingress, pair.egress]
                for pair in group.port_pairs
                if availability.members_of(group, snapshot.ports).weights.get(pair.id)
            ]
            for group in chain.port_pair_groups
        ],
    }


def down_reason(intent: Mapping[str, Any]) -> str:
    """Return why a chain cannot forward traffic; empty if it can."""
    empty = [str(number) for number, hop in enumerate(intent["hops"], 1) if not hop]
    return f"no function of hop {', '.join(empty)} is available" if empty else ""


# A thin layer acts.


class IntentDriver(PortChainDriver):
    """Writes the intent of each chain into a file; the controller realises it."""

    name = "intent"
    capabilities = Capabilities(ethertypes=frozenset({"IPv4", "IPv6"}), member_states=True)

    def initialize(self, status: ChainStatusReporter) -> None:
        """Look up the folder."""
        super().initialize(status)
        self._folder = Path(os.environ[FOLDER])

    def claims(self, port: Port) -> bool:
        """Claim the ports that the controller's mechanism driver has bound."""
        return port.mechanism == MECHANISM

    def periodic_tasks(self) -> list[PeriodicTask]:
        """Compare all files with all chains once a minute."""
        return [PeriodicTask("comparison", 60, self.compare)]

    def check_port_chain(self, snapshot: ChainSnapshot) -> None:
        """Reject what capabilities cannot express."""
        if len(snapshot.chain.port_pair_groups) > MAX_HOPS:
            raise Violation(
                "port_pair_groups",
                f"the driver intent supports at most {MAX_HOPS} groups; divide the chain in two",
                Kind.UNSUPPORTED,
            )

    def create_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Write the file of a new chain."""
        self.update_port_chain(context, snapshot)

    def update_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Bring a chain's file to the chain's present state."""
        chain, intent = snapshot.chain, compile_chain(snapshot)
        # No host has to confirm: the chain is ACTIVE once the file is written.
        if self.status.record_plan(
            context, chain.id, chain.revision, (), down_reason=down_reason(intent)
        ):
            self._write(chain.id, intent)

    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Remove a chain's file; may be called twice."""
        self._path(snapshot.chain.id).unlink(missing_ok=True)

    def compare(self, context: Any, chains: OwnChains) -> None:
        """Bring every file to its chain's present state; remove files of chains that are gone or
        belong to another driver.
        """
        obsolete = set(self._chains_with_files())
        for own in chains(context, None):
            obsolete.discard(own.snapshot.chain.id)
            # A chain that cannot be realised keeps its file: its traffic must not bypass it.
            if not own.refusal:
                self._write(own.snapshot.chain.id, compile_chain(own.snapshot))
        for chain_id in obsolete:
            self._path(chain_id).unlink(missing_ok=True)

    def _chains_with_files(self) -> Iterator[str]:
        return (path.stem for path in self._folder.glob("*.json"))

    def _path(self, chain_id: str) -> Path:
        return self._folder / f"{chain_id}.json"

    def _write(self, chain_id: str, intent: Mapping[str, Any]) -> None:
        """Write a file unless it is up to date. The controller sees the old content or the new."""
        path, text = self._path(chain_id), json.dumps(intent, sort_keys=True)
        if path.exists() and path.read_text() == text:
            return
        draft = path.with_suffix(".new")
        draft.write_text(text)
        draft.replace(path)
