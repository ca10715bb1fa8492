"""Whose the hosts are that a controller programs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from oslo_config import cfg

from portchain import conf
from portchain.core.model import ChainSnapshot
from portchain.core.ownership import owner_of
from portchain.core.rules import Violation
from portchain.drivers import manager
from tests.unit.dataplane.planning.test_planner import snapshot


@pytest.fixture(autouse=True)
def central() -> Iterator[None]:
    """A controller has h1 and h2."""
    conf.register_server_opts(cfg.CONF)
    hosts = {"h1": "192.0.2.1", "h2": "192.0.2.2"}
    cfg.CONF.set_override("openflow_hosts", hosts, conf.GROUP)
    yield
    cfg.CONF.clear_override("openflow_hosts", conf.GROUP)


def on(*hosts: str, mechanism: str = "openvswitch") -> ChainSnapshot:
    """A chain whose ports are on these hosts, in turn."""
    made: Any = snapshot()
    ports = {
        name: replace(port, host=hosts[index % len(hosts)], mechanism=mechanism)
        for index, (name, port) in enumerate(made.ports.items())
    }
    return replace(made, ports=ports)


BOTH = manager.load(["ovs", "openflow"])


def test_a_chain_is_the_driver_s_whose_hosts_it_is_on() -> None:
    assert owner_of(on("h1", "h2"), BOTH) == "openflow"
    assert owner_of(on("h3", "h4"), BOTH) == "ovs"


def test_a_port_that_nobody_knows_more_of_than_its_host_is_claimed_once() -> None:
    assert owner_of(on("h1", mechanism=""), BOTH) == "openflow"
    assert owner_of(on("h3", mechanism=""), BOTH) == "ovs"


def test_a_chain_over_hosts_of_both_kinds_is_refused() -> None:
    with pytest.raises(Violation, match="one driver must realise the whole chain"):
        owner_of(on("h1", "h3"), BOTH)


def test_hosts_of_ovn_are_not_claimed() -> None:
    with pytest.raises(Violation, match="mechanism driver ovn"):
        owner_of(on("h1", mechanism="ovn"), BOTH)


def test_without_a_list_all_hosts_have_agents() -> None:
    cfg.CONF.set_override("openflow_hosts", {}, conf.GROUP)
    assert owner_of(on("h1", "h3"), BOTH) == "ovs"


def test_it_carries_what_the_agents_carry() -> None:
    assert BOTH["openflow"].capabilities == BOTH["ovs"].capabilities
