"""Gates: which ports of a chain need one, and how server and hosts call it."""

from dataclasses import replace

from portchain.dataplane.gates import gate_mac, gate_name, gated_ports, is_gate, needs_of
from portchain.dataplane.host_switch import HostNeeds
from portchain.dataplane.plan import GraphIngress
from tests.plans import TUNNEL_IPS, chain, ident, source, tap, target

PORTS = [ident(str(number)) for number in range(1000)]


def test_the_source_and_every_function_that_routes_have_a_gate() -> None:
    plan = chain([target("a", "h1"), target("b", "h2")], [target("c", "h3")])
    wanted = {"vm", "a-out", "b-out", "c-out"}
    assert gated_ports(plan) == {ident(name) for name in wanted}


def test_functions_that_keep_the_source_address_have_none() -> None:
    plan = chain(
        [target("bridging", "h1", bridges=True)],
        [target("nsh", "h2", encapsulation="nsh")],
        tap(target("tap", "h2")),
    )
    assert gated_ports(plan) == {ident("vm")}


def test_an_mpls_aware_function_has_one_on_its_own_network_only() -> None:
    aware = target("aware", "h2", encapsulation="mpls")
    assert gated_ports(chain([aware])) == {ident("vm"), ident("aware-out")}
    assert gated_ports(chain([replace(aware, off_network=True)])) == {ident("vm")}


def test_both_ends_of_a_symmetric_chain_have_a_gate() -> None:
    plan = chain([target("a", "h1", bridges=True)])
    forward = plan.paths[0]
    replies = replace(forward, sources=(source("server", "h2"),), reverse=True)
    assert gated_ports(replace(plan, paths=(forward, replies))) == {ident("vm"), ident("server")}


def test_a_following_chain_continues_from_the_gates_of_the_one_before() -> None:
    entry = GraphIngress(7, 1, senders=(source("a-out"),), origins=(source("vm"),))
    plan = chain([target("b", "h1", bridges=True)], sources=(), entries=(entry,))
    assert gated_ports(plan) == {ident("vm")}


def test_hosts_of_a_following_chain_need_tunnels_to_those_of_the_one_before() -> None:
    """And back to its source, from which a bridging function's packets continue."""
    before, origin = source("a-out", "h1"), source("vm", "h2")
    entry = GraphIngress(7, 1, senders=(before,), origins=(origin,))
    plan = chain([target("b", "h3", bridges=True)], sources=(), entries=(entry,))
    assert needs_of(plan, "h1") == HostNeeds(
        frozenset({before.port_id}), frozenset({TUNNEL_IPS["h2"], TUNNEL_IPS["h3"]})
    )
    assert needs_of(plan, "h2") == HostNeeds(
        frozenset({origin.port_id, gate_name(origin.port_id)}),
        frozenset({TUNNEL_IPS["h1"], TUNNEL_IPS["h3"]}),
    )
    b = frozenset({ident("b-in"), ident("b-out")})
    assert needs_of(plan, "h3") == HostNeeds(b, frozenset({TUNNEL_IPS["h1"], TUNNEL_IPS["h2"]}))


def test_gates_have_addresses_of_their_own() -> None:
    macs = {gate_mac(port) for port in PORTS}
    assert len(macs) == len(PORTS)
    for mac in macs:
        first = int(mac[:2], 16)
        assert first & 1 == 0, "unicast"
        assert first & 2, "locally administered"


def test_hosts_and_server_compute_the_same_at_any_time() -> None:
    """Hosts and server may have different releases: these texts must not change."""
    port = "11111111-2222-3333-4444-555555555555"
    assert gate_name(port) == f"pc-gate-{port}"
    assert gate_mac(port) == "0e:5e:99:23:73:b1"


def test_gates_are_known_by_their_names() -> None:
    assert is_gate(gate_name(PORTS[0])) is True
    assert is_gate(PORTS[0]) is False


def test_a_host_needs_no_egress_port_of_a_tap_and_no_tunnel_to_hosts_without() -> None:
    far = replace(target("b", "h2", bridges=True), tunnel_ip="")
    plan = chain(tap(target("a", "h1")), [far])
    gate = gate_name(ident("vm"))
    wanted = frozenset({ident("vm"), gate, ident("a-in")})
    assert needs_of(plan, "h1") == HostNeeds(wanted, frozenset())
