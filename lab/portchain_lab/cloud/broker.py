"""RabbitMQ, with as few Erlang applications in its path as it needs.

Erlang looks for each module in the directory of each application. RabbitMQ adds its 68 plugins to
that path even if none is enabled, and then spends a third of its start on looking.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from portchain_lab import layout
from portchain_lab.hosts import probes
from portchain_lab.hosts.processes import ProcessSpec, Program

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
APPLICATIONS = ("rabbit", "rabbitmq_prelaunch")
"""RabbitMQ itself. Erlang finds out what these need in turn."""


def write_home(lab: layout.Layout) -> None:
    """Write a copy of RabbitMQ's installation that lacks unused plugins, made of links."""
    installed = SERVER.resolve().parent.parent
    plugins = _home(lab) / "plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    for name in ("sbin", "escript"):
        (_home(lab) / name).symlink_to(installed / name)
    found = {path.stem: path for path in sorted((installed / "plugins").glob("*/ebin/*.app"))}
    needed = needed_applications({name: path.read_text() for name, path in found.items()})
    for name in needed:
        application = found[name].parent.parent
        (plugins / application.name).symlink_to(application)


def needed_applications(resources: dict[str, str]) -> set[str]:
    """Names of the applications that RabbitMQ needs. Pure.

    :param resources: the text of each application's resource file (.app), by its name. Those that
        belong to Erlang itself are not among them.
    """
    needed: set[str] = set()
    waiting = list(APPLICATIONS)
    while waiting:
        name = waiting.pop()
        if name in resources and name not in needed:
            needed.add(name)
            waiting += _dependencies(resources[name])
    return needed


def _dependencies(resource: str) -> Iterable[str]:
    lists = re.findall(r"\{(?:included_|optional_)?applications,\s*\[([^\]]*)\]", resource)
    return [name.strip(" '\n\t") for one in lists for name in one.split(",")]


def _home(lab: layout.Layout) -> Path:
    return lab.directory / "rabbitmq" / "home"


def server(lab: layout.Layout) -> Program:
    """The message broker, without plugins."""
    directory = lab.directory / "rabbitmq"
    env = {
        "HOME": str(directory),
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_CONFIG_FILE": f"{directory}/rabbitmq.conf",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_SCRIPTS_DIR": f"{_home(lab)}/sbin",
        "RABBITMQ_PLUGINS_DIR": f"{_home(lab)}/plugins",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{directory}/enabled_plugins",
        "RABBITMQ_MNESIA_BASE": f"{directory}/mnesia",
        "RABBITMQ_LOG_BASE": str(lab.logs),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": f"{directory}/pid",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false +S 1:1 +sbwt none +sbwtdcpu none",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    # Most other programs wait for the broker: it must not share the processor with those that
    # start at the same time.
    argv = ("nice", "-n", "-10", str(SERVER))
    process = ProcessSpec(
        "rabbitmq",
        lab.controller_namespace,
        argv,
        lab.log_file("rabbitmq"),
        env,
        stop_wait=15,
    )
    return Program(
        process,
        lambda: probes.answers_amqp(
            lab.controller_namespace, layout.CONTROLLER_IP, layout.RABBIT_PORT
        ),
    )
