"""Asks Open vSwitch what the datapath of this host can do, and says in the log what it lacks.

OVSDB has this only where something has created a row in its table ``Datapath``; Neutron does not.
So ``ovs-appctl`` asks ovs-vswitchd (docs/decisions/0057).
"""

import os
from pathlib import Path

from neutron.agent.common import utils as agent_utils
from neutron_lib.plugins.ml2 import ovs_constants
from oslo_log import log

from portchain.dataplane import datapath

LOG = log.getLogger(__name__)

_TIMEOUT_SECONDS = 10
_SEGMENTATION_MODULE = "mpls_gso"
_LOADED_MODULES, _MODULES = Path("/sys/module"), Path("/lib/modules")


def read_lacking(
    host: str, bridge: str, datapath_type: str, known: frozenset[datapath.Feature] | None = None
) -> frozenset[datapath.Feature] | None:
    """Return what the datapath of a bridge lacks of what chains may need.

    :param host: the host's name in Neutron, for the log.
    :param datapath_type: of the bridge: ``system`` is the kernel's.
    :param known: the last answer, if there is one: it is not logged again.
    :returns: None if Open vSwitch does not answer.
    """
    try:
        text = _ask("dpif/show-dp-features", bridge)
        version = _ask("version")
    except Exception as exc:
        # The text of a failed command has several lines, and ends with what it printed.
        error = " ".join(str(exc).rpartition("Stderr: ")[2].split())
        LOG.warning(
            "Could not ask Open vSwitch what the datapath of host %s lacks: %s", host, error
        )
        return None
    lacks = lacking(text, datapath_type)
    if lacks == known:
        return lacks
    if lacks:
        LOG.warning("Port chains on host %s: %s", host, datapath.describe(lacks))
    else:
        LOG.info("The datapath of host %s has all features that port chains use", host)
    if datapath_type != ovs_constants.OVS_DATAPATH_SYSTEM and datapath.keeps_old_entries(version):
        LOG.warning(
            "%s of host %s can go on for a while by flows that were replaced, in its userspace "
            "datapath: upgrade Open vSwitch to 3.2 or later, or to 3.1.3, 3.0.5 or 2.17.8",
            *(version.strip(), host),
        )
    return lacks


def _ask(*command: str) -> str:
    """Give ovs-vswitchd a command, and return its answer."""
    argv = ["ovs-appctl", f"--timeout={_TIMEOUT_SECONDS}", *command]
    return str(
        agent_utils.execute(argv, run_as_root=True, privsep_exec=True, log_fail_as_error=False)
    )


def lacking(text: str, datapath_type: str) -> frozenset[datapath.Feature]:
    """Return what the datapath of a bridge of this host lacks of what chains may need.

    :param text: what ``ovs-appctl dpif/show-dp-features`` has printed of the bridge.
    :param datapath_type: as for ``read_lacking``.
    """
    lacks = datapath.lacking(datapath.parse_features(text))
    if datapath_type == ovs_constants.OVS_DATAPATH_SYSTEM and not _can_segment():
        lacks |= {datapath.SEGMENTATION}
    return lacks


def _can_segment() -> bool:
    """Return whether the kernel can divide large packets behind MPLS labels.

    A kernel with Open vSwitch's module has the module for that, too, but nothing loads it.
    """
    if Path(_LOADED_MODULES, _SEGMENTATION_MODULE).exists():
        return True
    built_in = Path(_MODULES, os.uname().release, "modules.builtin")
    try:
        return f"/{_SEGMENTATION_MODULE}.ko" in built_in.read_text()
    except OSError:
        return False
