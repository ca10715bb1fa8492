"""The command line: every command has help and an implementation."""

import argparse

import pytest
from portchain_lab import cli, commands


def parsers() -> dict[str, argparse.ArgumentParser]:
    (choices,) = (
        action.choices
        for action in cli.parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return dict(choices)


def test_every_command_is_implemented_and_described() -> None:
    assert parsers().keys() == commands.COMMANDS.keys()
    for name, parser in parsers().items():
        assert parser.description, name
        undescribed = [action.dest for action in parser._actions if not action.help]
        assert undescribed == [], name


@pytest.mark.parametrize(
    ("arguments", "network_type"),
    [([], "vxlan"), (["--driver", "ovs,ovn"], "geneve"), (["--network-type", "vlan"], "vlan")],
)
def test_the_network_type_follows_the_driver_unless_it_is_given(
    arguments: list[str], network_type: str
) -> None:
    layout = commands._layout(cli.parser().parse_args(["up", *arguments]))
    assert layout.network_type == network_type


def test_suggested_commands_name_the_lab_unless_it_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["portchain-lab"])
    assert commands._command_line("demo", "exec", "h1", "--", "ip", "addr") == (
        "portchain-lab exec h1 -- ip addr"
    )
    assert commands._command_line("x", "exec", "h1", "--", "ip", "addr") == (
        "portchain-lab exec --name x h1 -- ip addr"
    )
