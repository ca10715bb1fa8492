"""The program ``neutron``: the requests that it sends, its output and its errors."""

import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from portchain.cli import neutron
from portchain.cli.client import Client, ClientError
from portchain.cli.kinds import KINDS, PORT_PAIR

SPECIFICATION = {
    "port-create --name p1 net1": {"network_id": "id-of-net1", "name": "p1"},
    # The prefixes of the published text have lost their values.
    "flow-classifier-create --ethertype IPv4 --source-ip-prefix --destination-ip-prefix "
    "--protocol tcp --source-port 23:23 --destination-port 100:100 FC1": {
        "name": "FC1",
        "ethertype": "IPv4",
        "protocol": "tcp",
        "source_port_range_min": 23,
        "source_port_range_max": 23,
        "destination_port_range_min": 100,
        "destination_port_range_max": 100,
    },
    "port-pair-create --ingress=p1 --egress=p2 PP1": {
        "name": "PP1",
        "ingress": "id-of-p1",
        "egress": "id-of-p2",
    },
    "port-pair-group-create --port-pair PP1 --port-pair PP2 PG1": {
        "name": "PG1",
        "port_pairs": ["id-of-PP1", "id-of-PP2"],
    },
    "port-chain-create --port-pair-group PG1 --port-pair-group PG2 --flow-classifier FC1 PC1": {
        "name": "PC1",
        "port_pair_groups": ["id-of-PG1", "id-of-PG2"],
        "flow_classifiers": ["id-of-FC1"],
    },
}
OTHERS = {
    "flow-classifier-create --source-ip-prefix 10.0.0.0/24 --source-port 5 "
    "--logical-source-port p1 FC": {
        "name": "FC",
        "source_ip_prefix": "10.0.0.0/24",
        "source_port_range_min": 5,
        "source_port_range_max": 5,
        "logical_source_port": "id-of-p1",
    },
    "port-pair-create --ingress p1 --egress p1 --function-kind l2 "
    "--service-function-parameters correlation=None,weight=3 PP": {
        "name": "PP",
        "ingress": "id-of-p1",
        "egress": "id-of-p1",
        "function_kind": "l2",
        "service_function_parameters": {"correlation": None, "weight": 3},
    },
    "port-pair-group-create --enable-tap --port-pair-group-parameters lb-fields=ip_src&ip_dst PG": {
        "name": "PG",
        "tap_enabled": True,
        "port_pair_group_parameters": {"lb_fields": ["ip_src", "ip_dst"]},
    },
    "port-pair-group-create --health-check icmp --failure-mode open PG": {
        "name": "PG",
        "health_check": "icmp",
        "failure_mode": "open",
    },
    "port-pair-group-update --failure-mode closed PG": {"failure_mode": "closed"},
    "port-pair-group-create --health-check icmp --min-healthy 1 --on-failure keep "
    "--health-check-parameters delay=0.2,max_retries_down=3,destination=none PG": {
        "name": "PG",
        "health_check": "icmp",
        "health_check_parameters": {"delay": 0.2, "max_retries_down": 3, "destination": None},
        "min_healthy": 1,
        "on_failure": "keep",
    },
    "port-pair-update --disable --backup PP": {"admin_state_up": False, "backup": True},
    "port-pair-update --enable --no-backup PP": {"admin_state_up": True, "backup": False},
    "port-chain-create --port-pair-group PG PC --chain-id 7 "
    "--chain-parameters symmetric=true,correlation=mpls": {
        "chain_id": 7,
        "name": "PC",
        "port_pair_groups": ["id-of-PG"],
        "chain_parameters": {"symmetric": True, "correlation": "mpls"},
    },
    "port-pair-group-create PG --port-pair-group-parameters "
    "'ppg_n_tuple_mapping=source_ip_prefix_ingress=10.0.0.0/24&source_port_range_min_egress=5'": {
        "name": "PG",
        "port_pair_group_parameters": {
            "ppg_n_tuple_mapping": {
                "ingress_n_tuple": {"source_ip_prefix": "10.0.0.0/24"},
                "egress_n_tuple": {"source_port_range_min": 5},
            }
        },
    },
    "port-chain-update --flow-classifier FC2 --flow-classifier FC3 --name new PC": {
        "name": "new",
        "flow_classifiers": ["id-of-FC2", "id-of-FC3"],
    },
    "port-chain-update PC --no-flow-classifier": {"flow_classifiers": []},
    "port-pair-update PP --description text": {"description": "text"},
}
PORTS = {
    "port-update --no-security-groups --port-security-enabled=False p1": {
        "security_groups": [],
        "port_security_enabled": False,
    },
    "port-update p1 --no-security-groups --port_security_enabled False": {
        "security_groups": [],
        "port_security_enabled": False,
    },
    "port-update p1 --security-group sg1 --security-group sg2 --admin-state-up true": {
        "security_groups": ["id-of-sg1", "id-of-sg2"],
        "admin_state_up": True,
    },
    "port-update p1 --allowed-address-pair ip_address=10.0.0.0/24 "
    "--allowed-address-pair ip_address=10.1.0.1,mac_address=fa:16:3e:00:00:01": {
        "allowed_address_pairs": [
            {"ip_address": "10.0.0.0/24"},
            {"ip_address": "10.1.0.1", "mac_address": "fa:16:3e:00:00:01"},
        ]
    },
    "port-update --no-allowed-address-pairs p1": {"allowed_address_pairs": []},
    "port-update p1 --device_id vm1 --device-owner compute:nova --binding:host_id=h1": {
        "device_id": "vm1",
        "device_owner": "compute:nova",
        "binding:host_id": "h1",
    },
    "port-update p1 --fixed-ip subnet_id=s1,ip_address=10.0.0.5": {
        "fixed_ips": [{"subnet_id": "id-of-s1", "ip_address": "10.0.0.5"}]
    },
    "port-create net1 --name p1 --fixed-ip ip_address=10.0.0.5 --fixed-ip subnet_id=s2 "
    "--mac-address fa:16:3e:00:00:02 --admin-state-down --no-security-groups "
    "--port-security-enabled=False": {
        "network_id": "id-of-net1",
        "name": "p1",
        "fixed_ips": [{"ip_address": "10.0.0.5"}, {"subnet_id": "id-of-s2"}],
        "mac_address": "fa:16:3e:00:00:02",
        "admin_state_up": False,
        "security_groups": [],
        "port_security_enabled": False,
    },
    "port-create --tenant-id t1 --vnic-type normal net1 -- --binding:host_id=h1": {
        "network_id": "id-of-net1",
        "project_id": "t1",
        "binding:vnic_type": "normal",
        "binding:host_id": "h1",
    },
    "port-create --extra-dhcp-opt opt_name=mtu,opt_value=1400 --dns-name web net1": {
        "network_id": "id-of-net1",
        "extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400"}],
        "dns_name": "web",
    },
}
"""Commands about ports in scripts from the years of the original program."""


class Recording(Client):
    """Finds any name, and records requests instead of sending them."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def find(self, kind: str, name_or_id: str) -> str:
        return f"id-of-{name_or_id}"

    def _send(self, method: str, path: str, **request: Any) -> Any:
        (body,) = request["json"].values()
        self.sent.append(body)
        return {next(iter(request["json"])): {"id": "1", **body}}


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Runs a command line; ``sent`` has the bodies of its requests."""
    monkeypatch.setattr(neutron.NeutronShell, "client", recording := Recording())

    def run(line: str) -> int:
        run.sent = recording.sent  # type: ignore[attr-defined]
        return neutron.main(shlex.split(line))

    return run


@pytest.mark.parametrize(
    ("line", "body"), [*SPECIFICATION.items(), *OTHERS.items(), *PORTS.items()]
)
def test_command_lines_become_request_bodies(shell: Any, line: str, body: dict[str, Any]) -> None:
    assert shell(line) == 0
    assert shell.sent == [body]


def test_output_formats(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell("port-pair-group-create --port-pair PP1 PG1 -f json")
    assert json.loads(capsys.readouterr().out)["port_pairs"] == ["id-of-PP1"]
    shell("port-pair-group-create --port-pair PP1 --port-pair PP2 PG1 -f value -c port_pairs")
    assert "id-of-PP2" in capsys.readouterr().out


def test_lists_of_ports_select_and_show_fields(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    class Answering(Client):
        def __init__(self) -> None:
            pass

        def _send(self, method: str, path: str, **request: Any) -> Any:
            asked.append(request["params"])
            return {"ports": [{"id": "1", "name": "p1"}]}

    monkeypatch.setattr(neutron.NeutronShell, "client", Answering())
    assert neutron.main(shlex.split("port-list --device_id vm1 -F id -f value")) == 0
    assert asked == [{"device_id": "vm1"}]
    assert capsys.readouterr().out == "1\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("flow-classifier-create --source-port a:b FC", "--source-port"),
        ("port-pair-create --ingress p1 PP", "--egress"),
        ("port-pair-create --ingress p1 --egress p2 --function-kind l4 PP", "--function-kind"),
        (
            "port-pair-create --ingress p1 --egress p2 --service-function-parameters weight=x PP",
            "weight",
        ),
        ("port-chain-create --port-pair-group PG --chain-parameters tunnel=mpls PC", "tunnel=mpls"),
        ("port-chain-create --port-pair-group PG --chain-parameters symmetric=2 PC", "symmetric"),
        ("port-chain-create PC", "--port-pair-group"),
        (
            "port-pair-group-create PG --port-pair-group-parameters ppg_n_tuple_mapping=a_side=1",
            "<field>_ingress=<value>",
        ),
    ],
)
def test_errors_name_the_wrong_option(
    shell: Any, capsys: pytest.CaptureFixture[str], line: str, says: str
) -> None:
    with pytest.raises(SystemExit):
        shell(line)
    assert says in capsys.readouterr().err
    assert shell.sent == []


def test_an_update_without_options_is_refused(
    shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell("port-chain-update PC") != 0
    assert "nothing to update" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [kind.command for kind in KINDS.values()])
@pytest.mark.parametrize("verb", ["create", "list", "show", "update", "delete"])
def test_every_command_has_help(
    shell: Any, capsys: pytest.CaptureFixture[str], kind: str, verb: str
) -> None:
    assert shell(f"{kind}-{verb} --help") == 0
    assert f"usage: neutron {kind}-{verb}" in capsys.readouterr().out


def test_errors_name_missing_credentials(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OS_CLOUD", raising=False)
    monkeypatch.delenv("OS_AUTH_URL", raising=False)
    assert neutron.main(["port-chain-list"]) != 0
    assert "OS_CLOUD or OS_AUTH_URL" in capsys.readouterr().err


class Pages(Client):
    """A server with three pairs, two of them with one name, and one pair a page."""

    def __init__(self) -> None:
        self.pairs = [{"id": str(n), "name": name} for n, name in enumerate(("a", "b", "b"))]

    def _send(self, method: str, path: str, **request: Any) -> Any:
        number = int(path.partition("page=")[2] or 0)
        query = request.get("params", {})
        found = [one for one in self.pairs if query.items() <= one.items()]
        more = number + 1 < len(found) and not query
        links = [{"rel": "next", "href": f"http://server?page={number + 1}"}] if more else []
        page = found if query else found[number : number + 1]
        return {"port_pairs": page, "port_pairs_links": links}


def test_lists_read_all_pages() -> None:
    assert [one["id"] for one in Pages().list(PORT_PAIR)] == ["0", "1", "2"]


def test_an_ambiguous_name_is_refused_with_the_ids() -> None:
    client = Pages()
    assert client.find("port_pair", "a") == "0"
    assert client.find("port_pair", "2") == "2"
    with pytest.raises(ClientError, match="one of 1, 2"):
        client.find("port_pair", "b")
    with pytest.raises(ClientError, match="no port pair with the name or id 'c'"):
        client.find("port_pair", "c")
