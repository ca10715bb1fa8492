"""``python -m bench dataplane``: what packets cost in chains, beside flows written by hand.

| module | subject |
| --- | --- |
| ``cases`` | what is compared: ways of steering, lengths, sizes of groups. Pure |
| ``site`` | the service functions and chains of a lab |
| ``static_flows`` | the same steering by flows written by hand. Pure |
| ``fabric`` | what of a lab's switches those flows need to know |
| ``load``, ``streams`` | new connections, datagrams with new headers; one stream |
| ``alive`` | connections that stay open meanwhile |
| ``counters`` | what switches count: misses, datapath entries, changes of flow tables |
| ``measure``, ``run`` | the measurements, and the lab for them |
| ``rows`` | measured values, and their file. Pure |
| ``goals``, ``report`` | tables of ratios beside their goals. Pure |
"""
