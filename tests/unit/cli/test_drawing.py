"""``openstack sfc port chain draw``: what it asks the server for."""

import argparse
import io
from types import SimpleNamespace
from typing import Any

import pytest

from portchain.cli.client import ClientError, Shown
from portchain.cli.drawing import DrawSfcPortChain
from portchain.cli.kinds import Kind
from tests.unit.drawing.test_drawings import CHAIN, CLASSIFIERS, GROUPS, PAIRS, STATS, STATUSES


class Server:
    """Has the chain of the drawings' tests, as a caller sees it.

    :param members: what it answers to ``/statuses`` and ``/stats``; nothing if it is older.
    """

    def __init__(self, **members: Any) -> None:
        self.members = members
        self.resources = {
            "port_chain": [CHAIN],
            "flow_classifier": CLASSIFIERS,
            "port_pair_group": GROUPS,
            "port_pair": PAIRS,
        }

    def show(self, kind: Kind, name: str) -> Shown:
        return next(one for one in self.resources[kind.name] if one["name"] == name)

    def list(self, kind: Kind, **query: str) -> list[Shown]:
        return [one for one in self.resources[kind.name] if one["id"] == query["id"]]

    def read(self, _kind: Kind, resource_id: str, name: str) -> Any:
        assert resource_id == CHAIN["id"]
        if name not in self.members:
            raise ClientError("HTTP 404")
        return self.members[name]


def draw(server: Server, *options: str) -> str:
    out = io.StringIO()
    app = SimpleNamespace(client_manager=SimpleNamespace(portchain=server), stdout=out)
    command = DrawSfcPortChain(app, argparse.Namespace())  # type: ignore[arg-type]
    parser = command.get_parser("draw")
    command.take_action(parser.parse_args(["PC1", *options]))
    return out.getvalue()


def test_a_chain_is_drawn_with_health_and_counters() -> None:
    text = draw(Server(statuses=STATUSES, stats=STATS))
    for word in ("PC1", "DEGRADED", "● PP1", "1,204 in 1,199 out", "its pairs are not yours"):
        assert word in text
    assert "\x1b" not in text  # no terminal


def test_a_chain_is_drawn_without_what_an_older_server_lacks() -> None:
    text = draw(Server())
    assert "PP1" in text
    assert "1,204" not in text


@pytest.mark.parametrize(
    ("name", "begins"), [("svg", "<svg"), ("dot", "digraph"), ("mermaid", "flowchart")]
)
def test_other_formats_are_written_as_they_are(name: str, begins: str) -> None:
    assert draw(Server(), "-f", name).startswith(begins)
