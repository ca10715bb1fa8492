"""A chain's plan as a dictionary that JSON can express, and back. Pure.

Part of the wire contract (``portchain.rpc.contract``), with the history of its versions there.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from portchain.core import function_kinds
from portchain.core.function_kinds import FunctionTraits
from portchain.core.model import FunctionKind, HealthCheck, HealthCheckParameters
from portchain.core.rules import MAX_WEIGHT
from portchain.dataplane.pipeline import MAX_HOPS, ODD_GENERATION
from portchain.dataplane.plan import (
    ChainPlan,
    Classifier,
    EarlierPairs,
    GraphIngress,
    Hop,
    Path,
    Probe,
    Reaction,
    Receiver,
    Segment,
    Source,
    Target,
)
from portchain.rpc import parts
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
    read_seconds,
    read_text,
    read_tunnel_ip,
    read_uuid,
)

_MAX_PATH_ID, _MAX_PROTOCOL, _MAX_VLAN = 65535, 255, 4094
_MAX_EARLIER_SETS, _MAX_PAIRS = 16, 65535
_MAX_HOSTS, _MAX_HOST_NAME = 65535, 255
_MAX_RETRIES, _MIN_DELAY, _MAX_DELAY = 10, 0.1, 3600.0
_PLAN_FIELDS = tuple(
    field.name for field in fields(ChainPlan) if field.name not in ("paths", "probes", "watched")
)
_SOURCE_FIELDS = tuple(field.name for field in fields(Source))
_TARGET_KEYS = (
    "targets",
    "aware_targets",
    "tap_targets",
    "mapping_targets",
    "attributed_targets",
)


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """A plan as an item of a message, without its long lists.

    :param item: as ``encode_plan`` returns it, after ``parts.split``.
    :param parts: digest -> part of a list.
    :param identity: a text that equal plans have in common, whatever their revision: the digest of
        the item, and those of the parts, separated by spaces.
    """

    item: dict[str, Any]
    parts: Mapping[str, parts.Part]
    identity: str


_Split = tuple[Any, dict[str, parts.Part], str]
"""An item, the parts of its lists, and the item as JSON, or the digest of that."""


class PlanSplitter:
    """Encodes and splits plans. What several hosts or chains share is encoded once.

    The plans for several hosts share objects, see ``HostViews``: these are found by their ids. The
    plans of several chains have equal hops and sources.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], _Split] = {}
        self._equal: dict[tuple[object, ...], _Split] = {}
        self._kept: list[object] = []  # so that no other object gets the same id

    def split(self, plan: ChainPlan) -> SplitPlan:
        """Return a plan without its long lists, and these in parts."""
        found: dict[str, parts.Part] = {}
        item = parts.split(_encode_without_paths(plan), found)
        digests = [parts.canonical({**item, "revision": 0})]
        item["paths"] = []
        for path in plan.paths:
            split, digest = self._split_path(path, found)
            item["paths"].append(split)
            digests.append(digest)
        identity = parts.digest(" ".join(digests))
        return SplitPlan(item, found, " ".join((identity, *found)))

    def _split_path(self, path: Path, found: dict[str, parts.Part]) -> tuple[dict[str, Any], str]:
        common, of_common, digest = self._once(
            (path.classifiers, path.entries, path.reverse, path.branches),
            lambda: _encode_ends(path),
        )
        found |= of_common
        sources, of_sources, text = self._once(
            (path.sources,),
            lambda: list(map(_encode_source, path.sources)),
            equal=(path.sources,),
            in_full=True,
        )
        found |= of_sources
        digests = [digest, text]
        hops = []
        for hop in path.hops:
            # The ids of classifiers are not compared.
            value = (hop, tuple(classifier.id for classifier in hop.headers))
            encode = functools.partial(_encode_hop, hop)
            split, of_hop, digest = self._once((hop,), encode, equal=value)
            found |= of_hop
            hops.append(split)
            digests.append(digest)
        item = {**common, "sources": sources, "hops": (), _key_of_hops(path): hops}
        return item, " ".join(digests)

    def _once(
        self,
        objects: Sequence[object],
        encode: Callable[[], Any],
        *,
        equal: tuple[object, ...] = (),
        in_full: bool = False,
    ) -> _Split:
        """Encode and split something, unless it has been already.

        :param objects: what determines the result: the same objects have the same.
        :param equal: a value that equal results have in common; empty if there is none.
        :param in_full: whether to return the item as JSON instead of a digest. Servers of all
            releases have to compute the same identity of a plan.
        """
        key = tuple(map(id, objects))
        if key not in self._known:
            split = self._equal.get(equal) if equal else None
            if split is None:
                found: dict[str, parts.Part] = {}
                item = parts.split(encode(), found)
                text = parts.canonical(item)
                split = item, found, text if in_full else parts.digest(text)
            if equal:
                self._equal[equal] = split
            self._known[key] = split
            self._kept += objects
        return self._known[key]


def encode_plan(plan: ChainPlan) -> dict[str, Any]:
    """Return a plan as a dictionary for ``decode_plan``."""
    item = _encode_without_paths(plan)
    for path in plan.paths:
        hops = [_encode_hop(hop) for hop in path.hops]
        sources = [_encode_source(source) for source in path.sources]
        empty: dict[str, Any] = {"sources": sources, "hops": ()}
        item["paths"].append(_encode_ends(path) | empty | {_key_of_hops(path): hops})
    return item


def _encode_without_paths(plan: ChainPlan) -> dict[str, Any]:
    item = {name: getattr(plan, name) for name in _PLAN_FIELDS} | {"paths": []}
    # Without these keys, the part of a host is what servers before 1.16 recorded.
    checks = {"probes": list(map(_encode_probe, plan.probes)), "watched": list(plan.watched)}
    return item | {key: value for key, value in checks.items() if value}


def _encode_ends(path: Path) -> dict[str, Any]:
    """Encode a path without its sources and hops."""
    item = asdict(replace(path, hops=(), sources=()))
    item["classifiers"] = [_without_empty(one) for one in item["classifiers"]]
    return _without_empty(item)


def _without_empty(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item without what a receiver assumes anyway; numbers stay, 0 included."""
    return {key: value for key, value in item.items() if value or type(value) in (int, float)}


def _key_of_hops(path: Path) -> str:
    return "graph_hops" if path.entries or path.branches else "hops"


def _encode_source(source: Source) -> dict[str, Any]:
    segment = None if source.segment is None else asdict(source.segment)
    values = {name: getattr(source, name) for name in _SOURCE_FIELDS} | {"segment": segment}
    return _without_empty(values)


def _encode_hop(hop: Hop) -> dict[str, Any]:
    item = asdict(replace(hop, targets=(), returning=()))
    item["headers"] = [_without_empty(one) for one in item["headers"]]
    # An empty list of what functions may return is not the same as none.
    limits = {"returned_sources": hop.returned_sources, "returned_macs": hop.returned_macs}
    known = {key: value for key, value in limits.items() if value is not None}
    targets = [_encode_target(target) for target in hop.targets]
    key = _key_of_targets(hop)
    # Hosts before 1.16 ignore these: as if the functions had left the group.
    returning = [_encode_target(target) for target in hop.returning]
    extra = {"returning": returning} if returning else {}
    return _without_empty(item) | known | extra | {"targets": (), key: targets}


@functools.lru_cache(maxsize=1024)
def _encode_target(target: Target) -> dict[str, Any]:
    """Encode a function; the result is shared by all hops that have it."""
    item = asdict(target)
    del item["function"]
    return _without_empty(item | _encode_function(target.function))


def _encode_function(function: FunctionTraits) -> dict[str, Any]:
    return {
        "bridges": function.function_kind == FunctionKind.L2,
        "encapsulation": str(function.correlation or ""),
    }


def _encode_probe(probe: Probe) -> dict[str, Any]:
    item = asdict(probe)
    del item["function"]
    parameters = item.pop("parameters")
    del parameters["destination"]
    item["check"] = str(probe.check)
    return _without_empty(item | parameters | _encode_function(probe.function))


def _key_of_targets(hop: Hop) -> str:
    """Return the key that only hosts look at which know what the hop needs."""
    if hop.tap:
        return "tap_targets"
    if hop.accepted_sources:
        return "attributed_targets"
    if hop.headers:
        return "mapping_targets"
    is_aware = any(target.function.encapsulation for target in hop.targets)
    return "aware_targets" if is_aware else "targets"


def decode_plan(item: Mapping[str, Any]) -> ChainPlan:
    """Return the plan in a dictionary.

    :raises ContractError: a value is missing or wrong.
    """
    return ChainPlan(
        id=read_uuid(item, "id"),
        path_id=_path_id(item),
        revision=read_int(item, "revision", 0),
        paths=read_each(item, "paths", _path),
        serial=read_int(item, "serial", 0) if "serial" in item else 0,
        owner=read_keyword(item, "owner"),
        generation=None if item.get("generation") is None else read_int(item, "generation", 0),
        packet_hosts=_host_names(item, "packet_hosts"),
        probes=tuple(probe for probe in read_each(item, "probes", _probe) if probe is not None),
        watched=tuple(as_address(one, "watched") for one in read_list(item, "watched")),
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
        id=read_uuid(item, "id") if item.get("id") else "",
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
    if any(hop.passed and hop.targets for hop in hops):
        raise ContractError(f"{name}: packets pass a hop that has targets")
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
        returning=read_each(item, "returning", _target),
        passed=bool(item.get("passed", False)),
        reaction=_reaction(item),
    )


def _reaction(item: Mapping[str, Any]) -> Reaction | None:
    if item.get("reaction") is None:
        return None
    reaction = as_mapping(item["reaction"], "reaction")
    standing_by = dict(map(_weighted_pair, read_list(reaction, "standing_by")))
    return Reaction(
        read_int(reaction, "spare", 0, _MAX_PAIRS),
        tuple(sorted(standing_by.items())),
        bool(reaction.get("opens", False)),
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


def _probe(item: Mapping[str, Any]) -> Probe | None:
    """Return a probe; None if it is one of a later release, which this host cannot send."""
    check = read_keyword(item, "check")
    if check not in (HealthCheck.ICMP, HealthCheck.L2, HealthCheck.PING):
        return None
    parameters = HealthCheckParameters(
        delay=read_seconds(item, "delay", _MIN_DELAY, _MAX_DELAY),
        timeout=read_seconds(item, "timeout", 0.0, _MAX_DELAY),
        max_retries=read_int(item, "max_retries", 1, _MAX_RETRIES),
        max_retries_down=read_int(item, "max_retries_down", 1, _MAX_RETRIES),
    )
    needed = {HealthCheck.ICMP: ("source", "destination"), HealthCheck.PING: ("destination",)}
    addresses = {
        name: as_address(item.get(name), name) for name in needed.get(HealthCheck(check), ())
    }
    if len({":" in address for address in addresses.values()}) > 1:
        raise ContractError(f"destination: {addresses['destination']} and the source are unlike")
    return Probe(
        pair_id=read_uuid(item, "pair_id"),
        host=read_text(item, "host"),
        ingress_port=read_uuid(item, "ingress_port"),
        ingress_mac=read_mac(item, "ingress_mac"),
        egress_port=read_uuid(item, "egress_port"),
        check=HealthCheck(check),
        function=_function(item),
        parameters=parameters,
        destination_mac=read_mac(item, "destination_mac") if "destination_mac" in item else "",
        **addresses,
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
