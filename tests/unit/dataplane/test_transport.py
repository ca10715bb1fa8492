"""What hosts put around packets for other hosts: labels, or whole frames with a label."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from portchain.dataplane.compile import compile_chain, compile_frame_guard
from portchain.dataplane.datapath import MPLS
from portchain.dataplane.flow import Bridge, Flow
from portchain.dataplane.host_switch import LocalSwitch, PhysicalBridge
from portchain.dataplane.pipeline import TABLES, port_label
from portchain.dataplane.plan import ChainPlan, Segment
from tests.plans import chain, classifier, mac, source, switch, tap, target

SENDER = switch("h1", "vm", "a-in", "a-out")
RECEIVER = switch("h2", "b-in", "b-out")
B = target("b", "h2")
SENDING = {TABLES[name].number for name in ("FORWARD", "REJOIN", "COPY")}
ANY_IPV6 = classifier(ethertype="IPv6", source_prefixes=(), destination_prefixes=())


def flows(plan: ChainPlan, local: LocalSwitch) -> set[Flow]:
    return set(compile_chain(plan, local).flows)


def sent(plan: ChainPlan, local: LocalSwitch = SENDER) -> set[str]:
    """The first actions of flows that put something around packets."""
    found = (flow.actions.removeprefix("clone(") for flow in flows(plan, local))
    kinds = ("encap(mpls)", "push_mpls:0x8847", "pop_vlan,push_mpls:0x8847")
    return {kind for actions in found for kind in kinds if actions.startswith(kind)}


def accepted(plan: ChainPlan, local: LocalSwitch = RECEIVER) -> set[str]:
    """What a host accepts from tunnels."""
    found = {flow.actions.partition(",goto_table")[0] for flow in flows(plan, local)}
    return {
        kind
        for kind, action in (("packets", "pop_mpls:0x8847"), ("frames", "decap()"))
        if any(action in actions for actions in found)
    }


@pytest.mark.parametrize(
    ("packet_hosts", "sent_by_h1", "accepted_by_h2"),
    [
        (("h1", "h2"), {"push_mpls:0x8847", "pop_vlan,push_mpls:0x8847"}, {"packets"}),
        # An agent that accepts no packets is older, and ignores the flows for them as well.
        (("h1",), {"encap(mpls)"}, {"packets", "frames"}),
        (("h2",), {"push_mpls:0x8847", "pop_vlan,push_mpls:0x8847"}, {"packets", "frames"}),
        ((), {"encap(mpls)"}, {"packets", "frames"}),
    ],
)
@pytest.mark.parametrize("hop", [[B], tap(B)])
def test_hosts_get_what_they_accept(
    hop: object, packet_hosts: tuple[str, ...], sent_by_h1: set[str], accepted_by_h2: set[str]
) -> None:
    plan = replace(chain(hop, [target("a", "h1")]), packet_hosts=packet_hosts)  # type: ignore[arg-type]
    assert sent(plan) == sent_by_h1
    assert accepted(plan) == accepted_by_h2


def test_a_host_whose_datapath_takes_one_label_only_sends_frames() -> None:
    plan = replace(chain([B], [target("a", "h1")]), packet_hosts=("h2",))
    assert sent(plan, replace(SENDER, lacks=frozenset({MPLS}))) == {"encap(mpls)"}


@pytest.mark.parametrize("hop", [[B], tap(B)])
def test_both_forms_replace_each_other(hop: object) -> None:
    """Otherwise a plan whose packets are in flight would go on to send the form of before."""
    plan = chain(hop, [target("a", "h1")])  # type: ignore[arg-type]
    keys = [
        {flow.key for flow in flows(replace(plan, packet_hosts=hosts), SENDER)}
        for hosts in (("h1", "h2"), ("h1",))
    ]
    sending = [{key for key in found if key.bridge == Bridge.INT} for found in keys]
    tables = [{key for key in found if key.table in SENDING} for found in sending]
    assert tables[0] == tables[1] != set()


def test_plans_of_an_older_server_are_about_frames() -> None:
    plan = replace(chain([B]), generation=None, packet_hosts=())
    assert sent(plan) == {"encap(mpls)"}
    assert accepted(plan) == {"frames"}


def test_a_host_that_only_itself_sends_to_accepts_nothing() -> None:
    plan = chain([target("a", "h1")], [B])
    assert accepted(plan, SENDER) == set()
    assert accepted(plan) == {"packets"}


@pytest.mark.parametrize("other", ["ingress_mac", "egress_mac"])
def test_a_source_with_the_label_of_a_function_gets_frames_back(other: str) -> None:
    hop = [replace(target("b", "h2", bridges=True), **{other: "fa:16:3f:ab:cd:ef"})]
    for mac_of_source, form in (("fa:16:3e:0b:cd:ef", "frames"), ("fa:16:3e:0b:cd:ee", "packets")):
        plan = chain(hop, sources=(replace(source(), mac=mac_of_source),))
        assert accepted(plan, SENDER) == {form}


@pytest.mark.parametrize("last", ["fa:16:3f:ab:cd:ef", "fa:16:3f:ab:cd:ee"])
def test_ports_with_the_same_label_get_frames(last: str) -> None:
    """Labels have the last 20 bits of MAC addresses. Whoever may choose one can choose these."""
    one = replace(B, ingress_mac="fa:16:3e:0b:cd:ef")
    other = replace(target("c", "h2"), ingress_mac=last)
    is_same = port_label(one.ingress_mac) == port_label(last)
    local = switch("h2", "b-in", "b-out", "c-in", "c-out")
    plan = chain([one, other, target("d", "h3")])
    expected = {"push_mpls:0x8847", "pop_vlan,push_mpls:0x8847"}
    assert sent(plan) == expected | ({"encap(mpls)"} if is_same else set())
    assert accepted(plan, local) == ({"frames"} if is_same else {"packets"})
    assert accepted(plan, switch("h3", "d-in", "d-out")) == {"packets"}


def test_hosts_without_a_tunnel_send_frames_over_the_provider_network() -> None:
    segment = Segment("physnet1", 7)
    plan = chain([replace(B, tunnel_ip="", ingress_segment=segment, egress_segment=segment)])
    local = replace(SENDER, physical={"physnet1": PhysicalBridge(2, 3)})
    assert sent(plan, local) == {"encap(mpls)"}


def test_each_ip_version_has_labels_of_its_own() -> None:
    both = (classifier(), ANY_IPV6)
    plan = chain([B], classifiers=both, sources=(source(), source(number=1)))
    forward = [flow for flow in flows(plan, SENDER) if flow.actions.startswith("push_mpls")]
    words = {next(w for w in flow.key.match if w in ("ip", "ipv6")) for flow in forward}
    assert words == {"ip", "ipv6"}
    arrived = arrivals(flows(plan, RECEIVER))
    assert {flow.actions.partition(",")[0] for flow in arrived} == {
        "pop_mpls:0x0800",
        "pop_mpls:0x86dd",
    }


def arrivals(found: Collection[Flow]) -> list[Flow]:
    return [flow for flow in found if flow.key.table == TABLES["ARRIVED"].number]


def test_the_label_of_a_port_is_read_off_its_address() -> None:
    assert port_label("fa:16:3e:12:34:56") == 0x23456
    (flow,) = arrivals(flows(chain([B]), RECEIVER))
    assert f"mpls_label={port_label(mac('b-in'))}" in flow.key.match


def test_packets_of_networks_never_enter_br_tun_as_packets_of_chains() -> None:
    """Neutron tags what it sends to br-tun; flows there take untagged frames only."""
    guard = [flow for flow in compile_frame_guard(SENDER) if flow.key.bridge == Bridge.TUN]
    assert guard
    untagged = "vlan_tci=0x0000/0x1fff"
    assert all(untagged in flow.key.match for flow in guard)
    for flow in flows(chain([B]), SENDER):
        if flow.actions.startswith("push_mpls"):
            assert untagged in flow.key.match
        if flow.actions.startswith("pop_vlan"):
            assert "dl_vlan=0" in flow.key.match
