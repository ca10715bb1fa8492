"""br-chain of a real switch over TCP, as the controller provides it on hosts of OVN."""

import queue
from collections.abc import Iterator
from typing import Any

import pytest

from portchain.controller.ovn_switch import RemoteOvnSwitch
from portchain.dataplane.flow import Bridge
from portchain.dataplane.gates import gate_name
from portchain.dataplane.host_switch import HostNeeds
from portchain.dataplane.interposing import BR_CHAIN, gate_patch, network_patch, network_peer
from portchain.ovsdb.switch_database import SwitchDatabase
from tests.functional.controller.test_remote_switch import VM, Remote, collect
from tests.functional.vswitch import DEADLINE, Vswitch, running_vswitch

NEEDS = HostNeeds(frozenset({VM, gate_name(VM)}))


class RemoteOvn(Remote):
    """A host with br-int, as ovn-controller makes it, and the controller's connection to it."""

    def __init__(self, vswitch: Vswitch) -> None:
        self.later: queue.Queue[float] = queue.Queue()
        super().__init__(vswitch)

    def open(self) -> Any:
        database = SwitchDatabase(
            lambda: self.endpoint.database, self.endpoint.timeout, self.row_changes.put
        )
        return RemoteOvnSwitch(
            *("h1", self.endpoint, database),
            lambda: self.flow_changes.put(True),
            self.later.put,
        )

    def ports(self, bridge: str) -> set[str]:
        return set(self.vswitch.run("ovs-vsctl", "list-ports", bridge).split())


@pytest.fixture
def remote() -> Iterator[RemoteOvn]:
    with running_vswitch() as vswitch:
        made = RemoteOvn(vswitch)
        yield made
        made.switch.close()


def test_ports_of_chains_are_moved_and_connected_over_the_network(remote: RemoteOvn) -> None:
    switch: Any = remote.switch
    switch.provide(NEEDS)
    port = switch.read_ports().ports[VM]
    assert port.wire is not None
    assert port.wire.gate is not None
    assert {"tap1", network_patch(VM), gate_patch(VM)} <= remote.ports(BR_CHAIN)
    assert {network_peer(VM), gate_name(VM)} <= remote.ports("br-int")
    bridges = {entry.key.bridge for entry in switch.dump_entries()}
    assert bridges == {Bridge.INT}, "the flows that connect the port, which came before it"
    switch.restore_wires()
    before = set(switch.dump_entries())
    remote.wait_until_quiet()
    remote.vswitch.run("ovs-ofctl", "-OOpenFlow14", "del-flows", BR_CHAIN)
    assert remote.flow_changes.get(timeout=DEADLINE)
    switch.restore_wires()
    assert set(switch.dump_entries()) == before


def test_ports_are_given_back_when_no_chain_has_needed_them_for_a_while(remote: RemoteOvn) -> None:
    switch: Any = remote.switch
    switch.provide(NEEDS)
    switch.read_ports()
    switch.provide(HostNeeds())
    assert remote.later.get(timeout=DEADLINE) > 0
    switch._clock = lambda: 1e9
    switch.provide(HostNeeds())
    assert switch.read_ports().ports == {}
    assert remote.ports(BR_CHAIN) == set()
    assert "tap1" in remote.ports("br-int")


def test_br_chain_is_made_to_listen_again(remote: RemoteOvn) -> None:
    switch: Any = remote.switch
    switch.provide(NEEDS)
    switch.read_ports()
    remote.wait_until_quiet()
    remote.vswitch.run("ovs-vsctl", "del-controller", BR_CHAIN)
    assert "" in collect(remote.row_changes)
    switch.read_ports()
    assert remote.vswitch.run("ovs-vsctl", "get-controller", BR_CHAIN).split() == [
        remote.endpoint.listener(0)
    ]
    assert switch.dump_entries()
