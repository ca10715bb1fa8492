"""The kinds of virtual machines a lab can run."""

from portchain_lab.guests import service_function

PLAIN = "plain"
"""An ordinary end point."""
L3 = "l3"
"""A service function that routes from each interface to the next one."""
L2 = "l2"
"""A service function that bridges its two interfaces and has no addresses."""
KINDS = (PLAIN, L3, L2, *service_function.KINDS)


def is_bump_in_the_wire(kind: str) -> bool:
    """Return whether a VM of this kind only forwards frames and must send none of its own."""
    return kind == L2 or (kind in service_function.KINDS and service_function.KINDS[kind].bump)
