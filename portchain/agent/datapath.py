"""Asks Open vSwitch what the datapath of this host can do, and says in the log what it lacks.

OVSDB has this only where something has created a row in its table ``Datapath``; Neutron does not.
So ``ovs-appctl`` asks ovs-vswitchd (docs/decisions/0057).
"""

from neutron.agent.common import utils as agent_utils
from oslo_log import log

from portchain.dataplane import datapath

LOG = log.getLogger(__name__)

_TIMEOUT_SECONDS = 10


def read_lacking(host: str, bridge: str) -> frozenset[datapath.Feature]:
    """Return what the datapath of a bridge lacks of what chains may need.

    :param host: the host's name in Neutron, for the log.
    :returns: nothing if Open vSwitch does not answer: chains work without the answer.
    """
    try:
        text = agent_utils.execute(
            ["ovs-appctl", f"--timeout={_TIMEOUT_SECONDS}", "dpif/show-dp-features", bridge],
            run_as_root=True,
            privsep_exec=True,
            log_fail_as_error=False,
        )
    except Exception as exc:
        # The text of a failed command has several lines, and ends with what it printed.
        error = " ".join(str(exc).rpartition("Stderr: ")[2].split())
        LOG.warning(
            "Could not ask Open vSwitch what the datapath of host %s lacks: %s", host, error
        )
        return frozenset()
    lacks = datapath.lacking(datapath.parse_features(text))
    if lacks:
        LOG.warning("Port chains on host %s: %s", host, datapath.describe(lacks))
    else:
        LOG.info("The datapath of host %s has all features that port chains use", host)
    return lacks
