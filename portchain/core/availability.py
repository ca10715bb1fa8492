"""Why pairs and groups take no traffic, in words for the owner of a chain: the same with every driver. Pure."""

from collections.abc import Mapping

from portchain.core.model import Port, PortChain, PortPair, PortPairGroup

NO_WEIGHT = "its weight is 0"


def why_not_in_place(pair: PortPair, ports: Mapping[str, Port]) -> str:
    """Say which port of a function is not there to be sent to; empty if both are.

    :param ports: id -> port, of all that exist.
    """
    for side, port_id in (("ingress", pair.ingress), ("egress", pair.egress)):
        port = ports.get(port_id)
        if port is None:
            return f"its {side} port {port_id} no longer exists"
        if not port.host:
            return f"its {side} port {port.name or port_id} is not bound to a host"
        if not port.plugged:
            return f"its {side} port {port.name or port_id} is DOWN on host {port.host}"
    return ""


def named(group: PortPairGroup) -> str:
    """What a group is called at the beginning of a sentence."""
    return f"Port pair group {group.name or group.id}"


def in_brackets(chain: PortChain, group: PortPairGroup, why: Mapping[str, str]) -> str:
    """Say why no pair of a group takes traffic, after a blank and in brackets.

    Empty for a group of another project: whom it is shared with sees no pairs, ports and hosts.

    :param why: id of each pair of the group -> reason.
    """
    if group.project_id != chain.project_id:
        return ""
    each = (f"{pair.name or pair.id}: {why[pair.id]}" for pair in group.port_pairs)
    return f" ({'; '.join(each) or 'it is empty'})"
