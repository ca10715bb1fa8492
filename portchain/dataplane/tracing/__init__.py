"""Packet traces on one host: what its switch would do with a packet, and why. Pure.

The switch traces a packet itself (``ofproto/trace``). ``output`` parses what it prints, and
``explain`` turns that into decisions, with what is known of the pipeline and of the host's plans.
"""
