"""The program ``portchain-doctor``: says on a host, in plain words, what is wrong with its chains.

``readers`` read the state of the host; they change nothing. ``checks`` judge what was read, with
the functions by which the agents decide (docs/decisions/0071).
"""
