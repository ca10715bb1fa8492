"""``openstack sfc port chain stats show``, with a server that is simulated."""

import argparse
from io import StringIO
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from osc_lib import exceptions

from portchain.cli import stats
from portchain.cli.client import ClientError

SHOWN = {
    "id": "c1",
    "name": "web",
    "updated_at": "2026-11-30T00:00:00Z",
    "paths": [
        {
            "direction": "forward",
            "flow_classifiers": [{"id": "f1", "name": "FC1", "packets": 9, "bytes": 90}],
            "hops": [
                {
                    "port_pair_group": {"id": "g1", "name": "PG1"},
                    "port_pairs": [
                        {
                            "id": "p1",
                            "name": "",
                            "host": "h1",
                            "packets_in": 7,
                            "bytes_in": 70,
                            "packets_out": 6,
                            "bytes_out": 60,
                            "learned_flows": 5,
                        }
                    ],
                }
            ],
            "dropped": [{"reason": "fragment", "packets": 2, "bytes": 20}],
        }
    ],
    "hosts_without_answer": [{"host": "h2", "reason": "no answer within 5 s"}],
}
ROWS = [
    ("forward", "", "", "classified by FC1", "", 9, "", 90, "", ""),
    ("forward", 1, "PG1", "p1", "h1", 7, 6, 70, 60, 5),
    ("forward", "", "", "dropped: fragment", "", 2, "", 20, "", ""),
]


class Server:
    """The client, as commands see it."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def find(self, kind: str, name: str) -> str:
        assert (kind, name) == ("port_chain", "web")
        return "c1"

    def read(self, _kind: Any, resource_id: str, what: str) -> Any:
        assert (resource_id, what) == ("c1", "stats")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def command(server: Server) -> stats.ShowSfcPortChainStats:
    app = SimpleNamespace(
        client_manager=SimpleNamespace(portchain=server), LOG=mock.Mock(), stdout=StringIO()
    )
    return stats.ShowSfcPortChainStats(app, argparse.Namespace())  # type: ignore[arg-type]


def arguments(made: stats.ShowSfcPortChainStats, *words: str) -> argparse.Namespace:
    return made.get_parser("stats").parse_args(["web", *words])


def test_a_row_for_each_thing_that_counts() -> None:
    made = command(Server(SHOWN))
    columns, rows = made.take_action(arguments(made))
    assert rows == ROWS
    assert all(len(row) == len(columns) for row in rows)
    (call,) = made.app.LOG.warning.call_args_list
    assert call.args[1:] == ("h2", "no answer within 5 s")


def test_a_reader_who_may_not_know_hosts_gets_none() -> None:
    made = command(Server({**SHOWN, "paths": [], "hosts_without_answer": [{"reason": "x"}]}))
    assert made.take_action(arguments(made))[1] == []
    (call,) = made.app.LOG.warning.call_args_list
    assert call.args[1:] == ("of this chain", "x")


def test_watching_shows_it_again_until_the_server_fails() -> None:
    made = command(Server(SHOWN, SHOWN, ClientError("gone")))
    with (
        mock.patch.object(stats.time, "sleep") as slept,
        mock.patch.object(made, "produce_output") as printed,
        pytest.raises(exceptions.CommandError, match="gone"),
    ):
        made.take_action(arguments(made, "--watch"))
    assert printed.call_count == 2
    assert slept.call_args.args == (2.0,)


@pytest.mark.parametrize("wrong", ["0", "-1", "x", "inf", "nan"])
def test_an_interval_is_a_positive_number(wrong: str) -> None:
    made = command(Server())
    with pytest.raises(SystemExit):
        arguments(made, f"--watch={wrong}")
    assert arguments(made, "--watch=0.5").watch == 0.5
