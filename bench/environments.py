"""The implementations to compare: the same lab with different software."""

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
from bench.points import NETWORKING_SFC, ON_OVN, PORTCHAIN

REPOSITORY = Path(__file__).resolve().parents[1]
NETWORKING_SFC_VERSION = "23.0.0"
NETWORKING_SFC_HOME = REPOSITORY / ".cache" / "networking-sfc"
UWSGI = "uwsgi>=2.0.27"
# networking-sfc, and the servers that a lab runs from the same environment.
NETWORKING_SFC_REQUIREMENTS = (
    f"networking-sfc=={NETWORKING_SFC_VERSION}",
    "keystone>=30.0,<31",
    "neutron>=29.0.0,<30",
    "pymysql>=1.1",
    UWSGI,
)
# Both implementations use these quota names and allow ten chains by default.
QUOTAS = """
[quotas]
quota_flow_classifier = -1
quota_port_pair = -1
quota_port_pair_group = -1
quota_port_chain = -1
"""


@dataclass(frozen=True, slots=True)
class Implementation:
    """An implementation to measure.

    :param version: version of its distribution.
    :param software: prepares the environment if necessary; returns what the lab runs from it.
    :param driver: of the lab.
    """

    name: str
    version: str
    software: Callable[[Progress], Software]
    driver: str = "ovs"


def _portchain(_: Progress) -> Software:
    software = Software.installed()
    if not (software.service_plugins and software.agent_extensions):
        raise BenchError("portchain's plugin or agent extension cannot be imported")
    return replace(software, neutron_options=software.neutron_options + QUOTAS)


def networking_sfc(report: Progress) -> Software:
    """Prepare networking-sfc's environment if necessary; returns what a lab runs from it."""
    _install_networking_sfc(report)
    return Software(
        bin=str(NETWORKING_SFC_HOME / "bin"),
        service_plugins=("flow_classifier", "sfc"),
        agent_extensions=("sfc",),
        neutron_options=f"[sfc]\ndrivers = ovs\n[flowclassifier]\ndrivers = ovs\n{QUOTAS}",
    )


def _install_networking_sfc(report: Progress) -> None:
    """Create its virtual environment, with the package versions that portchain is tested with."""
    constraints = REPOSITORY / "constraints-2026.2.txt"
    recipe = Path(__file__).read_text()
    wanted = "\n".join((sys.version, recipe, constraints.read_text()))
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    stamp = NETWORKING_SFC_HOME / ".complete"
    if stamp.exists() and stamp.read_text() == digest:
        return
    _run(sys.executable, "-m", "venv", "--clear", str(NETWORKING_SFC_HOME))
    pip = [str(NETWORKING_SFC_HOME / "bin" / "pip"), "install", "-q", "--progress-bar=off"]
    pip += ["--disable-pip-version-check", "-c", str(constraints)]
    # uWSGI must be compiled for the interpreter that runs it: no cached wheel.
    _run(*pip, "--no-cache-dir", "--use-pep517", UWSGI)
    _run(*pip, *NETWORKING_SFC_REQUIREMENTS)
    stamp.write_text(digest)
    report(f"networking-sfc {NETWORKING_SFC_VERSION} and Neutron are installed")


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)} failed:\n{done.stderr[-2000:]}")


IMPLEMENTATIONS = (
    Implementation(PORTCHAIN, metadata.version("neutron-portchain"), _portchain),
    Implementation(NETWORKING_SFC, NETWORKING_SFC_VERSION, networking_sfc),
)
FOR_PACKETS = (
    *IMPLEMENTATIONS,
    Implementation(ON_OVN, metadata.version("neutron-portchain"), _portchain, "ovn"),
)
"""Those whose data plane is measured."""
