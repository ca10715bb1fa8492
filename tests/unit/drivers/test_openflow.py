"""How the drivers ovs and openflow divide the hosts."""

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
    """A controller programs h1 and h2."""
    conf.register_server_opts(cfg.CONF)
    hosts = {"h1": "192.0.2.1", "h2": "192.0.2.2"}
    cfg.CONF.set_override("openflow_hosts", hosts, conf.GROUP)
    yield
    cfg.CONF.clear_override("openflow_hosts", conf.GROUP)


def on(*hosts: str, mechanism: str = "openvswitch") -> ChainSnapshot:
    """A chain whose ports alternate between these hosts."""
    given: Any = snapshot()
    ports = {
        name: replace(port, host=hosts[index % len(hosts)], mechanism=mechanism)
        for index, (name, port) in enumerate(given.ports.items())
    }
    return replace(given, ports=ports)


BOTH = manager.load(["ovs", "openflow"])


def test_the_driver_of_the_hosts_owns_a_chain() -> None:
    assert owner_of(on("h1", "h2"), BOTH) == "openflow"
    assert owner_of(on("h3", "h4"), BOTH) == "ovs"


def test_a_port_of_unknown_mechanism_is_claimed_by_its_host() -> None:
    assert owner_of(on("h1", mechanism=""), BOTH) == "openflow"
    assert owner_of(on("h3", mechanism=""), BOTH) == "ovs"


def test_a_chain_over_hosts_of_both_kinds_is_rejected() -> None:
    with pytest.raises(Violation, match="one driver must realise the whole chain"):
        owner_of(on("h1", "h3"), BOTH)


def test_hosts_of_ovn_are_not_claimed() -> None:
    with pytest.raises(Violation, match="mechanism driver ovn"):
        owner_of(on("h1", mechanism="ovn"), BOTH)


def test_without_openflow_hosts_the_driver_ovs_claims_all_hosts() -> None:
    cfg.CONF.set_override("openflow_hosts", {}, conf.GROUP)
    assert owner_of(on("h1", "h3"), BOTH) == "ovs"


def test_openflow_has_the_capabilities_of_ovs() -> None:
    assert BOTH["openflow"].capabilities == BOTH["ovs"].capabilities
