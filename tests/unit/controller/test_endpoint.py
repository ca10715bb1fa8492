"""Addresses of databases and bridges, from the controller's options."""

import socket
from collections.abc import Iterator

import pytest
from neutron.conf.plugins.ml2.drivers import ovs_conf
from oslo_config import cfg

from portchain import conf
from portchain.controller import endpoint, switch
from portchain.controller.options import register_controller_opts
from portchain.dataplane.flow import Bridge


@pytest.fixture(autouse=True)
def options() -> Iterator[cfg.ConfigOpts]:
    register_controller_opts(cfg.CONF)
    ovs_conf.register_ovs_agent_opts()
    hosts = {"h1": "192.0.2.1", "h2.example.org": "2001:db8::2"}
    cfg.CONF.set_override("openflow_hosts", hosts, conf.GROUP)
    yield cfg.CONF
    cfg.CONF.clear_override("openflow_hosts", conf.GROUP)


def test_each_host_has_a_database_and_a_port_for_each_bridge() -> None:
    endpoints = endpoint.configured_endpoints()
    assert endpoints["h1"].database == "tcp:192.0.2.1:6640"
    assert [endpoints["h1"].bridge(index) for index in (0, 1)] == [
        "tcp:192.0.2.1:6654",
        "tcp:192.0.2.1:6655",
    ]
    assert endpoints["h1"].listener(1) == "ptcp:6655:192.0.2.1"


def test_an_ipv6_address_is_in_brackets() -> None:
    remote = endpoint.configured_endpoints()["h2.example.org"]
    assert remote.bridge(0) == "tcp:[2001:db8::2]:6654"
    assert remote.listener(0) == "ptcp:6654:[2001:db8::2]"


def test_ipv6_addresses_can_be_configured() -> None:
    text = conf.OPENFLOW_HOSTS.type("a:2001:db8::2,b:192.0.2.1")
    assert text == {"a": "2001:db8::2", "b": "192.0.2.1"}


def test_with_tls_files_all_connections_use_ssl() -> None:
    remote = endpoint.Endpoint("192.0.2.1", 6640, 6654, 10, ("--private-key=k",))
    assert (remote.database, remote.bridge(0)) == ("ssl:192.0.2.1:6640", "ssl:192.0.2.1:6654")
    assert remote.listener(0) == "pssl:6654:192.0.2.1"


def test_a_key_without_its_certificate_is_refused(options: cfg.ConfigOpts) -> None:
    options.set_override("openflow_private_key", "/etc/key.pem", conf.GROUP)
    try:
        with pytest.raises(cfg.RequiredOptError, match="openflow_certificate"):
            endpoint.configured_endpoints()
    finally:
        options.clear_override("openflow_private_key", conf.GROUP)


def test_bridges_keep_their_ports_when_a_mapping_is_added(options: cfg.ConfigOpts) -> None:
    before = list(switch.configured_bridges().items())
    options.set_override("bridge_mappings", ["physnet1:br-ex", "physnet0:br-0"], "OVS")
    try:
        after = list(switch.configured_bridges().items())
    finally:
        options.clear_override("bridge_mappings", "OVS")
    assert before == [(Bridge.INT, "br-int"), (Bridge.TUN, "br-tun")]
    assert after == [
        *before,
        (Bridge.physical("physnet1"), "br-ex"),
        (Bridge.physical("physnet0"), "br-0"),
    ]


def test_a_host_is_there_if_its_database_accepts_a_connection() -> None:
    with socket.socket() as database:
        database.bind(("127.0.0.1", 0))
        reached = endpoint.Endpoint("127.0.0.1", database.getsockname()[1], 6654, 10)
        assert not reached.is_there()
        database.listen()
        assert reached.is_there()
