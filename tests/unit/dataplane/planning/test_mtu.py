"""Which chains get an MTU warning: with the same overheads as Neutron's own calculation."""

from dataclasses import replace

import pytest
from neutron.conf import common as common_config
from neutron.conf.plugins.ml2 import config as ml2_config
from neutron_lib import constants
from oslo_config import cfg

from portchain import conf as portchain_conf
from portchain.dataplane.plan import Segment
from portchain.dataplane.planning.mtu import (
    FRAME_HEADER,
    PACKET_HEADER,
    TunnelEnd,
    Underlay,
    why_too_long,
)
from portchain.drivers.hosts.underlay import underlay_of
from tests.plans import HOSTS, TUNNEL_IPS, chain, ident, source, tap, target

PORTS = [ident(name) for name in ("vm", "a-in", "a-out", "b-in", "b-out")]


def ends(kind="vxlan", **addresses):
    known = {**TUNNEL_IPS, **addresses}
    return {host: TunnelEnd(known[host], frozenset({kind} if kind else ())) for host in HOSTS}


def reason(*hops, mtu=1500, room=1550, tunnels=None, packet_hosts=(), **underlay):
    plan = chain(*hops, sources=(replace(source("vm", "h1"), segment=Segment("physnet1", 100)),))
    plan = replace(plan, packet_hosts=packet_hosts)
    known = Underlay(room, underlay, other=room)
    return why_too_long(plan, dict.fromkeys(PORTS, mtu), tunnels or ends(), known)


def test_chain_on_one_host_always_fits():
    assert reason([target("a", "h1")], room=1) == ""


@pytest.mark.parametrize(
    ("kind", "address", "overhead"),
    [
        ("vxlan", "192.0.2.2", 50),
        ("gre", "192.0.2.2", 42),
        ("geneve", "192.0.2.2", 50),
        ("vxlan", "2001:db8::2", 70),
    ],
)
@pytest.mark.parametrize(
    ("packet_hosts", "header"), [((), 18), (("h1",), 18), (("h2",), 8), (("h1", "h2"), 8)]
)
def test_chain_header_between_hosts_adds_to_neutrons_overhead(
    kind, address, overhead, packet_hosts, header
):
    """The receiving host decides whether the header is that of a packet or of a frame."""
    hop = [target("a", "h2")]
    known = {"tunnels": ends(kind, h2=address, h1=address), "packet_hosts": packet_hosts}
    assert reason(hop, room=1500 + overhead + header, **known) == ""
    assert reason(hop, mtu=1500 - header, room=1500 + overhead, **known) == ""
    assert reason(hop, room=1500 + overhead + header - 1, **known).startswith(
        "packets longer than 1499 bytes do not fit between hosts h1 and h2: the networks' MTU of "
        f"1500 needs an underlay MTU of {1500 + overhead + header}, "
    )


def test_frames_that_return_to_a_host_are_as_long_as_it_accepts_them():
    """To the function go packets, and back whole frames, or the other way around."""
    hop = [target("a", "h2", bridges=True)]
    for packet_hosts, needed in (
        ((), 1568),
        (("h1",), 1568),
        (("h2",), 1568),
        (("h1", "h2"), 1558),
    ):
        assert reason(hop, room=needed, packet_hosts=packet_hosts) == ""
        found = reason(hop, room=needed - 1, packet_hosts=packet_hosts)
        assert f"needs an underlay MTU of {needed}" in found
    back = reason(hop, room=1558, packet_hosts=("h2",))
    assert "between hosts h2 and h1" in back


@pytest.mark.parametrize(("encapsulation", "header"), [("mpls", 4), ("nsh", 38)])
def test_header_of_sfc_aware_function_must_fit_through_its_port(encapsulation, header):
    plan = chain([target("a", "h1", encapsulation=encapsulation)], [target("b", "h1")])
    same = dict.fromkeys(PORTS, 1500)
    text = why_too_long(plan, same, ends(), Underlay())
    assert text.startswith(
        f"packets longer than {1500 - header} bytes do not fit through port {ident('a-in')} "
    )
    assert text.endswith(f"its network's MTU is 1500 and must be {1500 + header}")
    roomy = same | {ident("a-in"): 1500 + header}
    assert why_too_long(plan, roomy, ends(), Underlay()) == ""
    assert why_too_long(plan, {}, ends(), Underlay()) == "", "MTUs are unknown"


def test_the_longest_packets_count_and_the_worst_port_is_reported():
    """Of a sender whose MTU is unknown, nothing is known to be too long."""
    first, last = target("a", "h1", encapsulation="mpls"), target("b", "h1", encapsulation="nsh")
    plan = chain(
        [first], [last], sources=tuple(source(name, "h1") for name in ("vm", "vm2", "vm3"))
    )
    mtus = {ident("vm"): 1400, ident("vm2"): 1500, ident("a-in"): 1503, ident("a-out"): 1500}
    text = why_too_long(plan, mtus, ends(), Underlay())
    assert "packets longer than 1499 bytes" in text
    assert "is 1503 and must be 1504" in text
    text = why_too_long(plan, mtus | {ident("b-in"): 1530}, ends(), Underlay())
    assert f"port {ident('b-in')} with the nsh header" in text
    hidden = why_too_long(plan, mtus, ends(), Underlay(), {ident("a-in")})
    assert "do not fit through a port of another project with the mpls header" in hidden
    assert ident("a-in") not in hidden


def test_the_port_that_lacks_most_is_reported():
    first, last = target("a", "h1", encapsulation="mpls"), target("b", "h1", encapsulation="nsh")
    mtus = {"vm": 9000, "a-in": 9000, "a-out": 1400, "b-in": 1400}
    known = {ident(name): mtu for name, mtu in mtus.items()}
    text = why_too_long(chain([first], [last]), known, ends(), Underlay())
    assert "is 1400 and must be 1438" in text


def test_only_headers_make_packets_too_long_for_a_port():
    for encapsulation, mtus in (
        ("", {ident("vm"): 1500, ident("a-in"): 1400}),
        ("nsh", {ident("vm"): 1500}),
        ("nsh", {ident("a-in"): 10}),
    ):
        plan = chain([target("a", "h1", encapsulation=encapsulation)])
        assert why_too_long(plan, mtus, ends(), Underlay()) == ""


def test_no_packets_come_from_a_group_without_functions():
    plan = chain([], [target("b", "h1", encapsulation="nsh")])
    for mtu in (1500, 10):
        assert why_too_long(plan, dict.fromkeys(PORTS, mtu), ends(), Underlay()) == ""


def test_both_kinds_of_reasons_are_given():
    plan = chain([target("a", "h2", encapsulation="mpls")])
    text = why_too_long(plan, dict.fromkeys(PORTS, 1500), ends(), Underlay(1500))
    between = why_too_long(plan, {ident("vm"): 1500}, ends(), Underlay(1500))
    at_function = why_too_long(plan, dict.fromkeys(PORTS, 1500), ends(), Underlay())
    assert "between hosts h1 and h2" in between
    assert "with the mpls header" in at_function
    assert text == f"{between}; {at_function}"


def test_tunnel_overheads_are_those_of_neutron():
    for kind, header in (
        ("vxlan", constants.VXLAN_ENCAP_OVERHEAD),
        ("gre", constants.GRE_ENCAP_OVERHEAD),
        ("geneve", constants.GENEVE_ENCAP_MIN_OVERHEAD),
    ):
        for version, address in ((4, "192.0.2.9"), (6, "2001:db8::9")):
            tunnels = ends(kind, h1=address, h2=address)
            for packet_hosts, ours in (((), FRAME_HEADER), (("h2",), PACKET_HEADER)):
                room = 1500 + ours + header + constants.IP_HEADER_LENGTH[version]
                known = {"tunnels": tunnels, "packet_hosts": packet_hosts}
                assert reason([target("a", "h2")], room=room, **known) == ""
                assert reason([target("a", "h2")], room=room - 1, **known) != ""


def test_mtu_of_physical_network_applies_without_tunnel():
    placed = replace(target("a", "h2"), ingress_segment=Segment("physnet1", 100))
    for packet_hosts in ((), ("h1", "h2")):
        known = {"tunnels": ends(""), "packet_hosts": packet_hosts}
        assert reason([placed], room=1518, **known) == ""
        assert "needs an underlay MTU of 1518" in reason([placed], room=1500, **known)
    assert reason([placed], room=1500, tunnels=ends(""), physnet1=9000) == ""
    assert reason([placed], room=9000, tunnels=ends(""), physnet1=1517) != ""


def test_all_hops_are_checked_and_the_worst_is_reported():
    hops = [target("a", "h1")], [target("b", "h3")]
    assert "between hosts h1 and h3" in reason(*hops)
    slow = ends()
    slow["h3"] = TunnelEnd("2001:db8::3", frozenset({"vxlan"}))
    assert "needs an underlay MTU of 1588" in reason(
        [target("a", "h2")], [target("b", "h3")], tunnels=slow
    )


def test_return_from_bridging_function_to_source_is_checked():
    """The tunnel from h3 back to h1 can have a larger header than those from h1 to h3."""
    both, gre = frozenset({"gre", "vxlan"}), frozenset({"gre"})
    tunnels = {
        host: TunnelEnd(TUNNEL_IPS[host], types)
        for host, types in (("h1", both), ("h2", gre), ("h3", both))
    }
    room = 1500 + 42 + FRAME_HEADER
    for bridges in (False, True):
        hops = [target("a", "h2", bridges=bridges)], [target("b", "h3", bridges=bridges)]
        assert ("between hosts h3 and h1" in reason(*hops, room=room, tunnels=tunnels)) is bridges


def test_return_from_bridging_function_uses_the_network_of_the_source():
    placed = target("a", "h2", bridges=True)
    placed = replace(placed, ingress_segment=Segment("physnet2", 100))
    found = reason([placed], tunnels=ends(""), physnet1=1500, physnet2=9000)
    assert "between hosts h2 and h1" in found
    assert reason([placed], tunnels=ends(""), physnet1=9000, physnet2=9000) == ""


def test_packets_do_not_cross_between_the_last_functions_of_a_chain():
    both, gre = frozenset({"gre", "vxlan"}), frozenset({"gre"})
    tunnels = {
        host: TunnelEnd(TUNNEL_IPS[host], types)
        for host, types in (("h1", gre), ("h2", both), ("h3", both))
    }
    last = [target("a", "h2"), target("b", "h3")]
    assert reason(last, room=1500 + 42 + FRAME_HEADER, tunnels=tunnels) == ""


def test_taps_return_nothing():
    observer = tap(target("a", "h2"))
    found = reason(observer, [target("b", "h3")], tunnels=ends(h3="2001:db8::3"))
    assert "between hosts h1 and h3" in found
    assert reason(tap(target("a", "h1"))) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TunnelEnd("192.0.2.1", frozenset({"vxlan"})), TunnelEnd("192.0.2.2", frozenset({"gre"}))),
        (TunnelEnd("192.0.2.1", frozenset({"stt"})), TunnelEnd("192.0.2.2", frozenset({"stt"}))),
        (TunnelEnd("", frozenset({"gre"})), TunnelEnd("192.0.2.2", frozenset({"gre"}))),
        (TunnelEnd("192.0.2.1", frozenset({"gre"})), TunnelEnd("", frozenset({"gre"}))),
    ],
    ids=["no type in common", "unknown type", "sender without address", "receiver without address"],
)
def test_hosts_between_which_there_is_no_tunnel(one, other):
    """Without a physical network either, nothing is known of what carries the packets."""
    tunnels = {"h1": one, "h2": other}
    assert reason([target("a", "h2")], room=100, tunnels=tunnels) == ""
    placed = replace(target("a", "h2"), ingress_segment=Segment("physnet1", 100))
    assert "needs an underlay MTU of 1518" in reason([placed], room=100, tunnels=tunnels)


def test_the_crossing_that_lacks_most_is_reported():
    placed = replace(target("b", "h3"), ingress_segment=Segment("physnet1", 100))
    tunnels = {host: end for host, end in ends().items() if host != "h3"}
    found = reason([target("a", "h2"), placed], tunnels=tunnels, physnet1=1400)
    assert found == (
        "packets longer than 1382 bytes do not fit between hosts h1 and h3: the networks' MTU of "
        "1500 needs an underlay MTU of 1518, and the server's configuration says 1400"
    )


@pytest.mark.parametrize("unknown", [{"mtu": 0}, {"mtu": 0, "room": 10}, {"room": 0}])
def test_no_warning_if_mtu_is_unknown(unknown):
    assert reason([target("a", "h2")], **unknown) == ""


def test_nothing_is_too_long_of_ports_that_nobody_knows():
    plan = chain([target("a", "h2", encapsulation="nsh")])
    assert why_too_long(plan, {ident("a-in"): 10}, ends(), Underlay(10)) == ""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Underlay(1500, {}, 1500)),
        ({"path_mtu": 1400}, Underlay(1400, {}, 1500)),
        ({"path_mtu": 9000}, Underlay(1500, {}, 1500)),
        (
            {"physical_network_mtus": {"a": "1400", "b": "9000"}},
            Underlay(1500, {"a": 1400, "b": 1500}, 1500),
        ),
        (
            {"global_physnet_mtu": 9000, "physical_network_mtus": {"a": "1600"}},
            Underlay(9000, {"a": 1600}, 9000),
        ),
        ({"underlay_mtu": 1600, "path_mtu": 1400}, Underlay(1600, {}, 1600)),
    ],
    ids=str,
)
def test_underlay_mtu_from_options(options, expected):
    conf = cfg.ConfigOpts()
    common_config.register_core_common_config_opts(conf)
    ml2_config.register_ml2_plugin_opts(conf)
    portchain_conf.register_server_opts(conf)
    groups = {"underlay_mtu": portchain_conf.GROUP, "global_physnet_mtu": None}
    for name, value in options.items():
        conf.set_override(name, value, groups.get(name, "ml2"))
    assert underlay_of(conf) == expected
