"""Restarts that Neutron's agent does not always survive by itself."""

from contextlib import suppress
from pathlib import Path

from portchain_lab.errors import DeadlineError
from portchain_lab.lab import Lab
from portchain_lab.waiting import wait_for

DEADLINE = 180
RESTART_NOTICED = "OVS is restarted"
PORTS_WIRED = "Configuration for devices up"
AGENT_HANGS = 90  # seconds; Neutron's agent itself waits for its monitor for 60


def has_cleaned_up(log: Path) -> bool:
    """Whether an agent has deleted the flows of earlier agents since it was started.

    Neutron's OVN agent has no flows; the extension says when it has compared its own.
    """
    said = log.read_text().rsplit("Loaded agent extensions", 1)[-1]
    return "Cleaning stale br-int flows" in said or (
        "on br-chain" in said and "flows of its plans" in said
    )


def restart_switch(lab: Lab, host: str) -> None:
    """Restart a host's switch, and restore what Neutron's agent may leave out.

    If its monitor of interfaces is not running in time, the agent forgets the restart and omits the
    flow that takes packets out of tunnels, or it hangs. Then an operator has to restart the agent
    (docs/operate/limits.md). On hosts of OVN, the extension alone restores flows.
    """
    if lab.layout.driver_of(host) == "ovn":
        lab.restart(f"ovs-vswitchd@{host}")
        return
    agent = f"agent@{host}"
    log = lab.layout.logs / f"{agent}.log"
    noticed = log.read_text().count(RESTART_NOTICED)

    def has_wired_ports() -> bool:
        said = log.read_text().split(RESTART_NOTICED)
        return len(said) - 1 > noticed and PORTS_WIRED in said[-1]

    lab.restart(f"ovs-vswitchd@{host}")
    with suppress(DeadlineError):
        wait_for(has_wired_ports, AGENT_HANGS, f"{agent} to wire its ports again")
    if "tun_id=" not in lab.ofctl(host, "dump-flows", "br-tun", "table=4"):
        print(f"{agent} did not restore the flows of tunnels: it is restarted")
        lab.restart(agent)
        wait_for(lambda: has_cleaned_up(log), DEADLINE, f"{agent} to have cleaned up")
