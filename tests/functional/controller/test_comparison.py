"""The reconciler compares plans with a real switch: it touches nothing that is right."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from portchain.dataplane.diff import Batch
from portchain.dataplane.flow import COOKIE, Bridge
from portchain.dataplane.transition import TransitionTimeouts
from portchain.host.reconciler import Reconciler
from portchain.rpc.contract import PlanUpdate
from tests.functional.controller.test_remote_switch import VM, Remote, options, wait_until
from tests.functional.vswitch import running_vswitch
from tests.plans import TUNNEL_IPS, chain, classifier, source, target

__all__ = ["options"]

HERE = (replace(source("vm", "h1", "10.0.0.10"), port_id=VM),)
PLANS = tuple(
    chain(
        [target("a", "h2"), target("b", "h2"), target("c", "h3")],
        name=f"pc{number}",
        path_id=number,
        sources=HERE,
        classifiers=(classifier(source_ports=(2 * number, 2 * number + 1)),),
    )
    for number in range(20, 28)
)


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with running_vswitch() as vswitch:
        made = Remote(vswitch)
        for number, host in enumerate(("h2", "h3"), 11):
            vswitch.run(
                *("ovs-vsctl", "add-port", "br-tun", f"to-{host}", "--", "set", "interface"),
                *(f"to-{host}", "type=vxlan", f"ofport_request={number}", "options:key=flow"),
                f"options:remote_ip={TUNNEL_IPS[host]}",
            )
        wait_until(lambda: len(made.switch.read_ports().tunnels) == 2)
        yield made
        made.switch.close()


class Recorded:
    """A switch that notes what is applied."""

    def __init__(self, remote: Remote) -> None:
        self._switch = remote.switch
        self.batches: list[Batch] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._switch, name)

    def apply(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._switch.apply(batch)


def started(switch: Recorded) -> Reconciler:
    return Reconciler(switch, "h1", lambda reports: None, TransitionTimeouts())


def flows(remote: Remote) -> set[str]:
    return set(map(str, remote.switch.dump_entries()))


def test_a_start_with_all_flows_in_place_touches_none(remote: Remote) -> None:
    started(Recorded(remote)).synchronise(PlanUpdate(PLANS))
    switch = Recorded(remote)
    again = started(switch)
    assert again.synchronise(PlanUpdate(PLANS)) is False
    assert again.reconcile() is False
    assert switch.batches == []
    assert len(flows(remote)) > len(PLANS) * 10


def _line(remote: Remote, wanted: str) -> str:
    """Return the match of one of our flows, as the switch prints it."""
    dump = remote.ofctl("dump-flows", "--no-stats", f"cookie={COOKIE:#x}/-1,table=152")
    line = next(line for line in dump.splitlines() if wanted in line)
    return line.partition(" actions=")[0].strip().partition(", ")[2].replace(" ", "")


@pytest.mark.parametrize("damage", ["added", "deleted", "other actions", "all deleted"])
@pytest.mark.parametrize("changes", [0, 1])
def test_a_comparison_repairs_what_others_have_changed(
    remote: Remote, damage: str, changes: int
) -> None:
    """Also after changes of the agent's own since the last comparison."""
    switch = Recorded(remote)
    reconciler = started(switch)
    reconciler.synchronise(PlanUpdate(PLANS))
    assert reconciler.reconcile() is False
    for number in range(changes):
        newer = replace(PLANS[number], revision=2 + number)
        (path,) = newer.paths
        other = (classifier(source_ports=(7, 9)),)
        reconciler.update(PlanUpdate((replace(newer, paths=(replace(path, classifiers=other),)),)))
    assert reconciler.reconcile() is False
    before = flows(remote)
    match = _line(remote, f"reg8={0x10000 + 27:#x}")
    ours = f"cookie={COOKIE:#x}"
    if damage == "added":
        remote.ofctl("add-flow", f"{ours},table=152,priority=7,reg8=0x9,actions=drop")
    elif damage == "deleted":
        remote.ofctl("del-flows", "--strict", f"{ours}/-1,{match}")
    elif damage == "other actions":
        remote.ofctl("add-flow", f"{ours},{match},actions=drop")
    else:
        remote.ofctl("del-flows", f"{ours}/-1")
    assert flows(remote) != before
    assert reconciler.reconcile() is True
    assert flows(remote) == before
    assert {batch.bridge for batch in switch.batches} >= {Bridge.INT}
    assert reconciler.reconcile() is False


def test_ports_are_read_again_only_if_they_have_changed(remote: Remote) -> None:
    first = remote.switch.read_ports()
    assert remote.switch.read_ports() is first
    remote.vswitch.run("ovs-vsctl", "set", "interface", "tap1", "external_ids:unrelated=1")
    remote.vswitch.run("ovs-vsctl", "set", "port", "tap1", "tag=9")
    wait_until(lambda: remote.switch.read_ports().ports[VM].vlan == 9)
    assert remote.switch.read_ports().tunnels == first.tunnels
    remote.vswitch.run("ovs-vsctl", "set", "port", "tap1", "tag=7")
    wait_until(lambda: remote.switch.read_ports() == first)
