"""A driver of port chains for a controller that watches a folder: one file for each chain, with its intent as JSON.

Made up, but complete: pure compilation, refusals, status, repair. docs/drivers.md goes through it.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from portchain.core.model import ChainSnapshot, Port
from portchain.core.rules import Kind, Violation
from portchain.db import realisation
from portchain.drivers.base import Capabilities, OwnChains, PeriodicTask, PortChainDriver

FOLDER = "PORTCHAIN_INTENT_FOLDER"
MECHANISM = "intent"
MAX_HOPS = 8


# What decides: pure, so that a test needs no controller.


def compile_chain(snapshot: ChainSnapshot) -> dict[str, Any]:
    """Return what the controller has to know of a chain."""
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
                if usable(pair, snapshot.ports)
            ]
            for group in chain.port_pair_groups
        ],
    }


def usable(pair: Any, ports: Mapping[str, Port]) -> bool:
    """Tell whether both ports of a pair are plugged in."""
    return all(name in ports and ports[name].plugged for name in (pair.ingress, pair.egress))


def obstacle(intent: Mapping[str, Any]) -> str:
    """Why a chain cannot carry traffic; empty if it can."""
    empty = [str(number) for number, hop in enumerate(intent["hops"], 1) if not hop]
    return f"no function of hop {', '.join(empty)} is plugged in" if empty else ""


# What acts: thin.


class IntentDriver(PortChainDriver):
    """Writes each chain's intent into a file; the controller does the rest."""

    name = "intent"
    capabilities = Capabilities(ethertypes=frozenset({"IPv4", "IPv6"}))

    def initialize(self) -> None:
        """Find the folder."""
        self._folder = Path(os.environ[FOLDER])

    def claims(self, port: Port) -> bool:
        """Ports that the controller's mechanism driver has bound."""
        return port.mechanism == MECHANISM

    def periodic_tasks(self) -> list[PeriodicTask]:
        """Compare all files with all chains once a minute."""
        return [PeriodicTask("comparison", 60, self.compare)]

    def check_port_chain(self, snapshot: ChainSnapshot) -> None:
        """Refuse what capabilities cannot express."""
        if len(snapshot.chain.port_pair_groups) > MAX_HOPS:
            raise Violation(
                "port_pair_groups",
                f"the driver intent carries at most {MAX_HOPS} groups; divide the chain in two",
                Kind.UNSUPPORTED,
            )

    def create_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Write the intent of a new chain."""
        self.update_port_chain(context, snapshot)

    def update_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Make a chain's file what it should be."""
        chain, intent = snapshot.chain, compile_chain(snapshot)
        # No host has to confirm: ACTIVE means that the controller has been told.
        if realisation.record_plan(
            context, chain.id, chain.revision, (), down_reason=obstacle(intent)
        ):
            self._write(chain.id, intent)

    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Remove a chain's file; twice is as good as once."""
        self._path(snapshot.chain.id).unlink(missing_ok=True)

    def compare(self, context: Any, chains: OwnChains) -> None:
        """Make every file right, and remove those of chains that are gone or another driver's."""
        others = set(self._there())
        for own in chains(context, None):
            others.discard(own.snapshot.chain.id)
            # What cannot be carried out as it is now keeps its file: its traffic must not go around the functions.
            if not own.refusal:
                self._write(own.snapshot.chain.id, compile_chain(own.snapshot))
        for chain_id in others:
            self._path(chain_id).unlink(missing_ok=True)

    def _there(self) -> Iterator[str]:
        return (path.stem for path in self._folder.glob("*.json"))

    def _path(self, chain_id: str) -> Path:
        return self._folder / f"{chain_id}.json"

    def _write(self, chain_id: str, intent: Mapping[str, Any]) -> None:
        """Write a file if it is not right already; the controller sees all of it or nothing."""
        path, text = self._path(chain_id), json.dumps(intent, sort_keys=True)
        if path.exists() and path.read_text() == text:
            return
        draft = path.with_suffix(".new")
        draft.write_text(text)
        draft.replace(path)
