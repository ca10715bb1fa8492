"""The soak: new connections for an hour, while groups change and processes restart.

load.py     opens connections at a steady rate
watch.py    records which functions their packets visit
verdict.py  judges what was recorded (pure)
site.py     the chains, and the changes of their groups
run.py      minute after minute
"""
