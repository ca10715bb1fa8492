"""The wire contract between the Neutron server and the hosts: topics, versions, and messages.

A message is made of dictionaries, lists, text and numbers that JSON can express. ``encode_*``
makes it from values, ``decode_*`` checks it and makes values of it again. Everything received is
checked before it is used, because flows are made of these values.

The server sends ``apply`` to a host. A host calls ``sync`` and ``report`` of the server.
"""

import ipaddress
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from portchain.core import function_kinds
from portchain.core.function_kinds import FunctionTraits
from portchain.core.model import FunctionKind, HostReport
from portchain.core.rules import MAX_WEIGHT
from portchain.dataplane.pipeline import MAX_HOPS, ODD_GENERATION
from portchain.dataplane.plan import (
    ChainPlan,
    Classifier,
    GraphIngress,
    Hop,
    Path,
    PortRange,
    Segment,
    Source,
    Target,
)

AGENT_TOPIC = "port_chain-agent"
SERVER_TOPIC = "port_chain-server"

# Version history. A receiver accepts any minor version of its own major version, and ignores keys
# that it does not know: so either side may be one release ahead. A new kind of hop has its targets
# under a key of its own. An older agent then finds no target in that hop and drops its packets,
# which is what it must do with a hop that it does not understand. All minor versions are sent as
# 1.0.
#
# 1.0  "apply" to hosts, "sync" and "report" to the server.
# 1.1  "aware_targets": a hop of SFC-aware functions (RFC 7665). An older agent would send them
#      packets without the chain header.
# 1.2  "graph_hops": the hops of a path in a service graph. An older agent would let packets leave
#      the chain where the next chain of the graph begins.
# 1.3  "tap_targets": a hop that gets copies ("tap"). An older agent would wait for the tap to
#      return the packets.
# 1.4  "mapping_targets": a hop whose functions change headers ("headers"). An older agent would not
#      recognise the packets behind it, and would let them leave the chain.
# 1.5  Changes in two phases (docs/decisions/0018): "prepare" and "switch" in updates, "prepared" in
#      reports. An older agent switches at once, as does an agent whose server is older. A plan of
#      an odd generation has a "path_id" above 65535. Older agents refuse it, because its frames
#      have a label that they would not use.
VERSION = "1.0"

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_KEYWORD = re.compile(r"[a-z0-9]{0,15}", re.ASCII)
_MAX_PORT, _MAX_PATH_ID, _MAX_PROTOCOL, _MAX_VLAN = 65535, 65535, 255, 4094
_MAX_TEXT = 4095
_UNREADABLE = (
    "this host cannot read the plan: {}. Upgrade the host if the server has a later release"
)
_TARGET_KEYS = ("targets", "aware_targets", "tap_targets", "mapping_targets")

T = TypeVar("T")


class ContractError(ValueError):
    """A message does not follow the contract. The text starts with the key that is wrong."""


@dataclass(frozen=True, slots=True)
class PlanUpdate:
    """The changes of the chains of one host.

    :param chains: plans that replace the plans that the host has of the same chains.
    :param removed: chain id -> revision from which on the host has no part in the chain.
    :param prepare: ids of the chains in ``chains`` that the host must prepare for: it must be able
        to receive packets by the new plan, but not send any yet.
    :param switch: chain id -> revision that all hosts are prepared for.
    :param unreadable: reports about plans that the receiver cannot read; never sent.
    """

    chains: tuple[ChainPlan, ...] = ()
    removed: tuple[tuple[str, int], ...] = ()
    prepare: frozenset[str] = frozenset()
    switch: tuple[tuple[str, int], ...] = ()
    unreadable: tuple[HostReport, ...] = ()


def encode_update(update: PlanUpdate) -> dict[str, Any]:
    """Return an update as a message for ``decode_update``."""
    return {
        "chains": [_encode_chain(chain) for chain in update.chains],
        "removed": _encode_revisions(update.removed),
        "prepare": sorted(update.prepare),
        "switch": _encode_revisions(update.switch),
    }


def _encode_revisions(revisions: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"id": chain_id, "revision": revision} for chain_id, revision in revisions]


def _encode_chain(chain: ChainPlan) -> dict[str, Any]:
    item = asdict(chain)
    for path in item["paths"]:
        for hop in path["hops"]:
            for target in hop["targets"]:
                function = target.pop("function")
                target["bridges"] = function["function_kind"] == FunctionKind.L2
                target["encapsulation"] = str(function["correlation"] or "")
            if hop["tap"]:
                hop["tap_targets"], hop["targets"] = hop["targets"], ()
            elif hop["headers"]:
                hop["mapping_targets"], hop["targets"] = hop["targets"], ()
            elif any(target["encapsulation"] for target in hop["targets"]):
                hop["aware_targets"], hop["targets"] = hop["targets"], ()
        if path["entries"] or path["branches"]:
            path["graph_hops"], path["hops"] = path["hops"], ()
    return item


def decode_update(message: Any) -> PlanUpdate:
    """Return the update in a message. A plan that cannot be read becomes a report about it.

    :raises ContractError: the message is damaged so much that the chains' ids cannot be read.
    """
    body = _mapping(message, "update")
    read = _each(body, "chains", _chain_or_report)
    return PlanUpdate(
        chains=tuple(chain for chain in read if isinstance(chain, ChainPlan)),
        unreadable=tuple(report for report in read if isinstance(report, HostReport)),
        removed=_each(body, "removed", _revision),
        prepare=frozenset(_uuid({"id": item}, "id") for item in _list(body, "prepare")),
        switch=_each(body, "switch", _revision),
    )


def _revision(item: Mapping[str, Any]) -> tuple[str, int]:
    return _uuid(item, "id"), _int(item, "revision", 0)


def encode_reports(reports: Iterable[HostReport]) -> list[dict[str, Any]]:
    """Return reports as a message for ``decode_reports``."""
    return [asdict(report) for report in reports]


def decode_reports(message: Any) -> tuple[HostReport, ...]:
    """Return the reports in a message.

    :raises ContractError: a value is missing or has a wrong type.
    """
    return _each(
        {"reports": message},
        "reports",
        lambda item: HostReport(
            _uuid(item, "chain_id"),
            _int(item, "revision", 0),
            _text(item, "error"),
            _text(item, "missing"),
            bool(item.get("prepared", False)),
        ),
    )


def decode_known(message: Any) -> dict[str, int]:
    """Return the chains that a host knows: chain id -> revision.

    :raises ContractError: the message is anything else.
    """
    known = _mapping(message, "known")
    return {_uuid({"id": chain_id}, "id"): _int(known, chain_id, 0) for chain_id in known}


def _chain_or_report(item: Mapping[str, Any]) -> ChainPlan | HostReport:
    chain_id, revision = _uuid(item, "id"), _int(item, "revision", 0)
    try:
        return _chain(item)
    except ContractError as exc:
        return HostReport(chain_id, revision, error=_UNREADABLE.format(exc))


def _chain(item: Mapping[str, Any]) -> ChainPlan:
    return ChainPlan(
        id=_uuid(item, "id"),
        path_id=_path_id(item),
        revision=_int(item, "revision", 0),
        paths=_each(item, "paths", _path),
    )


def _path_id(item: Mapping[str, Any]) -> int:
    value = _int(item, "path_id", 0)
    if not 1 <= value & ~ODD_GENERATION <= _MAX_PATH_ID:
        raise ContractError(f"path_id: {value} is not in 1..{_MAX_PATH_ID}")
    return value


def _path(item: Mapping[str, Any]) -> Path:
    classifiers = _each(item, "classifiers", _classifier)
    return Path(
        classifiers=classifiers,
        sources=_each(item, "sources", lambda source: _source(source, len(classifiers))),
        hops=_hops(item, "hops", len(classifiers)) or _hops(item, "graph_hops", len(classifiers)),
        reverse=bool(item.get("reverse", False)),
        entries=_each(item, "entries", _graph_ingress),
        branches=bool(item.get("branches", False)),
    )


def _graph_ingress(item: Mapping[str, Any]) -> GraphIngress:
    return GraphIngress(
        path_id=_path_id(item),
        hops=_int(item, "hops", 1, MAX_HOPS),
        senders=_each(item, "senders", lambda sender: _source(sender, 1)),
        origins=_each(item, "origins", lambda origin: _source(origin, 1)),
    )


def _classifier(item: Mapping[str, Any]) -> Classifier:
    ethertype = _text(item, "ethertype")
    if ethertype not in ("IPv4", "IPv6"):
        raise ContractError(f"ethertype: {ethertype!r} is neither IPv4 nor IPv6")
    family = 4 if ethertype == "IPv4" else 6
    return Classifier(
        ethertype=ethertype,
        protocol=None if item.get("protocol") is None else _int(item, "protocol", 0, _MAX_PROTOCOL),
        source_ports=_ports(item, "source_ports"),
        destination_ports=_ports(item, "destination_ports"),
        source_prefixes=_prefixes(item, "source_prefixes", family),
        destination_prefixes=_prefixes(item, "destination_prefixes", family),
        source_port_known=bool(item.get("source_port_known", False)),
    )


def _source(item: Mapping[str, Any], classifiers: int) -> Source:
    return Source(
        classifier=_int(item, "classifier", 0, classifiers - 1),
        port_id=_uuid(item, "port_id"),
        host=_text(item, "host"),
        tunnel_ip=_tunnel_ip(item),
        mac=_mac(item, "mac"),
        addresses=tuple(_address(address, "addresses") for address in _list(item, "addresses")),
        segment=_segment(item, "segment"),
    )


def _hops(item: Mapping[str, Any], name: str, classifiers: int) -> tuple[Hop, ...]:
    hops = _each(item, name, _hop)
    if len(hops) > MAX_HOPS:
        raise ContractError(f"{name}: {len(hops)} hops, at most {MAX_HOPS} are possible")
    if any(len(hop.headers) not in (0, classifiers) for hop in hops):
        raise ContractError(
            f"{name}: a hop has headers for only some of the {classifiers} classifiers"
        )
    return hops


def _hop(item: Mapping[str, Any]) -> Hop:
    return Hop(
        group_id=_int(item, "group_id", 0),
        targets=tuple(target for key in _TARGET_KEYS for target in _each(item, key, _target)),
        tap=bool(item.get("tap", False)),
        headers=_each(item, "headers", _classifier),
        lb_fields=tuple(
            _text({"lb_fields": name}, "lb_fields") for name in _list(item, "lb_fields")
        ),
    )


def _target(item: Mapping[str, Any]) -> Target:
    return Target(
        pair_id=_uuid(item, "pair_id"),
        host=_text(item, "host"),
        tunnel_ip=_tunnel_ip(item),
        ingress_port=_uuid(item, "ingress_port"),
        ingress_mac=_mac(item, "ingress_mac"),
        egress_port=_uuid(item, "egress_port"),
        egress_mac=_mac(item, "egress_mac"),
        weight=_int(item, "weight", 0, MAX_WEIGHT),
        function=_function(item),
        ingress_segment=_segment(item, "ingress_segment"),
        egress_segment=_segment(item, "egress_segment"),
    )


def _function(item: Mapping[str, Any]) -> FunctionTraits:
    kind = FunctionKind.L2 if item.get("bridges", False) else FunctionKind.L3
    return function_kinds.find(kind, _keyword(item, "encapsulation") or None)


def _segment(item: Mapping[str, Any], name: str) -> Segment | None:
    if item.get(name) is None:
        return None
    segment = _mapping(item[name], name)
    untagged = segment.get("vlan") is None
    vlan = None if untagged else _int(segment, "vlan", 1, _MAX_VLAN)
    return Segment(_text(segment, "physical_network"), vlan)


# --- Values.


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ContractError(f"{name}: expected a dictionary, got {type(value).__name__}")
    return value


def _list(item: Mapping[str, Any], name: str) -> list[Any]:
    value = item.get(name, [])
    if not isinstance(value, list | tuple):
        raise ContractError(f"{name}: expected a list, got {type(value).__name__}")
    return list(value)


def _each(
    item: Mapping[str, Any], name: str, read: Callable[[Mapping[str, Any]], T]
) -> tuple[T, ...]:
    return tuple(read(_mapping(element, name)) for element in _list(item, name))


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name, "")
    if not isinstance(value, str):
        raise ContractError(f"{name}: expected text, got {type(value).__name__}")
    return value[:_MAX_TEXT]


def _keyword(item: Mapping[str, Any], name: str) -> str:
    keyword = _text(item, name)
    if not _KEYWORD.fullmatch(keyword):
        raise ContractError(
            f"{name}: {keyword!r} is not a keyword of lower-case letters and digits"
        )
    return keyword


def _int(item: Mapping[str, Any], name: str, low: int, high: int | None = None) -> int:
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ContractError(f"{name}: expected an integer, got {value!r}")
    if value < low or (high is not None and value > high):
        raise ContractError(f"{name}: {value} is not in {low}..{'' if high is None else high}")
    return value


def _uuid(item: Mapping[str, Any], name: str) -> str:
    try:
        return str(uuid.UUID(_text(item, name)))
    except ValueError as exc:
        raise ContractError(f"{name}: {item.get(name)!r} is not a UUID") from exc


def _mac(item: Mapping[str, Any], name: str) -> str:
    mac = _text(item, name)
    if not _MAC.fullmatch(mac):
        raise ContractError(f"{name}: {mac!r} is not a MAC address")
    return mac


def _tunnel_ip(item: Mapping[str, Any]) -> str:
    text = _text(item, "tunnel_ip")
    return _address(text, "tunnel_ip") if text else ""


def _address(value: Any, name: str) -> str:
    try:
        return str(ipaddress.ip_address(_without_scope(value)))
    except ValueError as exc:
        raise ContractError(f"{name}: {value!r} is not an IP address") from exc


def _without_scope(value: Any) -> str:
    """Return the text of an address, or "" if it has a scope (RFC 4007).

    ipaddress accepts any text as a scope, so that actions could be smuggled into a flow.
    """
    return value if isinstance(value, str) and "%" not in value else ""


def _prefixes(item: Mapping[str, Any], name: str, family: int) -> tuple[str, ...]:
    return tuple(_prefix(value, name, family) for value in _list(item, name))


def _prefix(value: Any, name: str, family: int) -> str:
    try:
        network = ipaddress.ip_network(_without_scope(value), strict=False)
    except ValueError as exc:
        raise ContractError(f"{name}: {value!r} is not a prefix") from exc
    if network.version != family:
        raise ContractError(f"{name}: {value} is not an IPv{family} prefix")
    return str(network)


def _ports(item: Mapping[str, Any], name: str) -> PortRange | None:
    value = item.get(name)
    if value is None:
        return None
    ends = _list(item, name)
    if (
        len(ends) != 2
        or not all(type(end) is int and 0 <= end <= _MAX_PORT for end in ends)
        or ends[0] > ends[1]
    ):
        raise ContractError(f"{name}: {value!r} is not a range of ports")
    return (ends[0], ends[1])
