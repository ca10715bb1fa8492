"""Compiles a host's plans and the state of its switch into flows; a module for each stage.

``docs/pipeline.md`` has pictures. The stages, in the order in which a packet meets them::

    source port -> Neutron's egress checks
      -> classify      divert the packet into the chain
      -> select_pair   HOP, BALANCE: select a port pair (flow_hash, flow_affinity)
      -> forward       FORWARD: to the function's ingress port, or to its host (transport,
                       labels, frames)
    function's egress port
      -> return_path   to the next hop (sfc_aware removes the function's header) or, after the last
                       hop, back to Neutron's tables and to the destination

``chain`` combines the stages; ``context`` holds what they share.
"""

from portchain.dataplane.compile.chain import (
    compile_bypass_guard,
    compile_chain,
    compile_frame_guard,
    compile_visits,
)
from portchain.dataplane.compile.context import (
    Compiled,
    TooManyFlowsError,
    UnsupportedPlanError,
    target_number,
)

__all__ = [
    "Compiled",
    "TooManyFlowsError",
    "UnsupportedPlanError",
    "compile_bypass_guard",
    "compile_chain",
    "compile_frame_guard",
    "compile_visits",
    "target_number",
]
