"""A host gets what it needs of a plan, and nothing else."""

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from portchain.core.model import HealthCheck
from portchain.dataplane.compile import compile_bypass_guard, compile_chain
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.plan import Hop, Probe
from portchain.dataplane.planning.visibility import HostViews
from tests.plans import HOSTS, chain, classifier, ident, mac, source, switch, tap, target

NAMES = ("a", "b", "c")
VMS = ("vm1", "vm2", "vm3", "vm4")


def plan_for_host(plan, host):
    return HostViews(plan).plan_for(host)


targets = st.builds(
    target,
    st.sampled_from(NAMES),
    st.sampled_from(HOSTS),
    bridges=st.booleans(),
)
aware = st.builds(
    target, st.sampled_from(NAMES), st.sampled_from(HOSTS), encapsulation=st.just("mpls")
)
hops = st.one_of(
    st.builds(
        lambda group, some: Hop(group, tuple(some)),
        st.integers(1, 9),
        st.lists(targets, max_size=3, unique_by=lambda one: one.pair_id),
    ),
    st.builds(lambda one: Hop(1, (one,)), aware),
    st.builds(tap, targets),
)
sources = st.builds(
    lambda name, host, address, number: source(name, host, f"10.0.0.{address}", number=number),
    st.sampled_from(VMS),
    st.sampled_from(HOSTS),
    st.integers(1, 254),
    st.integers(0, 1),
)


prefixes = st.lists(st.sampled_from(("10.0.0.0/30", "10.0.0.9/32", "fe80::1/128")), max_size=2)
macs = st.lists(st.sampled_from(("fa:16:3e:00:00:01", "fa:16:3e:00:00:02")), max_size=2)


def with_limits(hop):
    """Return hops that limit what functions may return, and of which sources they take packets."""
    return st.builds(
        lambda accepted, returned, known: replace(
            hop,
            accepted_sources=accepted if hop.targets and not hop.tap else (),
            returned_sources=returned,
            returned_macs=known,
        ),
        st.just(()) | st.just((("10.0.0.0/30",), ("10.0.0.9/32",))),
        st.none() | prefixes.map(tuple),
        st.none() | macs.map(tuple),
    )


@st.composite
def plans(draw):
    known = draw(st.booleans())
    headers = tuple(
        classifier(source_prefixes=("10.0.0.0/24",), source_ports=None, source_port_known=known,
                   destination_ports=(port, port))
        for port in (100, 200)
    )  # fmt: skip
    made = chain(
        *draw(st.lists(hops, min_size=1, max_size=4)),
        classifiers=headers,
        sources=tuple(draw(st.lists(sources, max_size=4))),
    )
    (path,) = made.paths
    path = replace(path, hops=tuple(draw(with_limits(hop)) for hop in path.hops))
    reverse = replace(
        path, reverse=True, sources=tuple(draw(st.lists(sources, max_size=3))),
        hops=tuple(draw(with_limits(hop)) for hop in reversed(path.hops)),
    )  # fmt: skip
    return replace(made, paths=(path, reverse) if draw(st.booleans()) else (path,))


@given(plans(), st.sampled_from(HOSTS), st.sampled_from(list(Firewall)))
def test_a_host_compiles_the_same_from_what_it_gets(plan, host, firewall):
    ports = [*VMS, *(f"{name}-{side}" for name in NAMES for side in ("in", "out"))]
    here = switch(host, *ports, firewall=firewall)
    given_to_host = plan_for_host(plan, host)
    assert compile_chain(given_to_host, here) == compile_chain(plan, here)
    assert compile_bypass_guard(given_to_host, here) == compile_bypass_guard(plan, here)


@given(plans(), st.sampled_from(HOSTS))
def test_a_host_learns_the_form_for_the_hosts_that_it_knows(plan, host):
    seen = plan_for_host(replace(plan, packet_hosts=HOSTS), host)
    assert set(seen.packet_hosts) == seen.hosts


def test_a_host_checks_its_own_functions_and_knows_the_limits_of_no_other():
    limited = [
        Hop(
            number,
            (target(name, host),),
            accepted_sources=(("10.0.0.10/32",),),
            returned_sources=("10.0.0.0/30",),
            returned_macs=(),
        )
        for number, (name, host) in enumerate((("a", "h1"), ("b", "h2")), 1)
    ]
    probes = tuple(
        Probe(
            *(ident(name), host, ident(f"{name}-in"), mac(f"{name}-in"), ident(f"{name}-out")),
            HealthCheck.ICMP,
        )
        for name, host in (("a", "h1"), ("b", "h2"))
    )
    seen = plan_for_host(replace(chain(*limited), probes=probes), "h1")
    assert seen.probes == probes[:1]
    here, elsewhere = seen.paths[0].hops
    assert here == limited[0]
    assert elsewhere == replace(
        limited[1], accepted_sources=((),), returned_sources=None, returned_macs=None
    )


@given(plans(), st.sampled_from(HOSTS), st.sampled_from(HOSTS))
def test_what_changes_elsewhere_changes_nothing_that_a_host_gets(plan, host, other):
    """The change concerns machines on another host, and what functions there may return."""
    assume(host != other)
    moved = [replace(path, sources=tuple(one for one in path.sources if one.host != other))
             for path in plan.paths]  # fmt: skip
    after = replace(plan, paths=tuple(map(without_limits, moved)))
    functions = {target.host for path in plan.paths for hop in path.hops for target in hop.targets}
    if host not in functions:
        assert plan_for_host(after, host) == plan_for_host(plan, host)


def without_limits(path):
    hops = (replace(hop, returned_sources=None, returned_macs=None) for hop in path.hops)
    return replace(path, hops=tuple(hops))


@given(plans(), st.sampled_from(HOSTS))
def test_a_host_without_functions_learns_of_no_other_source(plan, host):
    for path in plan_for_host(plan, host).paths:
        if not any(target.host == host for hop in path.hops for target in hop.targets):
            assert {source.host for source in path.sources} <= {host}
