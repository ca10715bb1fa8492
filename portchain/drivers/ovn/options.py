"""Server options of the driver ``ovn``."""

from oslo_config import cfg

OVN_OPTS: list[cfg.Opt] = [
    cfg.IntOpt(
        "ovn_timeout",
        default=10,
        min=1,
        help="Seconds the driver ovn waits for an answer of OVN's databases. After that, "
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
]
