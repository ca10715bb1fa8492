"""Live traces: sends a marked packet as if a port had sent it, and watches where it passes.

``frame`` builds the packet, ``watch`` looks for it on the kernel devices of ports, and ``service``
does what the server asks for, within limits (docs/decisions/0076).
"""
