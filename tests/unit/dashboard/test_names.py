"""What pages call ports, machines and packets."""

from typing import Any

from portchain_dashboard import names

from tests.plans import ident


def port(name: str, device: str, **more: Any) -> dict[str, Any]:
    addresses = [{"ip_address": "10.0.0.1"}]
    return {"id": ident(name), "name": name, "device_id": device, "fixed_ips": addresses, **more}


def test_what_has_no_name_is_called_by_its_id() -> None:
    assert names.name_of({"id": ident("x"), "name": ""}) == ident("x")[:8]


def test_a_machine_can_be_entered_and_left_at_each_of_its_ports() -> None:
    one, other = port("p1", "vm"), port("p2", "vm")
    assert names.machine_choices([other, one]) == [
        (f"{one['id']}:{other['id']}", "p1 (10.0.0.1) in, p2 (10.0.0.1) out"),
        (f"{one['id']}:{one['id']}", "p1 (10.0.0.1): in and out"),
        (f"{other['id']}:{one['id']}", "p2 (10.0.0.1) in, p1 (10.0.0.1) out"),
        (f"{other['id']}:{other['id']}", "p2 (10.0.0.1): in and out"),
    ]


def test_no_way_leads_through_two_machines_or_through_neutrons_own_ports() -> None:
    ports = [
        port("p1", "vm1"),
        port("p2", "vm2"),
        port("free", ""),
        port("router", "r", device_owner="network:router_interface"),
    ]
    assert [value for value, _label in names.machine_choices(ports)] == [
        f"{ident(name)}:{ident(name)}" for name in ("p1", "p2")
    ]


def test_a_classifier_is_described_by_its_packets() -> None:
    assert names.header_of({"ethertype": "IPv6"}) == "IPv6 any → any"
    shown = {
        "protocol": "tcp",
        "source_ip_prefix": "10.0.0.0/24",
        "destination_port_range_min": 80,
        "destination_port_range_max": 81,
    }
    assert names.header_of(shown) == "tcp 10.0.0.0/24 → any:80-81"


def test_reasons_are_objects_or_text() -> None:
    assert names.reason_of({"operating_status_reason": {"code": "X", "text": "why"}}) == "why"
    assert names.reason_of({"operating_status_reason": "why"}) == "why"
    assert names.reason_of({}) == ""
