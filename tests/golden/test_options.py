"""docs/operate/options.md is made from the options themselves, so it cannot be out of date.

Write it again with ``GOLDEN_UPDATE=1 python -m pytest tests/golden/test_options.py``.
"""

import os
from importlib import metadata
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "options.md"

HEAD = """\
# All options

Every option of portchain, with its default. [Configure](configure.md) says which ones matter.
`tests/golden/test_options.py` makes this page from the options' declarations.
"""

READERS = {
    "neutron.portchain": "Servers",
    "neutron.portchain.agent": "Agent extension",
    "neutron.portchain.controller": "Controller",
}
FILES = {
    "neutron.portchain": "`neutron.conf`, read by the Neutron API, `neutron-rpc-server` and "
    "`neutron-periodic-workers`.",
    "neutron.portchain.agent": "`openvswitch_agent.ini`, read by `neutron-openvswitch-agent`.",
    "neutron.portchain.controller": "A file given to `portchain-controller` "
    "([openflow.md](../openflow.md)).",
}


def default(option: Any) -> str:
    """An option's default as a configuration file writes it."""
    if option.default in (None, [], {}, ""):
        return "none"
    if isinstance(option.default, list):
        return f"`{','.join(option.default)}`"
    return f"`{option.default}`"


def page() -> str:
    """The page, one table for each section of each program."""
    declared = {
        entry_point.name: entry_point.load()()
        for entry_point in metadata.entry_points(group="oslo.config.opts")
        if entry_point.dist.name == "neutron-portchain"
    }
    lines = [HEAD]
    for namespace, sections in sorted(declared.items()):
        lines += [f"## {READERS[namespace]}", "", FILES[namespace], ""]
        for section, options in sections:
            lines += [f"Section `[{section}]`:", "", "| option | default | meaning |"]
            lines += ["| --- | --- | --- |"]
            for option in sorted(options, key=lambda option: option.name):
                lines.append(f"| `{option.name}` | {default(option)} | {option.help} |")
            lines.append("")
    return "\n".join(lines)


def test_page_lists_every_option():
    if os.environ.get("GOLDEN_UPDATE"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()
