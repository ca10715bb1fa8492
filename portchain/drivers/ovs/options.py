"""Server options of the drivers ``ovs`` and ``openflow``."""

from oslo_config import cfg

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
]
