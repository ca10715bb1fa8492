"""Names, addresses, configuration files and routing commands of a lab."""

import json
from typing import Any

import pytest
from portchain_lab import programs
from portchain_lab.cloud import configs
from portchain_lab.errors import LabError
from portchain_lab.guests import kinds, routing
from portchain_lab.guests.vif import Nic
from portchain_lab.layout import Layout, Software, tap_name, vm_part

SOFTWARE = Software("/opt/x/bin", ("port_chain",), ("port_chain",))


def nic(device: str, address: str, gateway: str = "") -> Nic:
    return Nic(device, "id", "name", "net", "fa:16:3e:00:00:01", (address,), gateway, 1500)


@pytest.mark.parametrize("name", ["", "UPPER", "a-b", "elevenchars", "a/b"])
def test_names_that_do_not_fit_into_interface_names_are_rejected(name: str) -> None:
    with pytest.raises(LabError, match="lab name"):
        Layout(name, software=SOFTWARE)


def test_no_namespace_belongs_to_two_labs() -> None:
    one, other = Layout("a", software=SOFTWARE), Layout("ab", software=SOFTWARE)
    spaces = [
        other.controller_namespace,
        other.fabric_namespace,
        *map(other.namespace, other.host_names),
    ]
    assert not any(space.startswith(one.prefix) for space in spaces)


def test_hosts_have_addresses_of_their_own() -> None:
    lab = Layout("a", hosts=50, software=SOFTWARE)
    assert len({lab.tunnel_ip(host) for host in lab.host_names}) == 50
    assert len({lab.management_ip(host) for host in lab.host_names}) == 50


def test_a_tap_device_is_named_as_nova_names_it() -> None:
    assert tap_name("03f08f24-698d-49ac-892d-1ed9986b22f1") == "tap03f08f24-69"


def test_unusual_vm_names_become_valid_namespace_names() -> None:
    assert vm_part("vm1") == "vm-vm1"
    assert "/" not in vm_part("a/b")
    assert vm_part("a/b") != vm_part("a:b")


def test_software_survives_json() -> None:
    as_json = {
        "bin": "/x",
        "service_plugins": ["a"],
        "agent_extensions": [],
        "neutron_options": "",
        "agent_options": "",
    }
    assert Software.from_json(as_json) == Software("/x", ("a",))


def test_plain_neutron_is_configured_without_port_chains() -> None:
    lab = Layout("a", software=Software("/x"))
    assert "service_plugins = \n" in configs.neutron(lab)
    assert "port_chain" not in configs.agent(lab, "h1")


@pytest.mark.parametrize("prometheus", [False, True])
@pytest.mark.parametrize("driver", ["ovs", "openflow"])
def test_programs_serve_figures_where_prometheus_reads_them(driver: str, prometheus: bool) -> None:
    lab = Layout("a", software=SOFTWARE, driver=driver, prometheus=prometheus)
    assert ("prometheus" in programs.names(lab)) == prometheus
    hosts = [configs.agent(lab, host) for host in lab.host_names]
    texts = [configs.neutron(lab), *(hosts if driver == "ovs" else [configs.controller(lab)])]
    jobs = json.loads(configs.prometheus(lab))["scrape_configs"]
    targets = {target for job in jobs for target in job["static_configs"][0]["targets"]}
    served = {
        line.partition(" = ")[2]
        for text in texts
        for line in text.splitlines()
        if line.startswith("prometheus_listen_addresses")
    }
    assert served == (targets if prometheus else set())


def test_the_agent_is_configured_with_its_host_and_tunnel_endpoint() -> None:
    text = configs.agent(Layout("a", software=SOFTWARE), "h2")
    assert "host = h2\n" in text
    assert "local_ip = 10.102.0.12\n" in text
    assert "extensions = port_chain\n" in text


def test_a_plain_vm_needs_no_policy_routing() -> None:
    assert routing.policy_routing([nic("eth0", "10.0.0.5/24")], kinds.PLAIN) == []


def test_a_vm_has_a_default_route_unless_it_is_the_gateway() -> None:
    gateway = "10.0.0.1"
    assert routing.default_route([nic("eth0", "10.0.0.5/24", gateway)]) == [
        "route replace default via 10.0.0.1 dev eth0"
    ]
    assert routing.default_route([nic("eth0", "10.0.0.1/24", gateway)]) == []
    assert routing.default_route([nic("eth0", "10.0.0.5/24")]) == []


def test_a_routing_function_sends_what_one_interface_receives_out_of_the_other() -> None:
    nics = [nic("eth0", "10.0.0.5/24", "10.0.0.1"), nic("eth1", "10.0.0.6/24", "10.0.0.1")]
    lines = routing.policy_routing(nics, kinds.L3)
    assert "rule add iif eth0 lookup 200 prio 200" in lines
    assert "route replace 10.0.0.0/24 dev eth1 table 200" in lines
    assert "rule add iif eth1 lookup 201 prio 201" in lines
    assert "route replace 10.0.0.0/24 dev eth0 table 201" in lines
    assert "rule add from 10.0.0.6 lookup 101 prio 101" in lines


def test_a_routing_function_with_one_interface_sends_packets_back_out_of_it() -> None:
    lines = routing.policy_routing([nic("eth0", "10.0.0.5/24")], kinds.L3)
    assert "route replace 10.0.0.0/24 dev eth0 table 200" in lines
    assert not any("from" in line for line in lines)


def test_ipv6_addresses_get_ipv6_routes() -> None:
    lines = routing.policy_routing([nic("eth0", "2001:db8::5/64", "10.0.0.1")], kinds.L3)
    assert "-6 route replace 2001:db8::/64 dev eth0 table 200" in lines
    assert not any("default" in line for line in lines)


@pytest.mark.parametrize(
    ("chosen", "mtu", "tunnels"),
    [
        ({}, 1550, "vxlan"),
        ({"network_type": "gre"}, 1542, "gre"),
        ({"network_type": "vlan"}, 1500, ""),
        ({"ipv6_underlay": True, "l2_population": True}, 1570, "vxlan"),
    ],
)
def test_project_networks_have_an_mtu_of_1500_over_every_transport(
    chosen: dict[str, Any], mtu: int, tunnels: str
) -> None:
    lab = Layout("a", software=SOFTWARE, **chosen)
    assert f"global_physnet_mtu = {mtu}\n" in configs.neutron(lab)
    assert "underlay_mtu = 9000\n" in configs.neutron(lab)
    agent = configs.agent(lab, "h1")
    assert f"tunnel_types = {tunnels}\n" in agent
    assert f"local_ip = {'fd00:102::b' if lab.ipv6_underlay else '10.102.0.11'}\n" in agent
    assert ("bridge_mappings = physnet1:br-phy\n" in agent) is (tunnels == "")
    assert ("l2population" in configs.ml2(lab)) is lab.l2_population


@pytest.mark.parametrize("qos", [False, True])
def test_qos_is_loaded_everywhere_or_nowhere(qos: bool) -> None:
    lab = Layout("a", software=SOFTWARE, qos=qos)
    more = ",qos" if qos else ""
    assert f"service_plugins = port_chain{more}\n" in configs.neutron(lab)
    assert f"extension_drivers = port_security{more}\n" in configs.ml2(lab)
    assert f"\nextensions = port_chain{more}\n" in configs.agent(lab, "h1")


@pytest.mark.parametrize(
    "chosen", [{"network_type": "ipx"}, {"network_type": "flat", "ipv6_underlay": True}]
)
def test_impossible_network_types_are_rejected(chosen: dict[str, Any]) -> None:
    with pytest.raises(LabError, match="network"):
        Layout("a", software=SOFTWARE, **chosen)
