"""``python -m bench failover``: how long a function that hangs stays in the path.

| module | subject |
| --- | --- |
| ``cases`` | drivers, kinds of functions, and where they are. Pure |
| ``site`` | two functions of a kind, and a chain through them |
| ``measure`` | one failure and the recovery from it, with packets |
| ``verdict`` | judges what was captured. Pure |
| ``rows`` | measured values, their file and their table |
| ``run`` | a lab for each driver |
"""
