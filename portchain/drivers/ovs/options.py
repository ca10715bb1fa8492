"""Server options of the drivers ``ovs`` and ``openflow``."""

from oslo_config import cfg

MAX_CHAIN_FLOWS = cfg.IntOpt(
    "max_chain_flows",
    default=10000,
    min=0,
    help="Most flows that one port chain may have on a host. Each thousand takes some 0.2 s to "
    "program, and for that time ports of other chains may wait. The server refuses requests for "
    "chains that would need more in any case; on a host, a chain that needs more is in ERROR. Set "
    "it to the same value on the server and on hosts. 0 means: no limit.",
)
"""Shared with the hosts."""

OVS_OPTS: list[cfg.Opt] = [
    cfg.IntOpt(
        "underlay_mtu",
        default=0,
        min=0,
        help="MTU in bytes of the networks between the hosts. The drivers ovs and openflow compare "
        "it with the length of chain frames, which are 18 bytes longer than other frames; a chain "
        "whose frames do not fit has a warning in its status_reason. Set this option if the MTU "
        "is larger than global_physnet_mtu, path_mtu and physical_network_mtus say. 0 means: use "
        "these options.",
    ),
    MAX_CHAIN_FLOWS,
]
