"""Server options of the drivers ``ovs``, ``openflow`` and ``ovn``."""

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
    cfg.FloatOpt(
        "host_answer_timeout",
        default=5.0,
        min=0.1,
        help="Seconds that a request for the counters of a port chain waits for a host. What hosts "
        "have counted that do not answer within this time is missing in the response, which names "
        "them.",
    ),
    cfg.IntOpt(
        "underlay_mtu",
        default=0,
        min=0,
        help="MTU in bytes of the networks between hosts. Drivers compare it with the length "
        "of packets of chains, which are longer than others: by 8 bytes in tunnels, and by 18 "
        "bytes elsewhere and in tunnels to hosts of an older release. A chain whose packets do not "
        "fit has a warning in its status_reason. Set this option if the MTU is larger than "
        "global_physnet_mtu, path_mtu and physical_network_mtus say. 0 means: use these options.",
    ),
    MAX_CHAIN_FLOWS,
    cfg.IntOpt(
        "flow_affinity_time",
        default=7440,
        min=0,
        help="Seconds for which TCP connections keep their port pair after pairs or weights of "
        "their group have changed. Set it to the longest time for which a connection may send "
        "nothing: a connection that was idle for all of this time may go to another pair "
        "afterwards. Until then, hosts have flows for the earlier pairs. 0 means: a change moves "
        "connections whose packets the group now sends to another pair.",
    ),
    cfg.IntOpt(
        "new_flow_affinity_time",
        default=300,
        min=0,
        help="Seconds after a change of a group's pairs or weights for which datagrams that no "
        "host remembers count as part of a flow from before the change, and keep the pair of "
        "before. It has no effect beyond flow_affinity_time.",
    ),
]
