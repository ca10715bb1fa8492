"""Which chains get an MTU warning: with the same overheads as Neutron's own calculation."""

from dataclasses import replace

import pytest
from neutron.conf import common as common_config
from neutron.conf.plugins.ml2 import config as ml2_config
from neutron_lib import constants
from oslo_config import cfg

from portchain import conf as portchain_conf
from portchain.dataplane.plan import Segment
from portchain.dataplane.planning.mtu import CHAIN_HEADER, TunnelEnd, Underlay, why_too_long
from portchain.drivers.ovs.underlay import underlay_of
from tests.plans import HOSTS, TUNNEL_IPS, chain, ident, source, target

PORTS = [ident(name) for name in ("vm", "a-in", "a-out", "b-in", "b-out")]


def ends(kind="vxlan", **addresses):
    known = {**TUNNEL_IPS, **addresses}
    return {host: TunnelEnd(known[host], frozenset({kind} if kind else ())) for host in HOSTS}


def reason(*hops, mtu=1500, room=1550, tunnels=None, **underlay):
    plan = chain(*hops, sources=(replace(source("vm", "h1"), segment=Segment("physnet1", 100)),))
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
def test_chain_header_between_hosts_adds_to_neutrons_overhead(kind, address, overhead):
    tunnels = ends(kind, h2=address, h1=address)
    hop = [target("a", "h2")]
    assert reason(hop, room=1500 + overhead + CHAIN_HEADER, tunnels=tunnels) == ""
    assert reason(hop, mtu=1500 - CHAIN_HEADER, room=1500 + overhead, tunnels=tunnels) == ""
    assert reason(hop, room=1500 + overhead + CHAIN_HEADER - 1, tunnels=tunnels).startswith(
        "packets longer than 1499 bytes do not fit between hosts h1 and h2: "
    )


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


def test_tunnel_overheads_are_those_of_neutron():
    for kind, header in (
        ("vxlan", constants.VXLAN_ENCAP_OVERHEAD),
        ("gre", constants.GRE_ENCAP_OVERHEAD),
        ("geneve", constants.GENEVE_ENCAP_MIN_OVERHEAD),
    ):
        for version, address in ((4, "192.0.2.9"), (6, "2001:db8::9")):
            room = 1500 + CHAIN_HEADER + header + constants.IP_HEADER_LENGTH[version]
            tunnels = ends(kind, h1=address, h2=address)
            assert reason([target("a", "h2")], room=room, tunnels=tunnels) == ""
            assert reason([target("a", "h2")], room=room - 1, tunnels=tunnels) != ""


def test_mtu_of_physical_network_applies_without_tunnel():
    placed = replace(target("a", "h2"), ingress_segment=Segment("physnet1", 100))
    assert reason([placed], room=1518, tunnels=ends("")) == ""
    assert "needs an underlay MTU of 1518" in reason([placed], room=1500, tunnels=ends(""))
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
    room = 1500 + 42 + CHAIN_HEADER
    for bridges in (False, True):
        hops = [target("a", "h2", bridges=bridges)], [target("b", "h3", bridges=bridges)]
        assert ("between hosts h3 and h1" in reason(*hops, room=room, tunnels=tunnels)) is bridges


@pytest.mark.parametrize("unknown", [{"mtu": 0}, {"room": 0}])
def test_no_warning_if_mtu_is_unknown(unknown):
    assert reason([target("a", "h2")], **unknown) == ""


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
