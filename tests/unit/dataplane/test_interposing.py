"""br-chain's rows: from any state, and after any interruption, a host gets where it must.

``Database`` stands for a host's Open vSwitch and ovn-controller, as far as rows show them.
"""

import random
from collections.abc import Collection
from dataclasses import replace

import pytest

from portchain.dataplane.gates import gate_name
from portchain.dataplane.host_switch import HostNeeds
from portchain.dataplane.interposing import (
    HOLD_SECONDS,
    IFACE_ID,
    IFACE_ID_VER,
    NO_DEVICE,
    OWNER,
    HeldNeeds,
    OwnPort,
    PortRow,
    RowChange,
    gate_patch,
    interpose,
    network_patch,
    network_peer,
    prepare,
    tunnel_name,
)
from tests.plans import ident

A, B = ident("a"), ident("b")
PEER = "192.0.2.2"


def vif(port_id: str, name: str, *, on_br_chain: bool = False, **changes: object) -> PortRow:
    """A port as Nova plugs it in."""
    ids = {IFACE_ID: port_id, "attached-mac": "fa:16:3e:00:00:01", "vm-uuid": ident("vm")}
    return replace(PortRow(name, on_br_chain, external_ids=ids, ofport=5), **changes)  # type: ignore[arg-type]


def tunnel_of_ovn(remote: str, name: str = "ovn-h2-0", **options: str) -> PortRow:
    return PortRow(
        name,
        False,
        "geneve",
        9,
        options={"csum": "true", "key": "flow", "remote_ip": remote} | options,
    )


class Database:
    """The ports of br-int and br-chain."""

    def __init__(self, *rows: PortRow) -> None:
        self.rows = {row.name: row for row in rows}

    def apply(self, change: RowChange) -> None:
        for name in change.delete:
            del self.rows[name]
        for name, number in change.interpose.items():
            assert not self.rows[name].on_br_chain
            assert number not in self.ofports_of_br_chain()
            self.rows[name] = replace(self.rows[name], on_br_chain=True, ofport=number)
        for name in change.give_back:
            assert self.rows[name].on_br_chain
            self.rows[name] = replace(self.rows[name], on_br_chain=False, ofport=77)
        for port in change.put:
            before = self.rows.get(port.name)
            assert before is None or before.is_own
            self.rows[port.name] = self.written(port, before)

    def written(self, port: OwnPort, before: PortRow | None) -> PortRow:
        ids = {**(before.external_ids if before else {}), **port.external_ids}
        kept = {key: value for key, value in ids.items() if key not in port.unset}
        number = before.ofport if before else self.next_ofport()
        return PortRow(port.name, port.on_br_chain, port.type, number, "", port.options, kept)

    def next_ofport(self) -> int:
        return max((row.ofport or 0 for row in self.rows.values()), default=0) + 1

    def ofports_of_br_chain(self) -> set[int | None]:
        return {row.ofport for row in self.rows.values() if row.on_br_chain}

    def settle(self, needs: HostNeeds) -> None:
        """Both transactions, and a look whether anything is left to do."""
        self.apply(prepare(self.rows.values(), needs))
        self.apply(interpose(self.rows.values(), needs))
        assert not prepare(self.rows.values(), needs)
        assert not interpose(self.rows.values(), needs)

    def bindings(self) -> list[str]:
        """The logical ports that ovn-controller binds here: by the plugged interfaces of br-int."""
        return sorted(
            row.external_ids[IFACE_ID]
            for row in self.rows.values()
            if not row.on_br_chain and row.is_plugged and IFACE_ID in row.external_ids
        )

    def own(self) -> set[str]:
        return {name for name, row in self.rows.items() if row.is_own}


def needs(*ports: str, gated: Collection[str] = (), peers: Collection[str] = ()) -> HostNeeds:
    return HostNeeds(frozenset({*ports, *map(gate_name, gated)}), frozenset(peers))


def test_a_port_goes_to_br_chain_and_two_patches_take_its_place() -> None:
    database = Database(vif(A, "tapA"), vif(B, "tapB"))
    database.settle(needs(A, gated=[A]))
    assert database.rows["tapA"].on_br_chain
    assert not database.rows["tapB"].on_br_chain
    assert database.bindings() == sorted([A, B, gate_name(A)])
    assert database.own() == {network_patch(A), network_peer(A), gate_patch(A), gate_name(A)}
    for inner, outer in ((network_patch(A), network_peer(A)), (gate_patch(A), gate_name(A))):
        assert database.rows[inner].on_br_chain
        assert not database.rows[outer].on_br_chain
        assert database.rows[inner].options == {"peer": outer}
        assert database.rows[outer].options == {"peer": inner}


def test_a_port_without_a_gate_has_one_pair_of_patches() -> None:
    database = Database(vif(A, "tapA"))
    database.settle(needs(A))
    assert database.own() == {network_patch(A), network_peer(A)}


def test_only_one_port_is_bound_between_the_transactions() -> None:
    """Of two with the same ``iface-id``, ovn-controller would choose one."""
    database = Database(vif(A, "tapA"))
    database.apply(prepare(database.rows.values(), needs(A, gated=[A])))
    assert not database.rows["tapA"].on_br_chain
    assert database.bindings() == sorted([A, gate_name(A)])
    change = interpose(database.rows.values(), needs(A, gated=[A]))
    assert change.interpose.keys() == {"tapA"}, "moved in the transaction that binds the patch"
    assert [port.name for port in change.put] == [network_peer(A)]


def test_what_ovn_controller_reads_of_a_port_is_at_its_patch() -> None:
    row = vif(A, "tapA")
    ids = {**row.external_ids, "iface-id-ver": "v1", "encap-ip": "192.0.2.7"}
    database = Database(replace(row, external_ids=ids))
    database.settle(needs(A))
    peer = database.rows[network_peer(A)].external_ids
    assert peer == {OWNER: A, IFACE_ID: A, "iface-id-ver": "v1", "encap-ip": "192.0.2.7"}
    changed = {key: value for key, value in ids.items() if key != "encap-ip"} | {
        "iface-id-ver": "2"
    }
    database.rows["tapA"] = replace(database.rows["tapA"], external_ids=changed)
    database.settle(needs(A))
    peer = database.rows[network_peer(A)].external_ids
    assert peer == {OWNER: A, IFACE_ID: A, "iface-id-ver": "2"}


def test_a_port_that_is_up_stays_up() -> None:
    """The patch port says that it is installed when it takes over, and never again."""
    row = vif(A, "tapA")
    installed = replace(row, external_ids={**row.external_ids, "ovn-installed": "true"})
    for plugged, says in ((installed, "true"), (row, None)):
        database = Database(plugged)
        database.settle(needs(A))
        assert database.rows[network_peer(A)].external_ids.get("ovn-installed") == says
    database = Database(installed)
    database.settle(needs(A))
    peer = database.rows[network_peer(A)]
    said = {key: value for key, value in peer.external_ids.items() if key != "ovn-installed"}
    database.rows[peer.name] = replace(peer, external_ids=said)
    assert not interpose(database.rows.values(), needs(A)), "ovn-controller knows better"


def test_what_ovn_controller_writes_stays() -> None:
    database = Database(vif(A, "tapA"))
    database.settle(needs(A, gated=[A]))
    for name in (network_peer(A), gate_name(A)):
        row = database.rows[name]
        database.rows[name] = replace(
            row, external_ids={**row.external_ids, "ovn-installed": "true", "ovn-installed-ts": "1"}
        )
    database.settle(needs(A, gated=[A]))
    assert database.rows[gate_name(A)].is_bound


def test_a_port_that_no_chain_uses_is_given_back() -> None:
    before = Database(vif(A, "tapA"), vif(B, "tapB"))
    database = Database(*before.rows.values())
    database.settle(needs(A, B, gated=[A]))
    database.settle(needs(B))
    assert not database.rows["tapA"].on_br_chain
    assert database.bindings() == sorted([A, B])
    database.settle(needs())
    assert database.rows.keys() == before.rows.keys()


def test_a_gate_that_no_chain_needs_goes_and_its_port_stays() -> None:
    database = Database(vif(A, "tapA"))
    database.settle(needs(A, gated=[A]))
    database.settle(needs(A))
    assert database.own() == {network_patch(A), network_peer(A)}
    assert database.rows["tapA"].on_br_chain
    database.settle(needs(A, gated=[A]))
    assert gate_name(A) in database.bindings()


def test_nova_plugs_a_port_in_again() -> None:
    """It deletes the port from whichever bridge, and adds it to br-int."""
    database = Database(vif(A, "tapA"))
    database.settle(needs(A))
    del database.rows["tapA"]
    database.rows["tapA"] = vif(A, "tapA", ofport=12, record="new")
    assert database.bindings() == [A, A]
    bound = dict(database.rows[network_peer(A)].external_ids)
    assert not prepare(database.rows.values(), needs(A)).put, "the patches are there"
    database.settle(needs(A))
    assert database.bindings() == [A]
    assert database.rows["tapA"].on_br_chain
    changed = database.rows[network_peer(A)].external_ids
    assert changed[IFACE_ID_VER] != bound[IFACE_ID_VER], "so that OVN looks at the patch again"


@pytest.mark.parametrize("other", ["tapA2", "tap0"])
def test_a_port_whose_device_is_replaced_by_another_one(other: str) -> None:
    database = Database(vif(A, "tapA"))
    database.settle(needs(A))
    database.rows["tapA"] = replace(database.rows["tapA"], ofport=NO_DEVICE)
    database.rows[other] = vif(A, other, ofport=13)
    database.settle(needs(A))
    assert database.bindings() == [A]
    assert database.rows[other].on_br_chain
    assert "tapA" not in database.rows


@pytest.mark.parametrize("gone", [{"ofport": NO_DEVICE}, {"ifindex": 0}])
def test_a_machine_that_was_stopped_leaves_nothing(gone: dict[str, int]) -> None:
    """os-vif deletes a port from br-int only: of one on br-chain it leaves the row.

    Open vSwitch first notices that the device has no number any more.
    """
    database = Database(vif(A, "tapA", ifindex=7), vif(B, "tapB"))
    database.settle(needs(A, B, gated=[A]))
    assert database.rows["tapA"].on_br_chain
    database.rows["tapA"] = replace(database.rows["tapA"], **gone)
    database.settle(needs(A, B, gated=[A]))
    assert "tapA" not in database.rows
    assert database.bindings() == [B]
    assert database.own() == {network_patch(B), network_peer(B)}


def test_a_machine_whose_port_was_deleted_is_not_bound() -> None:
    database = Database(vif(A, "tapA"))
    database.settle(needs(A, gated=[A]))
    del database.rows["tapA"]
    database.settle(needs(A, gated=[A]))
    assert database.rows == {}


def test_rows_of_vhost_user_ports_are_never_deleted() -> None:
    """Nova does not add them again: Open vSwitch is to open them when it can."""
    database = Database(vif(A, "vhu", type="dpdkvhostuserclient"))
    database.settle(needs(A))
    assert database.rows["vhu"].on_br_chain
    database.rows["vhu"] = replace(database.rows["vhu"], ofport=NO_DEVICE)
    database.settle(needs(A))
    assert "vhu" in database.rows
    database.settle(needs())
    assert not database.rows["vhu"].on_br_chain


@pytest.mark.parametrize("number", [None, 0])
def test_a_port_that_has_no_number_yet_stays_where_it_is(number: int | None) -> None:
    """Open vSwitch has not got to it."""
    database = Database(vif(A, "tapA", ofport=number))
    database.settle(needs(A))
    assert not database.rows["tapA"].on_br_chain
    assert database.own() == set()
    database.rows["tapA"] = vif(A, "tapA", on_br_chain=True, ofport=None)
    database.settle(needs(A))
    assert database.rows["tapA"].on_br_chain


@pytest.mark.parametrize("kind", ["internal", "patch"])
def test_devices_that_open_vswitch_creates_stay(kind: str) -> None:
    """Moving one would create it again, in the host's own namespace."""
    database = Database(vif(A, "tapA", type=kind))
    database.settle(needs(A, gated=[A]))
    assert not database.rows["tapA"].on_br_chain
    assert database.own() == set()


def test_a_tunnel_is_like_that_of_ovn_but_for_the_key() -> None:
    database = Database(
        tunnel_of_ovn(PEER, local_ip="192.0.2.1"), tunnel_of_ovn("192.0.2.3", "ovn-h3-0")
    )
    database.settle(needs(peers=[PEER]))
    (tunnel,) = (row for row in database.rows.values() if row.is_own)
    assert tunnel.on_br_chain
    assert tunnel.type == "geneve"
    options = {"csum": "true", "key": "0", "remote_ip": PEER, "local_ip": "192.0.2.1"}
    assert tunnel.options == options
    database.rows["ovn-h2-0"] = tunnel_of_ovn(PEER, local_ip="192.0.2.9")
    database.settle(needs(peers=[PEER]))
    assert database.rows[tunnel.name].options["local_ip"] == "192.0.2.9"


def test_a_tunnel_stays_while_ovn_has_none() -> None:
    """ovn-controller deletes its tunnels when it stops, and creates them again when it starts."""
    database = Database(tunnel_of_ovn(PEER))
    database.settle(needs(peers=[PEER]))
    before = database.rows[tunnel_name(PEER)]
    del database.rows["ovn-h2-0"]
    database.settle(needs(peers=[PEER]))
    assert database.rows[tunnel_name(PEER)] == before
    database.settle(needs())
    assert database.rows == {}


def test_without_a_tunnel_of_ovn_there_is_none() -> None:
    database = Database(vif(A, "tapA"))
    database.settle(needs(peers=[PEER, "no address"]))
    assert database.own() == set()


def test_addresses_may_be_written_in_different_ways() -> None:
    database = Database(tunnel_of_ovn("2001:db8:0:0::2"))
    database.settle(needs(peers=["2001:db8::2"]))
    assert database.rows[tunnel_name("2001:db8::2")].external_ids == {OWNER: "2001:db8::2"}


def test_of_several_tunnels_to_a_host_the_same_one_is_chosen() -> None:
    """The other host expects packets from one address."""
    rows = [tunnel_of_ovn(PEER, f"ovn-h2-{n}", local_ip=f"192.0.2.{9 - n}") for n in range(3)]
    for order in (rows, rows[::-1]):
        database = Database(*order)
        database.settle(needs(peers=[PEER]))
        assert database.rows[tunnel_name(PEER)].options["local_ip"] == "192.0.2.7"


@pytest.mark.parametrize("seed", range(300))
def test_a_host_gets_there_from_any_state(seed: int) -> None:
    """Changes of everybody in any order, each interrupted after any of its transactions."""
    chance = random.Random(seed)
    ports = {ident(str(number)): f"tap{number}" for number in range(4)}
    database = Database(tunnel_of_ovn(PEER))
    for _ in range(12):
        wanted = {port for port in ports if chance.random() < 0.5}
        gated = {port for port in wanted if chance.random() < 0.5}
        current = needs(*wanted, gated=gated, peers=[PEER] if chance.random() < 0.5 else [])
        for port, name in ports.items():
            match chance.randrange(6):
                case 0:  # plugged in, or plugged in again
                    database.rows.pop(name, None)
                    database.rows[name] = vif(port, name, ofport=database.next_ofport())
                case 1:  # libvirt unplugs
                    database.rows.pop(name, None)
                case 2 if name in database.rows:  # the device has gone
                    database.rows[name] = replace(database.rows[name], ofport=NO_DEVICE)
        steps = chance.randrange(4)
        if steps > 0:
            database.apply(prepare(database.rows.values(), current))
        if steps > 1:
            database.apply(interpose(database.rows.values(), current))
    database.settle(current)
    plugged = {
        port
        for port, name in ports.items()
        if name in database.rows and database.rows[name].is_plugged
    }
    on_chain = {
        port
        for port, name in ports.items()
        if name in database.rows and database.rows[name].on_br_chain
    }
    assert on_chain == plugged & wanted
    gates = {gate_name(port) for port in gated & plugged}
    assert database.bindings() == sorted(plugged | gates)
    assert len(database.own()) == 2 * len(on_chain) + 2 * len(gates) + len(current.peers)


def held(*steps: tuple[float, HostNeeds]) -> HeldNeeds:
    found = HeldNeeds()
    for now, wanted in steps:
        found = found.replace(wanted, now)
    return found


def test_a_port_is_held_after_its_last_chain() -> None:
    last = HOLD_SECONDS - 1
    used = (0.0, needs(A, B))
    assert held(used, (50, needs(B)), (50 + last, needs(B))).needs == needs(A, B)
    assert held(used, (50, needs(B)), (50 + HOLD_SECONDS, needs(B))).needs == needs(B)
    back = ((50.0, needs(B)), (55.0, needs(A, B)), (56.0, needs(B)), (56 + last, needs(B)))
    assert held(used, *back).needs == needs(A, B), "the time begins anew"
    assert held(used, *back, (56 + HOLD_SECONDS, needs(B))) == HeldNeeds(needs(B))


def test_gates_and_tunnels_are_not_held() -> None:
    before = needs(A, gated=[A], peers=[PEER])
    assert held((0, before), (1, needs())).needs == needs(A)


def test_ports_of_others_on_br_chain_stay() -> None:
    """For example one by which an operator mirrors packets."""
    mirror = PortRow("mirror", True, ofport=3)
    database = Database(mirror, vif(A, "tapA"))
    database.settle(needs(A))
    database.settle(needs())
    assert database.rows["mirror"] == mirror


@pytest.mark.parametrize(
    "change",
    [
        RowChange(put=(OwnPort("p", True, "patch", {}, {}),)),
        RowChange(delete=("p",)),
        RowChange(interpose={"p": 1}),
        RowChange(give_back=("p",)),
    ],
)
def test_any_change_is_one(change: RowChange) -> None:
    assert change
    assert not RowChange()
