"""Server options of the driver ``ovn``."""

from oslo_config import cfg

OVN_OPTS: list[cfg.Opt] = [
    cfg.IntOpt(
        "ovn_timeout",
        default=10,
        min=1,
        help="Seconds the driver ovn waits for an answer of OVN's Northbound database. After that, "
        "the chain is in ERROR, and the driver retries later. The section ovn, which ML2/OVN reads "
        "too, says where the databases are and how to connect to them.",
    ),
    cfg.IntOpt(
        "ovn_sync_interval",
        default=60,
        min=1,
        help="Seconds between two comparisons of all Northbound rows of the driver ovn with the "
        "rows that its chains need. Independently of this interval, the driver repairs rows as "
        "soon as anyone changes them.",
    ),
    cfg.IntOpt(
        "ovn_check_interval",
        default=1,
        min=1,
        help="Seconds between two probes that OVN sends through each function of port pair groups "
        "with health_check icmp, and also the time after which a probe has failed.",
    ),
    cfg.IntOpt(
        "ovn_check_failures",
        default=3,
        min=1,
        help="Number of consecutive probes that must fail before a function counts as offline, and "
        "that must succeed before it counts as online again.",
    ),
    cfg.IntOpt(
        "ovn_check_vlan",
        default=4094,
        min=1,
        max=4094,
        help="VLAN tag of the probes. Functions must forward frames with this tag, and no subport of "
        "a trunk on a function's port may use it. Functions that keep VLAN tags are probed with "
        "the tags of their chains instead.",
    ),
]
