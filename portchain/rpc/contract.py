"""The wire contract between the Neutron server and the hosts: topics, versions, and messages.

A message consists of dictionaries, lists, text and numbers that JSON can express. ``encode_*``
turns values into a message; ``decode_*`` checks a message and turns it back into values.
Everything received is checked before it is used, because flows contain these values.

The server sends ``apply`` to a host. A host calls ``sync`` and ``report`` of the server.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from portchain.core import function_kinds
from portchain.core.function_kinds import FunctionTraits
from portchain.core.model import FunctionKind, HostReport
from portchain.core.rules import MAX_WEIGHT
from portchain.dataplane.pipeline import MAX_HOPS, ODD_GENERATION
from portchain.dataplane.plan import (
    ChainPlan,
    Classifier,
    EarlierPairs,
    GraphIngress,
    Hop,
    Path,
    Receiver,
    Segment,
    Source,
    Target,
)
from portchain.rpc.fields import (
    ContractError,
    as_address,
    as_mapping,
    read_each,
    read_int,
    read_keyword,
    read_list,
    read_mac,
    read_ports,
    read_prefixes,
    read_text,
    read_tunnel_ip,
    read_uuid,
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
# 1.6  "attributed_targets": a hop of SFC-unaware functions that projects share, which takes packets
#      from "accepted_sources" only. An older agent would take packets of other projects there.
#      "serial" and "owner" of a chain: an older agent lets "path_id" decide which of two new
#      chains in conflict it realises, as does an agent whose server is older.
# 1.7  "receiver" of a classifier: an older agent takes all packets to "destination_prefixes", which
#      contain those that the receiver gets. "broadcasts" and "forwarded" of a source: an older
#      agent drops neither frames that go around, nor spares packets from being classified twice.
# 1.8  "off_network" of a target (docs/decisions/0008). An older agent forwards packets from such a
#      function on the function's own network, where their destination is not: they are lost, as
#      with a server that is older. "further_macs" and "sends_from_any_mac" of a source: an older
#      agent loses frames with these source addresses behind functions that keep them.
# 1.9  "generation" of a chain: the number of its list of groups (docs/decisions/0053). Frames
#      between hosts carry it. An older agent neither sends nor checks it; newer agents take its
#      frames, and those of agents whose server is older.
# 1.10 "returned_sources" of a hop, "return_macs" of a target: an older agent accepts from functions
#      what the chain's sources may not send.
# 1.11 "warning" of a report: what the datapath of the host lacks. An older agent does not say it.
# 1.12 "earlier_pairs" of a hop: what its group selected from before its last changes. An older
#      agent learns the pair of each traffic flow instead, and does not need them. If the server is
#      older, connections whose slots a change of the group gives to another pair move there.
# 1.13 "packet_hosts" of a chain: the hosts that accept packets in MPLS (docs/decisions/0061). An
#      older agent sends them frames, which they accept too. With the revisions that a host knows,
#      it says its minor version, under the id of a chain that cannot exist (docs/decisions/0060).
#      An older server answers that the host has no part in that chain. A host that does not say
#      its version is older.
# 1.14 "returned_macs" of a hop: before another hop, an older agent accepts frames with any source
#      MAC address from functions that bridge or understand NSH.
VERSION = "1.0"
MINOR_VERSION = 14
PACKETS_SINCE = 13
"""The first minor version whose hosts accept packets in MPLS."""


def version_of_host(accepts_packets: bool) -> int:
    """Return the minor version that a host of this release says.

    :param accepts_packets: whether its datapath can take packets in MPLS from other hosts.
    """
    return MINOR_VERSION if accepts_packets else PACKETS_SINCE - 1


_MAX_PATH_ID, _MAX_PROTOCOL, _MAX_VLAN = 65535, 255, 4094
_MAX_EARLIER_SETS, _MAX_PAIRS = 16, 65535
_MAX_HOSTS, _MAX_HOST_NAME, _MAX_MINOR_VERSION = 65535, 255, 65535
_OWN_VERSION = "00000000-0000-0000-0000-000000000000"
_UNREADABLE = (
    "this host cannot read the plan: {}. Upgrade the host if the server has a later release"
)
_TARGET_KEYS = (
    "targets",
    "aware_targets",
    "tap_targets",
    "mapping_targets",
    "attributed_targets",
)


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


@dataclass(frozen=True, slots=True)
class HostKnowledge:
    """What a host says of itself when it asks for changes.

    :param revisions: chain id -> revision of the plan that the host has.
    :param minor_version: of the contract, that the host follows; 0 if it is older than 1.13.
    """

    revisions: Mapping[str, int]
    minor_version: int = 0


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
            elif hop["accepted_sources"]:
                hop["attributed_targets"], hop["targets"] = hop["targets"], ()
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
    body = as_mapping(message, "update")
    read = read_each(body, "chains", _chain_or_report)
    return PlanUpdate(
        chains=tuple(chain for chain in read if isinstance(chain, ChainPlan)),
        unreadable=tuple(report for report in read if isinstance(report, HostReport)),
        removed=read_each(body, "removed", _revision),
        prepare=frozenset(read_uuid({"id": item}, "id") for item in read_list(body, "prepare")),
        switch=read_each(body, "switch", _revision),
    )


def _revision(item: Mapping[str, Any]) -> tuple[str, int]:
    return read_uuid(item, "id"), read_int(item, "revision", 0)


def encode_reports(reports: Iterable[HostReport]) -> list[dict[str, Any]]:
    """Return reports as a message for ``decode_reports``."""
    return [asdict(report) for report in reports]


def decode_reports(message: Any) -> tuple[HostReport, ...]:
    """Return the reports in a message.

    :raises ContractError: a value is missing or has a wrong type.
    """
    return read_each(
        {"reports": message},
        "reports",
        lambda item: HostReport(
            read_uuid(item, "chain_id"),
            read_int(item, "revision", 0),
            read_text(item, "error"),
            read_text(item, "missing"),
            bool(item.get("prepared", False)),
            read_text(item, "warning"),
        ),
    )


def encode_known(knowledge: HostKnowledge) -> dict[str, int]:
    """Return a message for ``decode_known``."""
    return {**knowledge.revisions, _OWN_VERSION: knowledge.minor_version}


def decode_known(message: Any) -> HostKnowledge:
    """Return what a host says of itself.

    :raises ContractError: the message is anything else.
    """
    known = as_mapping(message, "known")
    revisions = {
        read_uuid({"id": chain_id}, "id"): read_int(known, chain_id, 0) for chain_id in known
    }
    version = revisions.pop(_OWN_VERSION, 0)
    return HostKnowledge(
        revisions, read_int({"minor_version": version}, "minor_version", 0, _MAX_MINOR_VERSION)
    )


def _chain_or_report(item: Mapping[str, Any]) -> ChainPlan | HostReport:
    chain_id, revision = read_uuid(item, "id"), read_int(item, "revision", 0)
    try:
        return _chain(item)
    except ContractError as exc:
        return HostReport(chain_id, revision, error=_UNREADABLE.format(exc))


def _chain(item: Mapping[str, Any]) -> ChainPlan:
    return ChainPlan(
        id=read_uuid(item, "id"),
        path_id=_path_id(item),
        revision=read_int(item, "revision", 0),
        paths=read_each(item, "paths", _path),
        serial=read_int(item, "serial", 0) if "serial" in item else 0,
        owner=read_keyword(item, "owner"),
        generation=None if item.get("generation") is None else read_int(item, "generation", 0),
        packet_hosts=_host_names(item, "packet_hosts"),
    )


def _host_names(item: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return a set of host names, sorted; none if the key is missing."""
    names = read_list(item, name)
    if len(names) > _MAX_HOSTS:
        raise ContractError(f"{name}: {len(names)} hosts, at most {_MAX_HOSTS} are possible")
    hosts = {read_text({name: host}, name) for host in names}
    if any(not 1 <= len(host) <= _MAX_HOST_NAME for host in hosts):
        raise ContractError(f"{name}: a host's name has 1..{_MAX_HOST_NAME} characters")
    return tuple(sorted(hosts))


def _path_id(item: Mapping[str, Any]) -> int:
    value = read_int(item, "path_id", 0)
    if not 1 <= value & ~ODD_GENERATION <= _MAX_PATH_ID:
        raise ContractError(f"path_id: {value} is not in 1..{_MAX_PATH_ID}")
    return value


def _path(item: Mapping[str, Any]) -> Path:
    classifiers = read_each(item, "classifiers", _classifier)
    return Path(
        classifiers=classifiers,
        sources=read_each(item, "sources", lambda source: _source(source, len(classifiers))),
        hops=_hops(item, "hops", len(classifiers)) or _hops(item, "graph_hops", len(classifiers)),
        reverse=bool(item.get("reverse", False)),
        entries=read_each(item, "entries", _graph_ingress),
        branches=bool(item.get("branches", False)),
    )


def _graph_ingress(item: Mapping[str, Any]) -> GraphIngress:
    return GraphIngress(
        path_id=_path_id(item),
        hops=read_int(item, "hops", 1, MAX_HOPS),
        senders=read_each(item, "senders", lambda sender: _source(sender, 1)),
        origins=read_each(item, "origins", lambda origin: _source(origin, 1)),
    )


def _classifier(item: Mapping[str, Any]) -> Classifier:
    ethertype = read_text(item, "ethertype")
    if ethertype not in ("IPv4", "IPv6"):
        raise ContractError(f"ethertype: {ethertype!r} is neither IPv4 nor IPv6")
    family = 4 if ethertype == "IPv4" else 6
    return Classifier(
        ethertype=ethertype,
        protocol=None
        if item.get("protocol") is None
        else read_int(item, "protocol", 0, _MAX_PROTOCOL),
        source_ports=read_ports(item, "source_ports"),
        destination_ports=read_ports(item, "destination_ports"),
        source_prefixes=read_prefixes(item, "source_prefixes", family),
        destination_prefixes=read_prefixes(item, "destination_prefixes", family),
        source_port_known=bool(item.get("source_port_known", False)),
        receiver=_receiver(item, family),
    )


def _receiver(item: Mapping[str, Any], family: int) -> Receiver | None:
    if item.get("receiver") is None:
        return None
    receiver = as_mapping(item["receiver"], "receiver")
    return Receiver(
        addresses=read_prefixes(receiver, "addresses", family),
        macs=tuple(read_mac({"macs": mac}, "macs") for mac in read_list(receiver, "macs")),
        shared_addresses=read_prefixes(receiver, "shared_addresses", family),
    )


def _source(item: Mapping[str, Any], classifiers: int) -> Source:
    return Source(
        classifier=read_int(item, "classifier", 0, classifiers - 1),
        port_id=read_uuid(item, "port_id"),
        host=read_text(item, "host"),
        tunnel_ip=read_tunnel_ip(item),
        mac=read_mac(item, "mac"),
        addresses=tuple(
            as_address(address, "addresses") for address in read_list(item, "addresses")
        ),
        segment=_segment(item, "segment"),
        broadcasts=tuple(
            as_address(address, "broadcasts") for address in read_list(item, "broadcasts")
        ),
        forwarded=tuple(
            as_address(address, "forwarded") for address in read_list(item, "forwarded")
        ),
        further_macs=tuple(
            read_mac({"mac": mac}, "mac") for mac in read_list(item, "further_macs")
        ),
        sends_from_any_mac=bool(item.get("sends_from_any_mac", False)),
    )


def _hops(item: Mapping[str, Any], name: str, classifiers: int) -> tuple[Hop, ...]:
    hops = read_each(item, name, _hop)
    if len(hops) > MAX_HOPS:
        raise ContractError(f"{name}: {len(hops)} hops, at most {MAX_HOPS} are possible")
    if any(len(hop.headers) not in (0, classifiers) for hop in hops):
        raise ContractError(
            f"{name}: a hop has headers for only some of the {classifiers} classifiers"
        )
    if any(len(hop.accepted_sources) not in (0, classifiers) for hop in hops):
        raise ContractError(
            f"{name}: a hop has accepted_sources for only some of the {classifiers} classifiers"
        )
    return hops


def _hop(item: Mapping[str, Any]) -> Hop:
    return Hop(
        group_id=read_int(item, "group_id", 0),
        targets=tuple(target for key in _TARGET_KEYS for target in read_each(item, key, _target)),
        tap=bool(item.get("tap", False)),
        headers=read_each(item, "headers", _classifier),
        accepted_sources=tuple(
            _networks(prefixes, "accepted_sources")
            for prefixes in read_list(item, "accepted_sources")
        ),
        returned_sources=None
        if item.get("returned_sources") is None
        else tuple(
            prefix
            for each in read_list(item, "returned_sources")
            for prefix in _networks([each], "returned_sources")
        ),
        returned_macs=None
        if item.get("returned_macs") is None
        else tuple(read_mac({"mac": mac}, "mac") for mac in read_list(item, "returned_macs")),
        lb_fields=tuple(
            read_text({"lb_fields": name}, "lb_fields") for name in read_list(item, "lb_fields")
        ),
        earlier_pairs=_earlier_pairs(item),
    )


def _earlier_pairs(item: Mapping[str, Any]) -> tuple[EarlierPairs, ...]:
    sets = read_each(item, "earlier_pairs", _earlier_set)
    if len(sets) > _MAX_EARLIER_SETS:
        raise ContractError(
            f"earlier_pairs: {len(sets)} sets, at most {_MAX_EARLIER_SETS} are possible"
        )
    return sets


def _earlier_set(item: Mapping[str, Any]) -> EarlierPairs:
    weights = dict(_weighted_pair(pair) for pair in read_list(item, "weights"))
    if not 1 <= len(weights) <= _MAX_PAIRS:
        raise ContractError(f"weights: {len(weights)} pairs are not in 1..{_MAX_PAIRS}")
    return EarlierPairs(tuple(sorted(weights.items())), bool(item.get("new_flows", False)))


def _weighted_pair(pair: Any) -> tuple[str, int]:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ContractError(f"weights: {pair!r} is not a pair's id and its weight")
    item = {"pair_id": pair[0], "weight": pair[1]}
    return read_uuid(item, "pair_id"), read_int(item, "weight", 0, MAX_WEIGHT)


def _networks(prefixes: Any, name: str) -> tuple[str, ...]:
    item = {name: prefixes}
    family = 6 if any(":" in str(prefix) for prefix in read_list(item, name)) else 4
    return read_prefixes(item, name, family)


def _target(item: Mapping[str, Any]) -> Target:
    return Target(
        pair_id=read_uuid(item, "pair_id"),
        host=read_text(item, "host"),
        tunnel_ip=read_tunnel_ip(item),
        ingress_port=read_uuid(item, "ingress_port"),
        ingress_mac=read_mac(item, "ingress_mac"),
        egress_port=read_uuid(item, "egress_port"),
        egress_mac=read_mac(item, "egress_mac"),
        weight=read_int(item, "weight", 0, MAX_WEIGHT),
        function=_function(item),
        ingress_segment=_segment(item, "ingress_segment"),
        egress_segment=_segment(item, "egress_segment"),
        off_network=bool(item.get("off_network", False)),
        return_macs=tuple(
            read_mac({"return_macs": mac}, "return_macs") for mac in read_list(item, "return_macs")
        ),
    )


def _function(item: Mapping[str, Any]) -> FunctionTraits:
    kind = FunctionKind.L2 if item.get("bridges", False) else FunctionKind.L3
    return function_kinds.find(kind, read_keyword(item, "encapsulation") or None)


def _segment(item: Mapping[str, Any], name: str) -> Segment | None:
    if item.get(name) is None:
        return None
    segment = as_mapping(item[name], name)
    untagged = segment.get("vlan") is None
    vlan = None if untagged else read_int(segment, "vlan", 1, _MAX_VLAN)
    return Segment(read_text(segment, "physical_network"), vlan)
