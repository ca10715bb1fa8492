"""Why a flow classifier does not match a packet, for people who wonder."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from portchain.core.model import FlowClassifier, PortRange
from portchain.core.protocols import ICMP, ICMPV6

_ICMP = (ICMP, ICMPV6)


@dataclass(frozen=True, slots=True)
class Header:
    """The header fields of a packet that classifiers look at.

    :param port_id: the Neutron port that sends it.
    :param source_port: transport port; for ICMP, the type.
    :param destination_port: transport port; for ICMP, the code.
    :param destination_port_id: the Neutron port with the destination address; empty if unknown.
    """

    port_id: str
    ethertype: str
    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int
    destination_port_id: str = ""

    @property
    def of_request(self) -> "Header":
        """The header of the request to which a packet with this header is the reply."""
        has_ports = self.protocol not in _ICMP
        return Header(
            self.destination_port_id,
            self.ethertype,
            self.destination,
            self.source,
            self.protocol,
            self.destination_port if has_ports else self.source_port,
            self.source_port if has_ports else self.destination_port,
            self.port_id,
        )


def mismatches(classifier: FlowClassifier, header: Header) -> list[str]:
    """Return what of a packet a classifier does not match; empty if it matches.

    A classifier without a logical source port stands for ports on the networks of the chain's
    functions; that is not looked at.
    """
    if classifier.ethertype != header.ethertype:
        return [f"the packet is {header.ethertype}, not {classifier.ethertype}"]
    found = []
    if classifier.protocol not in (None, header.protocol):
        found.append(f"the protocol is {header.protocol}, not {classifier.protocol}")
    found += _out_of_prefix("source", classifier.source_prefix, header.source)
    found += _out_of_prefix("destination", classifier.destination_prefix, header.destination)
    if classifier.protocol == header.protocol:
        names = (
            ("type", "code") if header.protocol in _ICMP else ("source port", "destination port")
        )
        found += _out_of_range(names[0], classifier.source_ports, header.source_port)
        found += _out_of_range(names[1], classifier.destination_ports, header.destination_port)
    if classifier.logical_source_port not in (None, header.port_id):
        found.append("it names another logical source port")
    if classifier.logical_destination_port not in (None, header.destination_port_id):
        found.append("it names another logical destination port")
    return found


def _out_of_prefix(side: str, prefix: str | None, address: str) -> list[str]:
    if prefix is None or ip_address(address) in ip_network(prefix):
        return []
    return [f"the {side} address {address} is not in {prefix}"]


def _out_of_range(name: str, wanted: PortRange | None, value: int) -> list[str]:
    if wanted is None or wanted[0] <= value <= wanted[1]:
        return []
    expected = str(wanted[0]) if wanted[0] == wanted[1] else f"in {wanted[0]}:{wanted[1]}"
    return [f"the {name} is {value}, not {expected}"]
