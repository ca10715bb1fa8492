"""What is measured: the same lab twice, with different software in it."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from portchain_lab.layout import Software
from portchain_lab.progress import Progress

from bench.errors import BenchError
from bench.points import NETWORKING_SFC, PORTCHAIN

REPOSITORY = Path(__file__).resolve().parents[1]
NETWORKING_SFC_VERSION = "23.0.0"
NETWORKING_SFC_HOME = REPOSITORY / ".cache" / "networking-sfc"
UWSGI = "uwsgi>=2.0.27"
# The servers that a lab starts from the environment, besides networking-sfc itself.
NETWORKING_SFC_NEEDS = (
    f"networking-sfc=={NETWORKING_SFC_VERSION}",
    "keystone>=30.0,<31",
    "neutron>=29.0.0,<30",
    "pymysql>=1.1",
    UWSGI,
)
# Both name their quotas alike, and both default to ten chains.
QUOTAS = """
[quotas]
quota_flow_classifier = -1
quota_port_pair = -1
quota_port_pair_group = -1
quota_port_chain = -1
"""


@dataclass(frozen=True, slots=True)
class Implementation:
    """One of the things to compare.

    :param version: of its distribution.
    :param software: prepares the environment if need be and says what the lab runs from it.
    """

    name: str
    version: str
    software: Callable[[Progress], Software]


def _portchain(_: Progress) -> Software:
    software = Software.installed()
    if not (software.service_plugins and software.agent_extensions):
        raise BenchError("portchain's server or agent side is not importable")
    return replace(software, neutron_options=software.neutron_options + QUOTAS)


def networking_sfc(report: Progress) -> Software:
    """Prepare networking-sfc's environment if need be, and say what a lab runs from it."""
    _install_networking_sfc(report)
    return Software(
        bin=str(NETWORKING_SFC_HOME / "bin"),
        service_plugins=("flow_classifier", "sfc"),
        agent_extensions=("sfc",),
        neutron_options=f"[sfc]\ndrivers = ovs\n[flowclassifier]\ndrivers = ovs\n{QUOTAS}",
    )


def _install_networking_sfc(report: Progress) -> None:
    """Make its virtual environment, with the versions that portchain is tested with, too."""
    constraints = REPOSITORY / "constraints.txt"
    recipe = Path(__file__).read_text()
    wanted = "\n".join((sys.version, recipe, constraints.read_text()))
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    stamp = NETWORKING_SFC_HOME / ".complete"
    if stamp.exists() and stamp.read_text() == digest:
        return
    _run(sys.executable, "-m", "venv", "--clear", str(NETWORKING_SFC_HOME))
    pip = [str(NETWORKING_SFC_HOME / "bin" / "pip"), "install", "-q", "--progress-bar=off"]
    pip += ["--disable-pip-version-check", "-c", str(constraints)]
    # uWSGI is compiled against the very interpreter it runs in: no wheel kept from another one.
    _run(*pip, "--no-cache-dir", "--use-pep517", UWSGI)
    _run(*pip, *NETWORKING_SFC_NEEDS)
    stamp.write_text(digest)
    report(f"installed networking-sfc {NETWORKING_SFC_VERSION} and Neutron beside it")


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)} failed:\n{done.stderr[-2000:]}")


IMPLEMENTATIONS = (
    Implementation(PORTCHAIN, metadata.version("neutron-portchain"), _portchain),
    Implementation(NETWORKING_SFC, NETWORKING_SFC_VERSION, networking_sfc),
)
