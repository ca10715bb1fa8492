#!/usr/bin/env python3
"""Send the traffic of a port through service functions, with openstacksdk.

    ./chain.py --cloud mycloud create web --source client-port --protocol tcp --ports 80:80 \
        --hop fw1-in,fw1-out fw2-in,fw2-out --hop ids-port
    ./chain.py --cloud mycloud show web
    ./chain.py --cloud mycloud delete web

Each --hop is a group of functions that share the work. A function is its ingress and its egress
port, or one port that is both. All resources get the name of the chain, and ``delete`` finds them
by it. If a step of ``create`` fails, what the steps before it have created is deleted again.
"""

import argparse
import sys
import time
from typing import Any

import openstack
from openstack import exceptions

POLL_SECONDS = 1.0


def main() -> int:
    """Run the command that the arguments name."""
    arguments = parser().parse_args()
    network = openstack.connect(cloud=arguments.cloud).network
    try:
        if arguments.command == "create":
            create(network, arguments)
        elif arguments.command == "delete":
            delete(network, arguments.name)
        show(network, arguments.name)
    except (exceptions.SDKException, TimeoutError) as error:
        print(f"{arguments.command} {arguments.name}: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    top.add_argument("--cloud", help="name in clouds.yaml (default: OS_CLOUD)")
    commands = top.add_subparsers(dest="command", required=True)
    made = commands.add_parser("create", help="create a chain and wait until it is ACTIVE")
    made.add_argument("--source", required=True, help="port whose traffic takes the chain")
    made.add_argument("--protocol", default="tcp", choices=("tcp", "udp", "icmp"))
    made.add_argument("--ports", metavar="FIRST:LAST", help="destination ports")
    made.add_argument(
        "--hop",
        action="append",
        nargs="+",
        required=True,
        metavar="INGRESS[,EGRESS]",
        help="the functions of one hop; give it once for each hop, in order",
    )
    made.add_argument("--timeout", type=float, default=120, help="seconds to wait for ACTIVE")
    for command in (made, commands.add_parser("show"), commands.add_parser("delete")):
        command.add_argument("name")
    return top


def create(network: Any, arguments: argparse.Namespace) -> None:
    """Create all resources of a chain, or none."""
    name = arguments.name
    try:
        match: dict[str, Any] = {"protocol": arguments.protocol, "ethertype": "IPv4"}
        if arguments.ports:
            first, _, last = arguments.ports.partition(":")
            match["destination_port_range_min"] = int(first)
            match["destination_port_range_max"] = int(last or first)
        source = network.find_port(arguments.source, ignore_missing=False).id
        classifier = network.create_sfc_flow_classifier(
            name=name, logical_source_port=source, **match
        )
        groups = [create_group(network, name, functions) for functions in arguments.hop]
        network.create_sfc_port_chain(
            name=name, flow_classifiers=[classifier.id], port_pair_groups=groups
        )
        wait_active(network, name, arguments.timeout)
    except BaseException:  # also if the user interrupts the script
        delete(network, name)
        raise


def create_group(network: Any, name: str, functions: list[str]) -> str:
    """Create the pairs of a hop and their group; return the group's id."""
    pairs = []
    for function in functions:
        ingress, _, egress = function.partition(",")
        ports = [
            network.find_port(port, ignore_missing=False).id
            for port in (ingress, egress or ingress)
        ]
        pair = network.create_sfc_port_pair(name=name, ingress=ports[0], egress=ports[1])
        pairs.append(pair.id)
    group: str = network.create_sfc_port_pair_group(name=name, port_pairs=pairs).id
    return group


def status(network: Any, name: str) -> tuple[str, str]:
    """Return a chain's status and the reason for it, which the SDK's resource does not have."""
    response = network.get("/sfc/port_chains", params={"name": name})
    exceptions.raise_from_response(response)
    for chain in response.json()["port_chains"]:
        return chain["status"], chain["status_reason"]
    return "not there", ""


def wait_active(network: Any, name: str, seconds: float) -> None:
    """Wait until all hosts have confirmed a chain.

    :raises TimeoutError: they have not; the text has the reason.
    """
    deadline = time.monotonic() + seconds
    while (found := status(network, name))[0] != "ACTIVE":
        if time.monotonic() > deadline:
            msg = f"{found[0]} after {seconds:g} s: {found[1]}"
            raise TimeoutError(msg)
        time.sleep(POLL_SECONDS)


def delete(network: Any, name: str) -> None:
    """Delete all resources with a name, each after those that use it."""
    for chain in network.sfc_port_chains(name=name):
        network.delete_sfc_port_chain(chain)
    for group in network.sfc_port_pair_groups(name=name):
        network.delete_sfc_port_pair_group(group)
    for pair in network.sfc_port_pairs(name=name):
        network.delete_sfc_port_pair(pair)
    for classifier in network.sfc_flow_classifiers(name=name):
        network.delete_sfc_flow_classifier(classifier)


def show(network: Any, name: str) -> None:
    """Print the status of a chain, and how many resources have its name."""
    found, reason = status(network, name)
    print(f"chain {name}: {found}{f' ({reason})' if reason else ''}")
    groups = list(network.sfc_port_pair_groups(name=name))
    print(f"hops: {len(groups)}, functions: {sum(len(group.port_pairs) for group in groups)}")


if __name__ == "__main__":
    sys.exit(main())
