"""Health checks: sends probes through the functions of a host, and decides which have failed.

``frames`` builds probes and recognises the answers, ``verdict`` decides, ``channel`` talks to the
switch, and ``prober`` has the thread that does all of it (docs/decisions/0068).
"""
