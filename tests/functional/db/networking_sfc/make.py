"""Makes ``database.sql`` and ``answers.json`` with networking-sfc in a lab.

    python -m tests.functional.db.networking_sfc.make

Run it as root; it takes some minutes. It starts a lab with Neutron and networking-sfc (the
environment of the benchmarks), creates chains of every kind in two projects, saves what the API
shows of them, and dumps Neutron's database. Both files are in the repository, so run it only to
change what the tests import.
"""

import json
from pathlib import Path
from typing import Any

import pymysql
from portchain_lab.cloud.services import mariadb_socket
from portchain_lab.guests import kinds
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.lab import Lab
from portchain_lab.layout import Layout

from bench.environments import networking_sfc

HERE = Path(__file__).parent
DATABASE, ANSWERS = HERE / "database.sql", HERE / "answers.json"
NAME = "legacy"
FUNCTIONS = 6
KINDS = ("flow_classifiers", "port_pairs", "port_pair_groups", "port_chains", "service_graphs")
# Neutron's pools of numbers: thousands of rows that no test needs.
LEFT_OUT = (
    "ml2_vlan_allocations",
    "ml2_vxlan_allocations",
    "ml2_gre_allocations",
    "ml2_geneve_allocations",
)

Shown = dict[str, Any]


class Filler:
    """Creates resources as one user of the lab."""

    def __init__(self, lab: Lab, user: str) -> None:
        self.lab = lab
        self.user = user
        self.network = lab.sdk(user).network

    def create(self, kind: str, name: str, **attributes: Any) -> str:
        """Create a resource and return its id."""
        answer = self.network.post(f"/sfc/{kind}s", json={kind: {"name": name, **attributes}})
        if answer.status_code != 201:
            raise SystemExit(f"{kind} {name}: {answer.status_code} {answer.text}")
        return str(answer.json()[kind]["id"])

    def boot(self, cidr: str) -> tuple[VirtualMachine, list[VirtualMachine]]:
        """Boot a source and service functions on a new network, all on one host."""
        net = self.network.create_network(name="net1")
        self.network.create_subnet(network_id=net.id, ip_version=4, cidr=cidr, enable_dhcp=False)

        def vm(name: str, ports: int, kind: str) -> VirtualMachine:
            made = [
                self.network.create_port(network_id=net.id, name=f"{name}-{n}")
                for n in range(ports)
            ]
            return self.lab.vms.create(
                name, "h1", [port.id for port in made], kind=kind, wait=False
            )

        source = vm(f"{self.user}-src", 2, kinds.PLAIN)
        functions = [vm(f"{self.user}-f{n}", 2, kinds.L3) for n in range(FUNCTIONS)]
        self.lab.vms.wait_active([source, *functions])
        return source, functions


def fill_demo(filler: Filler) -> None:
    """Fill a project with every kind of chain that networking-sfc's OVS driver supports."""
    source, functions = filler.boot("10.71.0.0/24")
    ports = [nic.port_id for nic in source.nics]

    def classifier(name: str, port: str = ports[0], **attributes: Any) -> str:
        return filler.create("flow_classifier", name, logical_source_port=port, **attributes)

    ends = {"source_ip_prefix": "10.71.0.0/24", "destination_ip_prefix": "10.71.0.9/32"}
    web = classifier(
        "web",
        description="all that goes to the web",
        protocol="tcp",
        destination_port_range_min=80,
        destination_port_range_max=443,
        logical_destination_port=ports[1],
        **ends,
    )
    dns = classifier(
        "dns",
        protocol="udp",
        source_port_range_min=1024,
        source_port_range_max=65535,
        destination_port_range_min=53,
        destination_port_range_max=53,
    )
    ping = classifier("ping", protocol="icmp", **ends)
    six = classifier("six", ethertype="IPv6", protocol="tcp", destination_ip_prefix="2001:db8::/32")
    other = classifier(
        "other port",
        port=ports[1],
        protocol="tcp",
        source_port_range_min=9000,
        source_port_range_max=9001,
        logical_destination_port=ports[0],
        destination_port_range_min=9000,
        destination_port_range_max=9001,
    )
    # networking-sfc takes a prefix with host bits for the whole network.
    sloppy = classifier(
        "sloppy",
        protocol="tcp",
        destination_port_range_min=8080,
        destination_port_range_max=8080,
        source_ip_prefix="10.71.0.7/24",
    )
    classifier("unused ✓", ethertype="IPv6", protocol="udp")

    def pair(name: str, number: int, **parameters: Any) -> str:
        ingress, egress = (nic.port_id for nic in functions[number].nics)
        more = {"service_function_parameters": parameters} if parameters else {}
        return filler.create("port_pair", name, ingress=ingress, egress=egress, **more)

    firewalls = [pair("firewall 1", 0), pair("firewall 2", 1, correlation=None, weight=3)]
    aware = pair("aware", 2, correlation="mpls")
    nsh = pair("nsh", 3, correlation="nsh")
    tap = pair("tap", 4)
    # networking-sfc accepts this pair with half of the parameters, but accepts it in no group.
    half = functions[5].nics
    filler.create(
        "port_pair",
        "half",
        ingress=half[1].port_id,
        egress=half[0].port_id,
        service_function_parameters={"weight": 2},
    )
    port = functions[5].nics[0].port_id
    one_armed = filler.create("port_pair", "one-armed", ingress=port, egress=port)

    def group(name: str, *pairs: str, **attributes: Any) -> str:
        return filler.create("port_pair_group", name, port_pairs=list(pairs), **attributes)

    first = group(
        "firewalls",
        *firewalls,
        description="two of them",
        port_pair_group_parameters={"lb_fields": ["ip_src"]},
    )
    second = group("aware", aware)
    third = group("nsh", nsh)
    tapping = group("tap", tap, tap_enabled=True)
    rewriting = group(
        "rewriting",
        one_armed,
        port_pair_group_parameters={
            "ppg_n_tuple_mapping": {
                "ingress_n_tuple": {"source_ip_prefix": "10.71.0.0/24"},
                "egress_n_tuple": {"source_ip_prefix": "10.71.1.0/24"},
            }
        },
    )
    group("empty")

    def chain(name: str, groups: list[str], classifiers: list[str], **parameters: Any) -> str:
        number = parameters.pop("chain_id", 0)
        return filler.create(
            "port_chain",
            name,
            port_pair_groups=groups,
            flow_classifiers=classifiers,
            chain_id=number,
            **({"chain_parameters": parameters} if parameters else {}),
        )

    web_chain = chain("web", [second, first], [web], correlation="mpls", symmetric=True)
    dns_chain = chain("dns", [first, second], [dns, six], chain_id=4711)
    chain("ping", [first], [ping])
    chain("nsh", [third], [other], correlation="nsh")
    chain("tap", [tapping], [])
    chain("rewriting", [rewriting], [])
    chain("sloppy", [first, tapping], [sloppy])
    filler.create("service_graph", "graph", port_chains={dns_chain: [web_chain]})


def fill_admin(filler: Filler) -> None:
    """Fill another project with a plain chain whose resources have the same names."""
    source, functions = filler.boot("10.72.0.0/24")
    ingress, egress = (nic.port_id for nic in functions[0].nics)
    pair = filler.create("port_pair", "firewall 1", ingress=ingress, egress=egress)
    group = filler.create("port_pair_group", "firewalls", port_pairs=[pair])
    classifier = filler.create(
        "flow_classifier",
        "web",
        protocol="tcp",
        destination_port_range_min=8443,
        destination_port_range_max=8443,
        logical_source_port=source.nics[0].port_id,
    )
    filler.create("port_chain", "web", port_pair_groups=[group], flow_classifiers=[classifier])


def answers(lab: Lab) -> dict[str, list[Shown]]:
    """Return what the API shows an administrator."""
    network = lab.sdk("admin").network
    return {
        kind: sorted(network.get(f"/sfc/{kind}").json()[kind], key=lambda one: str(one["id"]))
        for kind in KINDS
    }


def dump(lab: Lab) -> str:
    """Return Neutron's database as SQL statements."""
    socket = str(mariadb_socket(lab.layout))
    connection = pymysql.connect(unix_socket=socket, user="root", database="neutron")
    with connection, connection.cursor() as cursor:
        cursor.execute("SHOW TABLES")
        tables = [str(row[0]) for row in cursor.fetchall()]
        statements = ["SET foreign_key_checks = 0"]
        for table in tables:
            cursor.execute(f"SHOW CREATE TABLE `{table}`")
            statements.append(str(cursor.fetchone()[1]))
            cursor.execute(f"SELECT * FROM `{table}`")
            marks = ", ".join(["%s"] * len(cursor.description))
            statements += [
                cursor.mogrify(f"INSERT INTO `{table}` VALUES ({marks})", row)
                for row in cursor.fetchall()
                if table not in LEFT_OUT
            ]
    return ";\n".join(statements) + ";\n"


def main() -> None:
    """Start the lab, fill it, write both files, and stop the lab."""
    lab = Lab(Layout(NAME, hosts=1, software=networking_sfc(print)))
    lab.up(print)
    try:
        for user, fill in (("demo", fill_demo), ("admin", fill_admin)):
            print(f"filling as {user}")
            fill(Filler(lab, user))
        ANSWERS.write_text(json.dumps(answers(lab), indent=1, sort_keys=True) + "\n")
        DATABASE.write_text(dump(lab))
    finally:
        lab.down()


if __name__ == "__main__":
    main()
