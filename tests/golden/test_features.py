"""Golden files: the flows of small plans, each with one feature of plans, on one host.

What these flows do to packets is tested elsewhere (`tests/functional/dataplane`). These files show
each change of a flow, and take milliseconds.
"""

from dataclasses import replace

import pytest

from portchain.core.function_kinds import find
from portchain.core.model import FunctionKind, HealthCheck
from portchain.dataplane.compile import (
    Compiled,
    UnsupportedPlanError,
    compile_bypass_guard,
    compile_chain,
    compile_frame_guard,
)
from portchain.dataplane.host_switch import Firewall, FlowLimits, LocalSwitch, PhysicalBridge
from portchain.dataplane.plan import (
    ChainPlan,
    GraphIngress,
    Hop,
    Path,
    Probe,
    Receiver,
    Segment,
    Source,
    Target,
)
from tests.golden.readable import check, readable
from tests.plans import (
    TUNNEL_IPS,
    after,
    chain,
    classifier,
    ident,
    mac,
    source,
    switch,
    tap,
    target,
)

PAIRS = ("a", "b", "far")
PORTS = ("vm", "other", *(f"{pair}-{side}" for pair in ("a", "b") for side in ("in", "out")))
IPV6 = classifier(
    ethertype="IPv6",
    protocol=None,
    source_ports=None,
    destination_ports=None,
    source_prefixes=("2001:db8::/64",),
    destination_prefixes=(),
)
UDP = classifier(protocol=17, source_ports=None, destination_ports=(67, 70))
NAMED = replace(UDP, source_port_known=True, source_prefixes=("10.0.0.0/24",))
ANY = replace(UDP, protocol=None, destination_ports=None)
A, B, FAR = (target(name, host) for name, host in (("a", "h1"), ("b", "h1"), ("far", "h2")))
BRIDGE = target("a", "h1", bridges=True)
VM = source("vm", "h1", "10.0.0.10", "2001:db8::10")
REMOTE = source("remote", "h2", "10.0.0.10")
VLAN, FLAT = Segment("physnet", 100), Segment("flatnet")
PROVIDER = {
    "tunnels": {},
    "physical": {"physnet": PhysicalBridge(31, 41), "flatnet": PhysicalBridge(32, 42)},
}


def probe(target: Target, *, name: str = "") -> Probe:
    """A check of a pair; with a name, of another pair with the same ports."""
    return Probe(
        pair_id=ident(name) if name else target.pair_id,
        host=target.host,
        ingress_port=target.ingress_port,
        ingress_mac=target.ingress_mac,
        egress_port=target.egress_port,
        check=HealthCheck.ICMP,
        source="10.0.0.1",
        destination="10.0.0.20",
    )


def with_last(plan: ChainPlan, *paths: Path) -> ChainPlan:
    return replace(plan, paths=(*plan.paths, *paths))


def in_graph(plan: ChainPlan, before: Source, *, branches: bool = False) -> ChainPlan:
    (path,) = plan.paths
    entry = GraphIngress(7, 2, senders=(before,), origins=(before,))
    return replace(plan, paths=(replace(path, sources=(), entries=(entry,), branches=branches),))


def checked(*targets: object, **changes: object) -> Hop:
    """A hop that says with which addresses its functions may return packets."""
    returned = ("10.0.0.10/32", "10.0.1.0/24", "2001:db8::/64")
    return Hop(1, targets, returned_sources=returned, **changes)  # type: ignore[arg-type]


TRANSLATED = replace(
    UDP, source_prefixes=("10.0.5.0/24",), destination_ports=(80, 80), source_port_known=False
)
RECEIVER = Receiver(("10.0.0.20/32",), (mac("vm2"), mac("virtual")), ("10.0.0.99/32",))
TO_PORT = replace(UDP, destination_prefixes=(), receiver=RECEIVER)
OFF_NETWORK = replace(target("a", "h1", encapsulation="mpls"), off_network=True)
ROUTER = replace(source("vm", "h1", "10.0.0.1"), forwarded=("10.0.0.20", "10.0.9.9"))
SAME_MAC = (mac("virtual"),)

PLANS = {
    "mpls-aware": chain(
        [target("a", "h1", encapsulation="mpls")], [B], classifiers=(UDP, IPV6), sources=(VM,)
    ),
    "mpls-aware-second": chain(
        [B], [target("a", "h1", encapsulation="mpls")], [FAR], classifiers=(UDP,), sources=(VM,)
    ),
    "nsh-aware-second": chain(
        [B], [target("a", "h1", encapsulation="nsh")], [FAR], classifiers=(UDP,), sources=(VM,)
    ),
    "tap-aware": chain(
        tap(target("a", "h1", encapsulation="mpls")), [B], classifiers=(UDP, IPV6), sources=(VM,)
    ),
    "nsh-aware": chain(
        [target("a", "h1", encapsulation="nsh")], [B], classifiers=(UDP, IPV6), sources=(VM,)
    ),
    "bridging": chain(
        [BRIDGE],
        classifiers=(NAMED, ANY),
        sources=(
            replace(VM, further_macs=SAME_MAC),
            replace(REMOTE, further_macs=(*SAME_MAC, mac("own"))),
            replace(source("other", "h1", number=1), sends_from_any_mac=True),
        ),
    ),
    "off-network-alone": chain([OFF_NETWORK], classifiers=(UDP,), sources=(VM,)),
    "off-network-behind-routers": chain([B, OFF_NETWORK], classifiers=(UDP,), sources=(VM,)),
    "bridging-behind-routers": chain(
        [target("b", "h1"), BRIDGE],
        classifiers=(UDP,),
        sources=(
            # Some have a further MAC address that is another port's, or that all of them have.
            replace(VM, further_macs=(mac("b-out"), mac("r1"), mac("own"), *SAME_MAC)),
            replace(source("r1", "h2"), further_macs=(mac("r2"), *SAME_MAC)),
            replace(source("r2", "h2", "10.0.0.12"), further_macs=(mac("r1"), *SAME_MAC)),
            source("other", "h1", "10.0.0.11"),
            replace(source("a-in"), host="h2"),  # plugged in here already
            source("unplugged"),
        ),
    ),
    "off-network-among-hosts": chain(
        [OFF_NETWORK],
        classifiers=(UDP,),
        sources=(source("r1", "h2", "10.0.0.11"), VM, source("r3", "h2", "10.0.0.13")),
    ),
    "off-network": chain(
        [OFF_NETWORK], classifiers=(UDP, ANY), sources=(VM, REMOTE, source("other", number=1))
    ),
    # All slots of a drained pair move, and with them TCP connections from before the change.
    "changed-group": after(
        chain([replace(A, weight=0), B], classifiers=(ANY, IPV6), sources=(VM,)), chain([A])
    ),
    "changed-group-later": after(
        chain([replace(A, weight=0), B], classifiers=(ANY,), sources=(VM,)),
        chain([A]),
        new_flows=False,
    ),
    "changed-group-by-fields": after(
        chain(
            Hop(1, (replace(A, weight=0), B), lb_fields=("ip_src",)),
            classifiers=(ANY,),
            sources=(VM,),
        ),
        chain([A]),
        new_flows=False,
    ),
    "named-sources": chain(
        [A],
        [B],
        classifiers=(NAMED, TO_PORT),
        sources=(
            VM,
            replace(source("other", "h1", "10.0.0.11", number=1), broadcasts=("10.0.0.255",)),
            replace(source("b-out"), host="h2"),  # moves to this host
        ),
    ),
    "named-source-without-address": chain([A], [B], classifiers=(NAMED,), sources=(source(),)),
    "two-named-sources": chain(
        [A],
        [B],
        classifiers=(NAMED, replace(NAMED, destination_ports=(90, 90))),
        sources=(VM, source("other", "h1", "10.0.0.11", number=1)),
    ),
    "destinations-at-the-end": chain([A], [tap(FAR).targets[0]], classifiers=(TO_PORT, IPV6)),
    "graph": in_graph(chain([A], [B], classifiers=(TO_PORT, IPV6)), source("other"), branches=True),
    "graph-after-another-host": in_graph(chain([BRIDGE], classifiers=(UDP,)), REMOTE),
    "translation": chain(
        checked(A, headers=(TRANSLATED,)), checked(B), classifiers=(NAMED,), sources=(VM,)
    ),
    "shared": chain(
        checked(A, headers=(TRANSLATED,), accepted_sources=(("10.0.5.0/24", "10.0.6.1/32"),)),
        checked(B, accepted_sources=((),)),
        classifiers=(replace(UDP, source_prefixes=("10.0.0.0/24",)),),
        sources=(VM,),
    ),
    "shared-without-sources": chain(
        Hop(1, (A,), headers=(TRANSLATED,), accepted_sources=(("10.0.5.0/24",),)),
        [B],
        classifiers=(UDP,),
        sources=(),
        entries=(GraphIngress(7, 2, senders=(VM,), origins=(VM,)),),
    ),
    "shared-to-a-port": chain(
        Hop(1, (A,), accepted_sources=(("10.0.0.10/32", "10.0.0.16/28"),)),
        [B],
        classifiers=(TO_PORT,),
        sources=(VM,),
    ),
    "shared-unchanged": chain(
        Hop(1, (A,), accepted_sources=(("10.0.0.10/32", "10.0.0.16/28"), ("2001:db8::10/128",))),
        [B],
        classifiers=(NAMED, IPV6),
        sources=(VM,),
    ),
    "checked": chain(
        checked(replace(A, return_macs=(mac("a-out"), *SAME_MAC))),
        checked(replace(target("b", "h1", bridges=True), return_macs=(mac("b-out"),))),
        classifiers=(ANY, IPV6),
        sources=(VM,),
    ),
    "checked-frames": chain(
        checked(
            target("a", "h1", bridges=True),
            target("b", "h1"),
            returned_macs=(mac("vm"), mac("virtual")),
        ),
        Hop(
            2,
            (target("f", "h1", encapsulation="nsh"),),
            returned_sources=("10.0.0.10/32",),
            returned_macs=(),
        ),
        tap(target("b", "h1")),
        classifiers=(ANY, IPV6),
        sources=(VM,),
    ),
    "checked-at-the-end": chain(
        checked(replace(A, return_macs=(mac("a-out"),))), classifiers=(ANY,), sources=(VM,)
    ),
    "checked-for-anything": chain(
        Hop(1, (A,), returned_sources=("0.0.0.0/0", "::/0")),
        Hop(2, (B,), returned_sources=()),
        classifiers=(ANY, IPV6),
        sources=(VM,),
    ),
    "replies": with_last(
        chain([A], classifiers=(UDP,), sources=(VM,)),
        Path(
            (replace(UDP, source_prefixes=("10.0.0.0/24",)),),
            (ROUTER,),
            (Hop(1, (A,)),),
            reverse=True,
        ),
    ),
    "health-checks": replace(
        chain([A, B]),
        probes=(
            probe(A),
            replace(probe(B), source="2001:db8::1", destination="2001:db8::20"),
            replace(probe(FAR), host="h2"),
            replace(probe(A, name="bridge"), function=BRIDGE.function),
            replace(probe(A, name="frames"), check=HealthCheck.L2),
            replace(probe(A, name="mpls"), function=find(FunctionKind.L3, "mpls")),
            replace(probe(A, name="nsh"), function=find(FunctionKind.L3, "nsh")),
            replace(probe(B, name="address"), check=HealthCheck.PING),
        ),
    ),
    "taps": chain(
        tap(A), tap(FAR), [B], tap(target("a", "h1", weight=0)), classifiers=(UDP,), sources=(VM,)
    ),
    "only-taps": chain(
        tap(target("a", "h1", bridges=True)), classifiers=(UDP, IPV6), sources=(VM,)
    ),
    "weights-and-fields": chain(
        Hop(1, (A, replace(B, weight=0), FAR), lb_fields=("ip_src", "tcp_dst")),
        classifiers=(classifier(), IPV6, UDP),
        sources=(VM,),
    ),
    "to-groups": chain(
        [A],
        classifiers=(IPV6, replace(ANY, destination_prefixes=("10.0.0.0/8", "0.0.0.0/0"))),
        sources=(VM, replace(source("other", number=1), broadcasts=("10.0.0.255",))),
    ),
    "no-function": chain(Hop(1, ()), classifiers=(UDP,), sources=(VM,)),
    "wide-ranges": chain(
        [A],
        [B],
        classifiers=(replace(NAMED, source_ports=(1, 14), destination_ports=(5, 6)),),
        sources=(VM, source("other", "h1", "10.0.0.11")),
    ),
    "older-server": replace(chain([FAR], [B], sources=(VM,)), generation=None, owner="1f"),
}


def local(**changes: object) -> LocalSwitch:
    return replace(switch("h1", *PORTS), **changes)  # type: ignore[arg-type]


def text_of(compiled: Compiled) -> str:
    parts = {
        name: readable(getattr(compiled, name), PORTS, PAIRS)
        for name in ("classification", "delivery", "forwarding", "affinity")
    }
    parts["no_flood"] = "".join(f"{one}\n" for one in sorted(map(str, compiled.no_flood)))
    parts["missing"] = "".join(f"{one}\n" for one in compiled.missing)
    return "".join(f"[{name}]\n{text}" for name, text in parts.items() if text)


@pytest.mark.parametrize("name", PLANS)
def test_feature(name: str) -> None:
    plan = replace(PLANS[name], owner="1f")
    check(f"feature-{name}", text_of(compile_chain(plan, local())))


@pytest.mark.parametrize("name", ["bridging", "mpls-aware", "nsh-aware", "checked", "taps"])
def test_rate_limits(name: str) -> None:
    """Functions receive and return packets within the limits of their ports."""
    compiled = compile_chain(PLANS[name], local(has_rate_limits=True))
    check(f"rate-limits-{name}", text_of(compiled))


def test_slots_are_written_as_the_switch_writes_them() -> None:
    words = {word for flow in compile_frame_guard(local()) for word in flow.key.match}
    assert {"reg11=0", "reg11=0x1"} <= words
    assert "reg11=0x0" not in words


@pytest.mark.parametrize("name", ["graph", "named-sources", "replies", "wide-ranges", "checked"])
@pytest.mark.parametrize("most", [0, 1])
def test_guard(name: str, most: int) -> None:
    """Of a chain that the host cannot realise, or that needs too many flows."""
    compiled = compile_bypass_guard(PLANS[name], local(limits=FlowLimits(chain=most)))
    check(f"guard-{name}{'-coarse' if most else ''}", text_of(compiled))


NEAR = replace(target("a", "h1", bridges=True), ingress_segment=VLAN, egress_segment=FLAT)
AFAR = replace(target("far", "h2"), ingress_segment=FLAT, egress_segment=VLAN)
ON_PROVIDER = {
    "": ([AFAR], [NEAR], [replace(AFAR, pair_id=ident("third"))], [NEAR]),
    # Frames return to their source.
    "-origin": ([NEAR],),
}


@pytest.mark.parametrize("host", ["h1", "h2"])
@pytest.mark.parametrize("kind", ON_PROVIDER)
def test_provider_networks(host: str, kind: str) -> None:
    """Tunnels are missing: frames use the networks of the ports that they are for."""
    ends = (replace(VM, segment=VLAN), replace(REMOTE, segment=FLAT))
    plan = chain(*ON_PROVIDER[kind], sources=ends, classifiers=(UDP,))
    ports = PORTS if host == "h1" else ("remote", "far-in", "far-out")
    made = replace(switch(host, *ports), **PROVIDER)  # type: ignore[arg-type]
    check(f"provider-{host}{kind}", text_of(compile_chain(plan, made)))


def test_a_host_that_lacks_something() -> None:
    """Ports, tunnels, or the bridge of a network."""
    far = replace(FAR, ingress_segment=VLAN)
    nowhere = replace(target("nowhere", "h3"), tunnel_ip="")
    near = replace(BRIDGE, ingress_segment=VLAN)
    plan = chain([A, far, nowhere], [near], tap(B), sources=(VM, REMOTE))
    bare = replace(switch("h1", "vm"), tunnels={}, patch_to_tun=None, patch_to_int=None)
    for name, made in {
        "all": bare,
        "patch-to-int": local(patch_to_int=None),
        "patch-to-tun": local(patch_to_tun=None),
        "egress": switch("h1", "vm", "other", "a-in", "b-in"),
    }.items():
        guard = readable(compile_frame_guard(made), PORTS)
        text = text_of(compile_chain(plan, made))
        check(f"missing-{name}", f"{text}[frame guard]\n{guard}")


def test_functions_that_this_agent_does_not_know() -> None:
    unknown = replace(A, function=find(FunctionKind.L2, "mpls"))
    with pytest.raises(UnsupportedPlanError, match="kind l2 with correlation mpls"):
        compile_chain(chain([unknown], sources=(VM,)), local())


def test_nsh_has_a_time_to_live_for_63_hops() -> None:
    hops = [Hop(number, (target("a", "h1", encapsulation="nsh"),)) for number in range(1, 65)]
    assert "set_field:1->nsh_ttl" in text_of(compile_chain(chain(*hops[:63], sources=()), local()))
    with pytest.raises(UnsupportedPlanError, match="NSH TTL"):
        compile_chain(chain(*hops, sources=()), local())


@pytest.mark.parametrize("name", ["mpls-aware", "only-taps", "checked-at-the-end"])
def test_without_firewall(name: str) -> None:
    made = local(firewall=Firewall.ELSEWHERE)
    check(f"without-firewall-{name}", text_of(compile_chain(PLANS[name], made)))


def test_the_other_host_returns_frames_to_their_origin() -> None:
    """The last function bridges, so frames continue from the port that sent them."""
    far = replace(target("far", "h2", bridges=True), tunnel_ip=TUNNEL_IPS["h2"])
    sources = (
        replace(VM, further_macs=SAME_MAC),
        replace(source("other"), further_macs=SAME_MAC),
        REMOTE,
    )
    plan = chain([far], classifiers=(UDP,), sources=sources)
    check("origin-here", text_of(compile_chain(plan, local())))
    there = switch("h2", "remote", "far-in", "far-out")
    check("origin-elsewhere", text_of(compile_chain(plan, there)))
