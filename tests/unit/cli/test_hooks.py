"""What our hooks add to the commands of ``openstack sfc``: the real program, as far as it goes without a server."""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from portchain.cli import hooks

OURS = {
    "port chain create": "Status, Status Reason",
    "port chain show": "Status, Status Reason",
    "port chain list": "Status, Status Reason",
    "port pair group create": "Shared",
    "port pair group show": "Shared",
    "port pair group list": "Shared",
    "port pair create": "Function Kind",
    "port pair set": "--weight",
    "port pair show": "Function Kind",
    "port pair list": "Function Kind",
}


@pytest.mark.parametrize(("name", "adds"), OURS.items())
def test_the_program_knows_them_and_complains_of_nothing(name: str, adds: str) -> None:
    program = Path(sys.executable).with_name("openstack")
    done = subprocess.run(
        [program, "sfc", *name.split(), "--help"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = " ".join(done.stdout.split())
    assert f"neutron-portchain adds: {adds}." in said
    assert ("--function-kind {l3,l2}" in said) == (name == "port pair create")
    assert ("--weight <weight>" in said) == (name == "port pair set")


@pytest.mark.parametrize("verb", ["share", "unshare"])
def test_the_program_has_our_own_commands(verb: str) -> None:
    program = Path(sys.executable).with_name("openstack")
    done = subprocess.run(
        [program, "sfc", "port", "pair", "group", verb, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--all-projects" in done.stdout


class Server:
    """The network service as openstacksdk's proxy is to a hook."""

    def __init__(self, **collections: list[dict[str, Any]]) -> None:
        self.collections = collections
        self.requests: list[tuple[str, Any]] = []

    def request(self, path: str, method: str, **request: Any) -> Any:
        self.requests.append((method, request.get("json") or request.get("params")))
        name = path.rpartition("/")[2]
        if method == "POST":
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


def test_one_chain_gets_its_status() -> None:
    added = hook(hooks.OnePortChain, Server(port_chains=CHAINS)).after(
        Namespace(), (("ID", "Name"), ("2", "b"))
    )
    assert added == (("ID", "Name", "Status", "Status Reason"), ("2", "b", "ERROR", "h1: no"))


@pytest.mark.parametrize("long", [False, True])
def test_lists_get_columns_with_one_request(long: bool) -> None:
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


def test_the_function_kind_goes_with_the_request_of_its_own_command_only() -> None:
    server = Server()
    server.create_sfc_port_pair = None  # type: ignore[attr-defined]  # left by an earlier command
    one = hook(hooks.NewPortPair, server)

    one.before(Namespace(function_kind="l2"))
    made = server.create_sfc_port_pair(name="PP1", ingress="p1", egress="p2")  # type: ignore[attr-defined]
    assert made.id == "new"
    assert server.requests == [
        (
            "POST",
            {"port_pair": {"function_kind": "l2", "name": "PP1", "ingress": "p1", "egress": "p2"}},
        )
    ]

    one.before(Namespace(function_kind=None))
    assert not hasattr(server, "create_sfc_port_pair")


def test_a_weight_goes_with_the_request_of_its_own_command_only() -> None:
    sent: list[tuple[str, dict[str, Any]]] = []

    class Network:
        def update_sfc_port_pair(self, an_id: str, **attributes: Any) -> None:
            sent.append((an_id, attributes))

    network = Network()
    one = hook(hooks.ChangedPortPair, network)  # type: ignore[arg-type]
    for weight in (0, None):
        one.before(Namespace(weight=weight))
        network.update_sfc_port_pair("1", name="new")
    assert sent == [
        ("1", {"name": "new", "service_function_parameters": {"weight": 0}}),
        ("1", {"name": "new"}),
    ]
