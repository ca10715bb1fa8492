"""A host's plans and what is plugged in there -> the rules of its switch, one module for each stage of a packet's way.

``docs/pipeline.md`` has it with pictures::

    source port -> Neutron's egress checks -> [classify] -> HOP -> BALANCE -> FORWARD -> function's ingress port
                                                             ^   (choose)     (forward) \\-> [transport] -> FORWARD
                    function's egress port -> [leave] -------/
                                                 \\-> after the last hop: on to Neutron's tables and the destination

``chain`` puts the stages together; ``here`` is what they share.
"""

from portchain.dataplane.compile.chain import (
    compile_bypass_guard,
    compile_chain,
    compile_frame_guard,
)
from portchain.dataplane.compile.context import Compiled, UnsupportedPlanError, target_number

__all__ = [
    "Compiled",
    "UnsupportedPlanError",
    "compile_bypass_guard",
    "compile_chain",
    "compile_frame_guard",
    "target_number",
]
