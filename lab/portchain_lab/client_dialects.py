"""The specification's workflow as command lines of either client. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Match:
    """What a flow classifier of the workflow matches.

    :param source: address prefix of the source; ``destination`` likewise.
    :param destination_port: a range, as ``<first>:<last>``.
    :param source_port: likewise; empty matches any.
    """

    source: str
    destination: str
    destination_port: str
    source_port: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Builds the command lines of one client. All arguments are names.

    :param port: (port) -> command that creates it on the network ``net1``.
    :param classifier: (classifier, what it matches) -> command.
    :param pair: (port pair, ingress port, egress port) -> command.
    :param group: (port pair group, port pairs) -> command.
    :param chain: (port chain, groups, classifiers) -> command.
    """

    port: Callable[[str], str]
    classifier: Callable[[str, Match], str]
    pair: Callable[[str, str, str], str]
    group: Callable[[str, Sequence[str]], str]
    chain: Callable[[str, Sequence[str], Sequence[str]], str]


def _match(match: Match) -> str:
    source_port = f" --source-port {match.source_port}" if match.source_port else ""
    return (
        f"--ethertype IPv4 --source-ip-prefix {match.source} "
        f"--destination-ip-prefix {match.destination} --protocol tcp{source_port} "
        f"--destination-port {match.destination_port}"
    )


def _each(option: str, names: Sequence[str]) -> str:
    return " ".join(f"--{option} {name}" for name in names)


def _chain(groups: Sequence[str], classifiers: Sequence[str]) -> str:
    return f"{_each('port-pair-group', groups)} {_each('flow-classifier', classifiers)}"


DIALECTS = {
    "openstack": Dialect(
        port=lambda name: f"openstack port create --network net1 {name}",
        classifier=lambda name, m: f"openstack sfc flow classifier create {_match(m)} {name}",
        pair=lambda name, ingress, egress: (
            f"openstack sfc port pair create --ingress {ingress} --egress {egress} {name}"
        ),
        group=lambda name, pairs: (
            f"openstack sfc port pair group create {_each('port-pair', pairs)} {name}"
        ),
        chain=lambda name, groups, classifiers: (
            f"openstack sfc port chain create {_chain(groups, classifiers)} {name}"
        ),
    ),
    # The commands that the specification shows.
    "neutron": Dialect(
        port=lambda name: f"neutron port-create --name {name} net1",
        classifier=lambda name, m: f"neutron flow-classifier-create {_match(m)} {name}",
        pair=lambda name, ingress, egress: (
            f"neutron port-pair-create --ingress={ingress} --egress={egress} {name}"
        ),
        group=lambda name, pairs: (
            f"neutron port-pair-group-create {_each('port-pair', pairs)} {name}"
        ),
        chain=lambda name, groups, classifiers: (
            f"neutron port-chain-create {_chain(groups, classifiers)} {name}"
        ),
    ),
}
"""The dialect of each client, by the name of its program."""
