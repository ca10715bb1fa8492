"""Every client that people use, against the running API.

These are ``openstack sfc``, ``neutron``, openstacksdk, and the requests of Heat and of Tacker.

No packets are sent: the ports belong to VMs that do not run, and the chains are DOWN.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import pytest
from neutronclient.common import exceptions as client_exceptions
from neutronclient.v2_0 import client as neutronclient
from openstack import exceptions as sdk_exceptions
from portchain_lab.cloud import clients
from portchain_lab.lab import Lab

PORTS = {f"p{n}": f"machine{(n + 1) // 2}" for n in range(1, 7)} | {"source": "machine4"}


@dataclass(frozen=True)
class Ports:
    """A network with ``p1`` to ``p6``, of three VMs, and ``source``.

    :param ids: of the network and the ports by their names.
    """

    ids: dict[str, str]


@pytest.fixture
def ports(lab: Lab) -> Iterator[Ports]:
    """Make the ports, and delete them with all chain resources afterwards."""
    cloud = lab.sdk("demo").network
    net = cloud.create_network(name="net1")
    cloud.create_subnet(
        network_id=net.id,
        ip_version=4,
        cidr="10.60.0.0/24",
        enable_dhcp=False,
        allocation_pools=[{"start": "10.60.0.10", "end": "10.60.0.199"}],
    )
    made = {
        name: cloud.create_port(network_id=net.id, name=name, device_id=vm)
        for name, vm in PORTS.items()
    }
    yield Ports({name: port.id for name, port in made.items()} | {"net1": net.id})
    for kind in ("service_graph", "port_chain", "port_pair_group", "port_pair", "flow_classifier"):
        for one in cloud.get(f"/sfc/{kind}s").json()[f"{kind}s"]:
            cloud.delete(f"/sfc/{kind}s/{one['id']}")
    for port in cloud.ports(network_id=net.id):
        cloud.delete_port(port)
    cloud.delete_network(net)


# Command lines


def run(
    lab: Lab, program: str, commands: Sequence[str], user: str = "demo"
) -> tuple[list[Any], str]:
    """Run commands in one process of a real client, which reads them as if they were typed.

    :returns: the JSON values that it printed, and what it said to standard error.
    """
    done = subprocess.run(
        clients.argv(lab.layout, program),
        env=clients.environment(lab.layout, user),
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    decoder, values = json.JSONDecoder(), []
    rest = "".join(line for line in done.stdout.splitlines(True) if not line.startswith(SAID))
    while rest := rest.lstrip():
        value, end = decoder.raw_decode(rest)
        values.append(value)
        rest = rest[end:]
    return values, done.stderr


SAID = ("Updated ", "Deleted ")
"""How lines begin that ``neutron`` prints besides."""
Steps = Sequence[tuple[str, Any]]
"""Commands, each with a part of its output (None if it prints nothing); names stand for ids."""


def play(lab: Lab, program: str, steps: Steps, names: Mapping[str, str]) -> None:
    """Run commands, and compare what they print."""
    lines = [f"{line} -f json" if expected is not None else line for line, expected in steps]
    printed, complaints = run(lab, program, lines)
    assert complaints.strip() == ""
    known = {an_id: name for name, an_id in names.items()}
    answers = iter(printed)
    for line, expected in steps:
        if expected is None:
            continue
        answer = next(answers)
        for one in answer if isinstance(answer, list) else [answer]:
            # The last name counts: some are given another.
            known[one.get("ID") or one["id"]] = one.get("Name") or one["name"]
        shown = named(answer, known)
        assert part_of(expected, shown), f"{line}: {shown}"
    assert list(answers) == []


def named(value: Any, known: Mapping[str, str]) -> Any:
    """Put names in the place of ids."""
    if isinstance(value, dict):
        return {named(key, known): named(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [named(item, known) for item in value]
    return known.get(value, value)


def part_of(expected: Any, value: Any) -> bool:
    """Whether a value is as expected; dicts may have more keys, lists may have another order."""
    if isinstance(expected, dict):
        return isinstance(value, dict) and all(
            key in value and part_of(item, value[key]) for key, item in expected.items()
        )
    if isinstance(expected, list):
        return len(expected) == len(value) and all(
            any(part_of(item, one) for one in value) for item in expected
        )
    return bool(expected == value)


OPENSTACK: Steps = [
    (
        "sfc flow classifier create FC1 --description first --ethertype IPv4 --protocol tcp "
        "--source-port 23:23 --destination-port 100:200 --source-ip-prefix 10.60.0.0/24 "
        "--destination-ip-prefix 10.60.0.9/32 --logical-source-port source",
        {
            "Name": "FC1",
            "Protocol": "tcp",
            "Source Port Range Min": 23,
            "Source Port Range Max": 23,
            "Destination Port Range Min": 100,
            "Destination Port Range Max": 200,
            "Source IP": "10.60.0.0/24",
            "Destination IP": "10.60.0.9/32",
            "Logical Source Port": "source",
            "Logical Destination Port": None,
            "L7 Parameters": {},
        },
    ),
    ("sfc flow classifier create FC2 --protocol udp --ethertype IPv6", {"Ethertype": "IPv6"}),
    ("sfc flow classifier list", [{"Name": "FC1"}, {"Name": "FC2"}]),
    (
        "sfc flow classifier list --long",
        [{"Destination IP": "10.60.0.9/32"}, {"Ethertype": "IPv6", "Protocol": "udp"}],
    ),
    ("sfc flow classifier set FC2 --name FC3 --description other", None),
    ("sfc flow classifier show FC3", {"Description": "other", "Protocol": "udp"}),
    (
        "sfc port pair create PP1 --ingress p1 --egress p2 --description first "
        "--service-function-parameters correlation=None,weight=2",
        {
            "Ingress Logical Port": "p1",
            "Egress Logical Port": "p2",
            "Service Function Parameters": {"correlation": None, "weight": 2},
        },
    ),
    (
        "sfc port pair create PP2 --ingress p3 --egress p4",
        {"Service Function Parameters": {"correlation": None, "weight": 1}, "Function Kind": "l3"},
    ),
    (
        "sfc port pair create PP3 --ingress p5 --egress p6 --function-kind l3",
        {"Function Kind": "l3"},
    ),
    ("sfc port pair list", [{"Name": name} for name in ("PP1", "PP2", "PP3")]),
    ("sfc port pair list --long", [{"Function Kind": "l3"}] * 3),
    ("sfc port pair set PP3 --name PP4 --description last", None),
    ("sfc port pair show PP4", {"Description": "last", "Ingress Logical Port": "p5"}),
    ("sfc port pair set PP1 --weight 0", None),
    (
        "sfc port pair show PP1",
        {"Name": "PP1", "Service Function Parameters": {"correlation": None, "weight": 0}},
    ),
    (
        "sfc port pair group create PG1 --port-pair PP1 --description first "
        "--port-pair-group-parameters lb-fields=ip_src",
        {
            "Port Pair": ["PP1"],
            "Port Pair Group Parameters": {"lb_fields": ["ip_src"]},
        },
    ),
    ("sfc port pair group create PG2 --disable-tap", {"Port Pair": [], "Tap Enabled": False}),
    ("sfc port pair group list", [{"Name": "PG1"}, {"Name": "PG2"}]),
    ("sfc port pair group set PG1 --port-pair PP2", None),
    ("sfc port pair group show PG1", {"Port Pair": ["PP1", "PP2"]}),
    ("sfc port pair group unset PG1 --port-pair PP1", None),
    ("sfc port pair group show PG1", {"Port Pair": ["PP2"]}),
    ("sfc port pair group set PG1 --no-port-pair", None),
    ("sfc port pair group set PG1 --port-pair PP1 --port-pair PP2", None),
    ("sfc port pair group set PG2 --port-pair PP4 --name PG3 --description last", None),
    ("sfc port pair group list --long", [{"Port Pair": ["PP1", "PP2"]}, {"Description": "last"}]),
    (
        "sfc port chain create PC1 --port-pair-group PG1 --flow-classifier FC1 "
        "--description first --chain-parameters correlation=mpls,symmetric=false",
        {
            "Port Pair Groups": ["PG1"],
            "Flow Classifiers": ["FC1"],
            "Chain Parameters": {"correlation": "mpls", "symmetric": False},
        },
    ),
    ("sfc port chain list", [{"Name": "PC1", "Status": "DOWN"}]),
    ("sfc port chain list --long", [{"Description": "first"}]),
    ("sfc port chain set PC1 --port-pair-group PG3 --name PC2 --description other", None),
    ("sfc port chain show PC2", {"Port Pair Groups": ["PG1", "PG3"], "Status": "DOWN"}),
    ("sfc port chain unset PC2 --port-pair-group PG1", None),
    ("sfc port chain show PC2", {"Port Pair Groups": ["PG3"], "Flow Classifiers": ["FC1"]}),
    ("sfc port chain set PC2 --no-port-pair-group --port-pair-group PG1", None),
    ("sfc port chain unset PC2 --flow-classifier FC1", None),
    ("sfc port chain show PC2", {"Port Pair Groups": ["PG1"], "Flow Classifiers": []}),
    ("sfc port chain set PC2 --flow-classifier FC1", None),
    ("sfc port chain unset PC2 --all-flow-classifier", None),
    ("sfc port chain set PC2 --no-flow-classifier --flow-classifier FC1", None),
    ("sfc port chain show PC2", {"Flow Classifiers": ["FC1"]}),
    ("sfc port chain create PC3 --port-pair-group PG3", {"Port Pair Groups": ["PG3"]}),
    (
        "sfc service graph create SG1 --branching-point PC2:PC3 --description first",
        {"Branching Points": {"PC2": ["PC3"]}, "Description": "first"},
    ),
    ("sfc service graph set SG1 --name SG2 --description other", None),
    ("sfc service graph show SG2", {"Branching Points": {"PC2": ["PC3"]}, "Description": "other"}),
    ("sfc service graph list", [{"Name": "SG2"}]),
    ("sfc service graph list --long", [{"Description": "other"}]),
    ("sfc service graph delete SG2", None),
    ("sfc port chain delete PC2 PC3", None),
    ("sfc port chain list", []),
    ("sfc port pair group unset PG1 --all-port-pair", None),
    ("sfc port pair group show PG1", {"Port Pair": []}),
    ("sfc port pair group delete PG1 PG3", None),
    ("sfc port pair delete PP1 PP2 PP4", None),
    ("sfc flow classifier delete FC1 FC3", None),
    ("sfc port pair list", []),
]


def test_openstack_sfc(lab: Lab, ports: Ports) -> None:
    play(lab, "openstack", OPENSTACK, ports.ids)


def test_every_command_of_openstack_sfc_is_in_the_table() -> None:
    entries = metadata.entry_points(group="openstack.neutronclient.v2")
    commands = {one.name.replace("_", " ") for one in entries if one.name.startswith("sfc_")}
    lines = [line for line, _ in OPENSTACK]
    tried = {
        name
        for name in commands
        if any(line.startswith(f"{name} ") or line == name for line in lines)
    }
    assert commands == tried
    assert len(commands) == 27


def test_sharing_a_group(lab: Lab) -> None:
    """Our own commands: an administrator's group is offered to a project, by the project's name."""
    group, project = "offered", "demo"
    (made, shared, shown), complaints = run(
        lab,
        "openstack",
        [
            f"sfc port pair group create {group} -f json",
            f"sfc port pair group share {group} --project {project} -f json",
            f"sfc port pair group show {group} -f json",
        ],
        "admin",
    )
    try:
        assert complaints.strip() == ""
        assert made["Shared"] is False
        assert shared["Shared With"] == lab.sdk("demo").current_project_id
        assert shown["Port Pair"] == []
        seen, _ = run(lab, "openstack", ["sfc port pair group list --long -f json"])
        assert part_of([[{"Name": group, "Shared": True}]], seen)
        ended = [
            f"sfc port pair group unshare {group} --project {project}",
            f"sfc port pair group unshare {group} --project {project}",
        ]
        _, complaints = run(lab, "openstack", ended, "admin")
        assert complaints.strip() == f"Port pair group {group} is not shared with {project}"
        assert run(lab, "openstack", ["sfc port pair group list -f json"]) == ([[]], "")
    finally:
        run(lab, "openstack", [f"sfc port pair group delete {made['ID']}"], "admin")


NEUTRON: Steps = [
    ("port-create --name p7 net1", {"network_id": "net1", "name": "p7"}),
    ("port-list --name p7", [{"name": "p7", "status": "DOWN"}]),
    ("port-update p7 --name p8", None),
    # As in published scripts: functions do not send with their own addresses only.
    ("port-update --no-security-groups --port_security_enabled=False p8", None),
    (
        "port-show p8",
        {"network_id": "net1", "security_groups": [], "port_security_enabled": False},
    ),
    ("port-update p8 --port-security-enabled True --security-group default", None),
    (
        "port-update p8 --allowed-address-pair ip_address=10.60.9.0/24 --device_id machine9",
        None,
    ),
    (
        "port-show p8",
        {
            "port_security_enabled": True,
            "device_id": "machine9",
            "allowed_address_pairs": [{"ip_address": "10.60.9.0/24"}],
        },
    ),
    (
        "port-create net1 --fixed-ip ip_address=10.60.0.200 --admin-state-down --name p9",
        {"fixed_ips": [{"ip_address": "10.60.0.200"}], "admin_state_up": False},
    ),
    ("port-list --device-id machine9", [{"name": "p8"}]),
    (
        "flow-classifier-create --ethertype IPv4 --source-ip-prefix --destination-ip-prefix "
        "--protocol tcp --source-port 23:23 --destination-port 100:100 FC1",
        {"protocol": "tcp", "source_port_range_max": 23, "source_ip_prefix": None},
    ),
    (
        "flow-classifier-create --protocol 17 --source-ip-prefix 10.60.0.0/24 "
        "--logical-source-port p8 FC2",
        {"source_ip_prefix": "10.60.0.0/24", "logical_source_port": "p8", "protocol": "udp"},
    ),
    ("flow-classifier-list --long", [{"name": "FC1", "ethertype": "IPv4"}, {"name": "FC2"}]),
    ("flow-classifier-update FC2 --name FC3", None),
    ("flow-classifier-show FC3", {"logical_source_port": "p8"}),
    ("port-pair-create --ingress=p1 --egress=p2 PP1", {"ingress": "p1", "function_kind": "l3"}),
    ("port-pair-create --ingress=p3 --egress=p4 PP2", {"egress": "p4"}),
    (
        "port-pair-create --ingress=p5 --egress=p6 --function-kind l3 "
        "--service-function-parameters weight=3 PP3",
        {"service_function_parameters": {"correlation": None, "weight": 3}},
    ),
    ("port-pair-list", [{"name": name} for name in ("PP1", "PP2", "PP3")]),
    ("port-pair-update PP3 --description last", None),
    ("port-pair-update PP3 --service-function-parameters weight=4", None),
    (
        "port-pair-show PP3",
        {
            "description": "last",
            "service_function_parameters": {"correlation": None, "weight": 4},
        },
    ),
    ("port-pair-group-create --port-pair PP1 --port-pair PP2 PG1", {"port_pairs": ["PP1", "PP2"]}),
    ("port-pair-group-create --port-pair PP3 PG2", {"port_pairs": ["PP3"]}),
    ("port-pair-group-update PG1 --port-pair PP2", None),
    ("port-pair-group-show PG1", {"port_pairs": ["PP2"]}),
    ("port-pair-group-list", [{"name": "PG1"}, {"name": "PG2"}]),
    (
        "port-chain-create --port-pair-group PG1 --port-pair-group PG2 --flow-classifier FC1 PC1",
        {"port_pair_groups": ["PG1", "PG2"], "flow_classifiers": ["FC1"], "status": "DOWN"},
    ),
    ("port-chain-update PC1 --port-pair-group PG2 --flow-classifier FC3", None),
    ("port-chain-show PC1", {"port_pair_groups": ["PG2"], "flow_classifiers": ["FC3"]}),
    ("port-chain-update PC1 --no-flow-classifier", None),
    ("port-chain-list --long", [{"name": "PC1", "flow_classifiers": [], "status": "DOWN"}]),
    ("port-chain-delete PC1", None),
    ("port-pair-group-delete PG1 PG2", None),
    ("port-pair-delete PP1 PP2 PP3", None),
    ("flow-classifier-delete FC1 FC3", None),
    ("port-delete p8", None),
    ("port-chain-list", []),
]


def test_neutron(lab: Lab, ports: Ports) -> None:
    play(lab, "neutron", NEUTRON, ports.ids)


WRONG = {
    "port-chain-show nothing": "no port chain with the name or id 'nothing'",
    "port-chain-create --port-pair-group nothing PC": "no port pair group with the name or id",
    "port-pair-create --ingress p1 --egress p3 PP": "both must belong to the same device",
    "flow-classifier-create --protocol nonsense FC": "protocol",
    "flow-classifier-create --source-port 5 FC": "source_port_range_max need protocol tcp",
    "port-pair-delete nothing nowhere": "2 of 2 could not be deleted",
}


def test_neutron_reports_errors(lab: Lab, ports: Ports) -> None:
    printed, complaints = run(lab, "neutron", list(WRONG))
    assert printed == []
    for text in WRONG.values():
        assert text in complaints
    assert "Traceback" not in complaints


# Libraries


def attributes(
    kind: str, network: Any, ids: Mapping[str, str], made: Mapping[str, str]
) -> dict[str, Any]:
    """What to create a resource with, made of those that were created before."""
    if kind == "flow_classifier":
        return {"protocol": "tcp", "logical_source_port": ids["source"]}
    if kind == "port_pair":
        return {"ingress": ids["p1"], "egress": ids["p2"]}
    if kind == "port_pair_group":
        return {"port_pairs": [made["port_pair"]]}
    if kind == "port_chain":
        return {
            "port_pair_groups": [made["port_pair_group"]],
            "flow_classifiers": [made["flow_classifier"]],
            "chain_parameters": {"symmetric": False},
        }
    group = network.create_sfc_port_pair_group(name="of another chain")
    following = network.create_sfc_port_chain(port_pair_groups=[group.id])
    return {"port_chains": {made["port_chain"]: [following.id]}}


SDK_KINDS = ("flow_classifier", "port_pair", "port_pair_group", "port_chain", "service_graph")


def test_openstacksdk(lab: Lab, ports: Ports) -> None:
    network = lab.sdk("demo").network
    made: dict[str, str] = {}
    for kind in SDK_KINDS:
        call = {
            verb: getattr(network, f"{verb}_sfc_{kind}")
            for verb in ("create", "find", "get", "update")
        }
        every = getattr(network, f"sfc_{kind}s")
        given = attributes(kind, network, ports.ids, made)
        created = call["create"](name=f"one {kind}", **given)
        made[kind] = created.id
        found = call["find"](f"one {kind}", ignore_missing=False)
        fetched = call["get"](created.id)
        assert created.id == found.id == fetched.id
        assert part_of(given, fetched.to_dict())
        assert fetched.project_id == lab.sdk("demo").current_project_id
        assert [one.id for one in every(name=f"one {kind}")] == [created.id]
        assert list(every(name="other")) == []
        assert call["update"](created.id, description="changed").description == "changed"
        assert call["get"](created.id).description == "changed"
    for kind in reversed(SDK_KINDS):
        with pytest.raises(sdk_exceptions.NotFoundException):
            getattr(network, f"get_sfc_{kind}")("00000000-0000-0000-0000-000000000000")
        getattr(network, f"delete_sfc_{kind}")(made[kind], ignore_missing=False)
        with pytest.raises(sdk_exceptions.NotFoundException):
            getattr(network, f"find_sfc_{kind}")(made[kind], ignore_missing=False)


@pytest.fixture
def library(lab: Lab) -> neutronclient.Client:
    """python-neutronclient's library, which Heat and Tacker use."""
    return neutronclient.Client(session=lab.sdk("demo").session)


@dataclass(frozen=True)
class HeatResource:
    """What Heat sends for one of its resources.

    From openstack/heat, heat/engine/resources/openstack/neutron/sfc/*.py and
    heat/engine/clients/os/neutron.py: the body has each property that is not null, defaults
    included, with references resolved to ids and a name made of stack and resource. Heat sends it
    with ``create_ext``. It resolves names with ``show_ext`` and, after a 404, with ``list_ext``.
    """

    kind: str
    properties: dict[str, Any]
    references: tuple[str, ...] = ()
    update: tuple[tuple[str, Any], ...] = (("description", "changed"),)


HEAT = (
    HeatResource(
        "flow_classifier",
        {
            "name": "stack-fc-abcdefghijkl",
            "description": "text",
            "protocol": "tcp",
            "ethertype": "IPv4",
            "source_ip_prefix": "10.60.0.0/24",
            "destination_port_range_min": 80,
            "destination_port_range_max": 80,
            "logical_source_port": "source",
        },
    ),
    HeatResource(
        "port_pair",
        {
            "name": "stack-pp-abcdefghijkl",
            "ingress": "p1",
            "egress": "p2",
            "service_function_parameters": {"correlation": None},
        },
    ),
    HeatResource(
        "port_pair_group",
        {"name": "stack-ppg-abcdefghijkl", "port_pairs": ["stack-pp-abcdefghijkl"]},
        ("port_pairs",),
        (("port_pairs", []), ("port_pairs", ["stack-pp-abcdefghijkl"])),
    ),
    HeatResource(
        "port_chain",
        {
            "name": "stack-pc-abcdefghijkl",
            "port_pair_groups": ["stack-ppg-abcdefghijkl"],
            "flow_classifiers": ["stack-fc-abcdefghijkl"],
            "chain_parameters": {"correlation": "mpls"},
        },
        ("port_pair_groups", "flow_classifiers"),
        (("flow_classifiers", []), ("flow_classifiers", ["stack-fc-abcdefghijkl"])),
    ),
)


def test_requests_of_heat(library: neutronclient.Client, ports: Ports) -> None:
    def resolved(kind: str, name: str) -> str:
        path = f"/sfc/{kind}s"
        try:
            return library.show_ext(path + "/%s", name)[kind]["id"]
        except client_exceptions.NotFound:
            found = library.list_ext(f"{kind}s", path, retrieve_all=True)[f"{kind}s"]
            (match,) = [one["id"] for one in found if one["name"] == name]
            return match

    def translated(resource: HeatResource, name: str, value: Any) -> Any:
        if name in resource.references:
            return [resolved(name.removesuffix("s"), one) for one in value]
        return ports.ids.get(value, value) if isinstance(value, str) else value

    made = {}
    for resource in HEAT:
        path = f"/sfc/{resource.kind}s"
        body = {
            name: translated(resource, name, value) for name, value in resource.properties.items()
        }
        answer = library.create_ext(path, {resource.kind: body})[resource.kind]
        made[resource.kind] = answer["id"]
        shown = library.show_ext(path + "/%s", answer["id"])[resource.kind]
        # Heat offers what the API shows as attributes, each under its name.
        assert part_of(body, shown)
        assert shown["id"] == answer["id"]
        for name, value in resource.update:
            change = {name: translated(resource, name, value)}
            changed = library.update_ext(path + "/%s", answer["id"], {resource.kind: change})
            assert part_of(change, changed[resource.kind])
    for kind in reversed(made):
        library.delete_ext(f"/sfc/{kind}s/%s", made[kind])
        # Deleting a stack again, Heat ignores exactly this.
        with pytest.raises(client_exceptions.NotFound):
            library.delete_ext(f"/sfc/{kind}s/%s", made[kind])


def test_requests_of_tacker(library: neutronclient.Client, ports: Ports) -> None:
    """A forwarding graph: created, changed, deleted.

    From openstack/tacker, tacker/nfvo/drivers/vim/openstack_driver.py: Tacker lists all pairs to
    find one with the same ports. It asks for its path id as ``chain_id`` and keeps the one in the
    answer. It recognises the function of a group by the group's name. With a chain, it
    deletes the groups that no other chain has, and their pairs.
    """
    ids = ports.ids
    assert library.list_sfc_port_pairs()["port_pairs"] == []
    assert library.list_sfc_port_pair_groups()["port_pair_groups"] == []
    assert library.list_sfc_port_chains()["port_chains"] == []

    def classifier(name: str, port: int) -> str:
        body = {
            "name": name,
            "logical_source_port": ids["p5"],
            "protocol": "tcp",
            "destination_port_range_min": port,
            "destination_port_range_max": port,
        }
        made = library.create_sfc_flow_classifier({"flow_classifier": body})
        return str(made["flow_classifier"]["id"])

    def function(name: str, ingress: str, egress: str, **more: Any) -> str:
        pair = {
            "name": f"{name}-connection-points",
            "description": f"port pair for {name}",
            "ingress": ids[ingress],
            "egress": ids[egress],
            **more,
        }
        pair_id = library.create_sfc_port_pair({"port_pair": pair})["port_pair"]["id"]
        group = {
            "name": f"{name}-port-pair-group",
            "description": f"port pair group for {name}",
            "port_pairs": [pair_id],
        }
        made = library.create_sfc_port_pair_group({"port_pair_group": group})
        return str(made["port_pair_group"]["id"])

    first = classifier("http", 80)
    unaware = {"service_function_parameters": {"correlation": None}}
    groups = [function("VNF1", "p1", "p2", **unaware)]
    chain = {
        "name": "VNFFG-port-chain",
        "chain_id": 51,
        "description": "port-chain for Tacker VNFFG",
        "port_pair_groups": groups,
        "flow_classifiers": [first],
        "chain_parameters": {"symmetric": False, "correlation": "mpls"},
    }
    made = library.create_sfc_port_chain({"port_chain": chain})["port_chain"]
    assert (made["chain_id"], made["port_pair_groups"]) == (51, groups)

    # Another function, and another classifier in the place of the first.
    shown = library.show_sfc_port_chain(made["id"])["port_chain"]
    assert shown["flow_classifiers"] == [first]
    shown_group = library.show_sfc_port_pair_group(groups[0])["port_pair_group"]
    assert shown_group["name"].split("-")[0] == "VNF1"
    groups.append(function("VNF2", "p3", "p4"))
    second = classifier("https", 443)
    for change in (
        {"flow_classifiers": []},
        {"flow_classifiers": [second], "port_pair_groups": groups},
    ):
        answer = library.update_sfc_port_chain(made["id"], {"port_chain": change})
        assert part_of({"id": made["id"], **change}, answer["port_chain"])
    library.delete_sfc_flow_classifier(first)
    assert library.show_sfc_flow_classifier(second)["flow_classifier"]["protocol"] == "tcp"

    # Errors are bad requests with a message, which Tacker passes on.
    with pytest.raises(client_exceptions.BadRequest, match="same ingress and egress"):
        function("VNF3", "p1", "p2")

    library.delete_sfc_port_chain(made["id"])
    with pytest.raises(client_exceptions.NotFound):
        library.show_sfc_port_chain(made["id"])
    for group in groups:
        pairs = library.show_sfc_port_pair_group(group)["port_pair_group"]["port_pairs"]
        library.delete_sfc_port_pair_group(group)
        for pair in pairs:
            library.delete_sfc_port_pair(pair)
    library.delete_sfc_flow_classifier(second)
