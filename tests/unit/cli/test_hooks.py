"""The hooks for ``openstack sfc``: in the real program, and with a server that is simulated."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from portchain.cli import hooks

OPERATING = "Operating Status, Operating Status Reason"
CHAIN_COLUMNS = f"Status, Status Reason, {OPERATING}"
GROUP_COLUMNS = (
    "Shared, Health Check, Health Check Parameters, Failure Mode, Min Healthy, On Failure, "
    f"{OPERATING}"
)
PAIR_COLUMNS = f"Function Kind, Admin State Up, Backup, {OPERATING}"
HEALTH_OPTIONS = (
    "--health-check, --health-check-parameters, --min-healthy, --on-failure, --failure-mode"
)
OURS = {
    "port chain create": CHAIN_COLUMNS,
    "port chain show": CHAIN_COLUMNS,
    "port chain list": CHAIN_COLUMNS,
    "port pair group create": HEALTH_OPTIONS,
    "port pair group set": HEALTH_OPTIONS,
    "port pair group show": GROUP_COLUMNS,
    "port pair group list": GROUP_COLUMNS,
    "port pair create": "--function-kind, --enable, --disable, --backup, --no-backup",
    "port pair set": "--enable, --disable, --backup, --no-backup, --weight",
    "port pair show": PAIR_COLUMNS,
    "port pair list": PAIR_COLUMNS,
}


NEW = {
    "port pair group share": "--all-projects",
    "port pair group unshare": "--all-projects",
    "port chain stats show": "--watch",
}
PROGRAM = """
import json, sys
from contextlib import redirect_stdout
from io import StringIO
from openstackclient import shell

helps = {}
for name in sys.argv[1:]:
    with redirect_stdout(StringIO()) as printed:
        status = shell.main(["sfc", *name.split(), "--help"])
    helps[name] = (status, " ".join(printed.getvalue().split()))
print(json.dumps(helps))
"""
"""Runs the program `openstack` for each command in one process: it takes long to start."""


@pytest.fixture(scope="module")
def helps() -> dict[str, tuple[int, str]]:
    """The exit status and the help of each command, from the real program without a server."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *OURS, *NEW], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), "the program warns about nothing"
    answers: dict[str, tuple[int, str]] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize(("name", "adds"), OURS.items())
def test_openstack_loads_the_hooks_without_a_warning(
    helps: dict[str, tuple[int, str]], name: str, adds: str
) -> None:
    status, text = helps[name]
    assert status == 0
    assert f"neutron-portchain adds: {adds}." in text.replace("- ", "-")  # lines end at hyphens
    assert ("--function-kind {l3,l2}" in text) == (name == "port pair create")
    assert ("--weight <weight>" in text) == (name == "port pair set")
    assert ("--failure-mode {closed,open}" in text) == adds.startswith("--health")


@pytest.mark.parametrize(("name", "option"), NEW.items())
def test_openstack_has_our_own_commands(
    helps: dict[str, tuple[int, str]], name: str, option: str
) -> None:
    status, text = helps[name]
    assert status == 0
    assert option in text


def test_the_installed_program_loads_the_hooks() -> None:
    program = Path(sys.executable).with_name("openstack")
    done = subprocess.run(
        [program, "sfc", "port", "pair", "set", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--no-backup, --weight." in " ".join(done.stdout.split())


class Server:
    """Simulates openstacksdk's proxy of the network service, as far as hooks use it."""

    def __init__(self, **collections: list[dict[str, Any]]) -> None:
        self.collections = collections
        self.requests: list[tuple[str, Any]] = []

    def request(self, path: str, method: str, **request: Any) -> Any:
        self.requests.append((method, request.get("json") or request.get("params")))
        name = path.rpartition("/")[2]
        if method in ("POST", "PUT"):
            body = {key: {"id": "new", **value} for key, value in request["json"].items()}
        else:
            query = request["params"].items()
            body = {name: [one for one in self.collections[name] if query <= one.items()]}
        return SimpleNamespace(
            status_code=200, content=b"x", headers={}, json=lambda: body, url=path
        )


def hook(kind: type[Any], server: Server) -> Any:
    return kind(
        SimpleNamespace(app=SimpleNamespace(client_manager=SimpleNamespace(network=server)))
    )


CHAINS = [
    {"id": "1", "name": "a", "status": "ACTIVE", "status_reason": ""},
    {"id": "2", "name": "b", "status": "ERROR", "status_reason": "h1: no"},
]


def test_a_shown_chain_gets_its_status() -> None:
    added = hook(hooks.OnePortChain, Server(port_chains=CHAINS)).after(
        Namespace(), (("ID", "Name"), ("2", "b"))
    )
    assert added == (("ID", "Name", "Status", "Status Reason"), ("2", "b", "ERROR", "h1: no"))


@pytest.mark.parametrize("long", [False, True])
def test_lists_get_columns_with_one_more_request(long: bool) -> None:
    server = Server(port_chains=CHAINS)
    rows = iter([("b", "2"), ("gone", "3"), ("a", "1")])
    heads, wide = hook(hooks.PortChains, server).after(Namespace(long=long), (("Name", "ID"), rows))
    assert list(heads) == ["Name", "ID", "Status", *(["Status Reason"] if long else [])]
    assert [row[:3] for row in wide] == [
        ("b", "2", "ERROR"),
        ("gone", "3", ""),
        ("a", "1", "ACTIVE"),
    ]
    assert len(server.requests) == 1


def test_a_server_without_the_attributes_adds_nothing() -> None:
    server = Server(port_chains=[{"id": "1", "name": "a"}])
    table = (("ID", "Name"), ("1", "a"))
    assert hook(hooks.OnePortChain, server).after(Namespace(), table) == table
    heads, rows = hook(hooks.PortChains, server).after(
        Namespace(long=True), (("ID", "Name"), [("1", "a")])
    )
    assert (heads, list(rows)) == (("ID", "Name"), [("1", "a")])


SENT = {
    "a new pair's kind": (
        hooks.NewPortPair,
        {"option_function_kind": "l2"},
        {"port_pair": {"function_kind": "l2"}},
    ),
    "a new group's health": (
        hooks.NewPortPairGroup,
        {"option_health_check": "icmp", "option_failure_mode": "open"},
        {"port_pair_group": {"health_check": "icmp", "failure_mode": "open"}},
    ),
    "a group's failure mode": (
        hooks.ChangedPortPairGroup,
        {"option_health_check": None, "option_failure_mode": "closed"},
        {"port_pair_group": {"failure_mode": "closed"}},
    ),
    "a new group's parameters": (
        hooks.NewPortPairGroup,
        {"option_health_check_parameters": {"delay": 0.2}, "option_min_healthy": 2},
        {"port_pair_group": {"health_check_parameters": {"delay": 0.2}, "min_healthy": 2}},
    ),
    "a pair that is switched off": (
        hooks.ChangedPortPair,
        {"option_admin_state_up": False, "option_backup": True},
        {"port_pair": {"admin_state_up": False, "backup": True}},
    ),
    "a pair's weight": (
        hooks.ChangedPortPair,
        {"option_weight": 0},
        {"port_pair": {"service_function_parameters": {"weight": 0}}},
    ),
}


@pytest.mark.parametrize("case", SENT)
def test_options_are_sent_with_the_request_of_their_own_command_only(case: str) -> None:
    kind, options, body = SENT[case]
    server = Server()
    setattr(server, kind.method, None)  # left by an earlier command
    one = hook(kind, server)

    given = {option._name: None for option in one.options} | options
    one.before(Namespace(**given))
    an_id = () if kind.creating else ("1",)
    shown = getattr(server, kind.method)(*an_id, name="new name")
    ((name, attributes),) = body.items()
    assert shown.id == "new"
    method = "POST" if kind.creating else "PUT"
    assert server.requests == [(method, {name: {"name": "new name", **attributes}})]

    one.before(Namespace(**dict.fromkeys(given)))
    assert not hasattr(server, kind.method)
