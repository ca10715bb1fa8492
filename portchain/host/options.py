"""Options of what the agent extension and the controller share."""

from oslo_config import cfg

from portchain.drivers.hosts.options import MAX_CHAIN_FLOWS
from portchain.metrics.options import METRICS_OPTS

HOST_OPTS: list[cfg.Opt] = [
    *METRICS_OPTS,
    MAX_CHAIN_FLOWS,
    cfg.IntOpt(
        "max_project_flows",
        default=50000,
        min=0,
        help="Most flows that all port chains of one project may have on this host. A chain that "
        "would exceed it is in ERROR. 0 means: no limit.",
    ),
    cfg.IntOpt(
        "sync_interval",
        default=30,
        min=1,
        help="Most seconds between two requests in which a host asks the Neutron server for all "
        "plans that it does not have, and then compares them with its switch; the least is three "
        "quarters of it, by chance. Changes arrive at once without these requests; the requests "
        "make up for lost messages.",
    ),
    cfg.FloatOpt(
        "switch_timeout",
        default=5.0,
        min=0,
        help="Seconds to wait until every host is prepared for a change of a chain. After that, "
        "this host sends packets by the new plan anyway; hosts that are not prepared drop them.",
    ),
    cfg.FloatOpt(
        "drain_time",
        default=1.0,
        min=0,
        help="Longest time in seconds that a packet takes through a whole chain, including the "
        "time in its service functions. Flows of a chain's previous plan are deleted only this "
        "long after the last host has stopped sending by it. A change of the order of a chain's "
        "functions interrupts its traffic for this time and one second.",
    ),
]
