"""Golden files: all flows of the specification's workflow, with names instead of numbers.

A change of the compiler shows up as a change of the files. If the change is intended, generate the
files again with ``GOLDEN_UPDATE=1 python -m pytest tests/golden``.
"""

from dataclasses import replace

import pytest

from portchain.dataplane.compile import compile_chain, compile_frame_guard
from portchain.dataplane.host_switch import Firewall
from tests.golden.readable import check, readable
from tests.plans import TUNNEL_IPS, chain, ovn_switch, switch, target

PAIRS = {"pp1": "h1", "pp2": "h2", "pp3": "h3"}
PORTS = {
    host: [
        *(["vm"] if host == "h1" else []),
        *(f"{p}-{s}" for p, at in PAIRS.items() if at == host for s in ("in", "out")),
    ]
    for host in TUNNEL_IPS
}


def specification():
    """The chain of the specification: PG1 = {PP1, PP2}, PG2 = {PP3}, and FC1."""
    return chain([target("pp1", "h1"), target("pp2", "h2")], [target("pp3", "h3")])


@pytest.mark.parametrize("firewall", list(Firewall))
@pytest.mark.parametrize("host", list(PORTS))
def test_specification_workflow(host, firewall):
    local = switch(host, *PORTS[host], firewall=firewall)
    compiled = compile_chain(specification(), local)
    assert compiled.missing == ()
    text = readable(compiled.flows | compile_frame_guard(local), PORTS[host], PAIRS)
    check(f"specification-{firewall}-{host}", text)


@pytest.mark.parametrize("host", list(PORTS))
def test_specification_workflow_on_ovn(host):
    local = ovn_switch(host, *PORTS[host])
    compiled = compile_chain(specification(), local)
    assert compiled.missing == ()
    text = readable(compiled.flows | compile_frame_guard(local), PORTS[host], PAIRS)
    check(f"specification-ovn-{host}", text)


@pytest.mark.parametrize("host", list(PORTS))
def test_specification_workflow_with_hosts_that_do_not_know_packets(host):
    """Hosts of an earlier release send and get whole frames; one before contract 1.9, too."""
    local = switch(host, *PORTS[host])
    for name, changes in (("frames", {}), ("1.8", {"generation": None})):
        compiled = compile_chain(replace(specification(), packet_hosts=(), **changes), local)
        text = readable(compiled.transit, PORTS[host], PAIRS)
        check(f"specification-{name}-{host}", text)
