"""The wire contract between the Neutron server and the hosts: topics, versions, and messages.

A message consists of dictionaries, lists, text and numbers that JSON can express. ``encode_*``
turns values into a message; ``decode_*`` checks a message and turns it back into values.
Everything received is checked before it is used, because flows contain these values.

The server sends ``apply`` to a host, and calls ``counters``, ``trace`` and ``ping``. A host calls
``sync``, ``report``, ``report_health`` and ``report_peers`` of the server, and sends
``pair_health`` to other hosts. On a host, ``portchain-doctor`` calls ``state`` of the host's agent
and ``plans`` of the server.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from portchain.core.counters import Count, Counter, CounterKind
from portchain.core.model import HostReport, PairHealth, PeerHealth
from portchain.dataplane.plan import ChainPlan
from portchain.rpc import parts
from portchain.rpc.fields import (
    ContractError,
    as_address,
    as_mapping,
    read_each,
    read_int,
    read_list,
    read_text,
    read_uuid,
)
from portchain.rpc.plan_codec import PlanSplitter, SplitPlan, decode_plan, encode_plan

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
# 1.15 "parts": long lists of a plan are sent in parts, without those that the host has got with the
#      plan before (docs/decisions/0065). A host that lacks one asks for changes. Older hosts, and
#      those of which the server does not know the version, get whole plans.
# 1.16 "probes" of a chain: the health checks of the functions on the host; "watched": the hosts
#      whose functions are checked. "report_health" and "report_peers" to the server, "ping" to
#      hosts. An older agent checks nothing: its functions count as working. "returning" and
#      "passed" of a hop: functions that have failed, and a group that fails open. An older agent
#      takes nothing from such functions, and drops what should pass such a group.
# 1.17 "counters": the server asks a host what it has counted of chains, and an older host answers
#      that it has no such method. "id" of a classifier: an older agent ignores it, and one whose
#      server is older does not count what classifiers match.
# 1.18 "trace" to hosts: what would happen to a packet (rpc.trace_codec). An older agent answers
#      that it has no such method.
# 1.19 For portchain-doctor: "state" of hosts (rpc.state_codec), and "plans" of the server, which
#      records nothing. An older host or server answers that it has no such method.
# 1.20 "reaction" of a hop, and "pair_health" from host to host: what hosts do when they hear that a
#      function has failed, before the server has planned again. An older agent says that it has no
#      such method, and goes by the server's next plan, as does one whose server is older.
# 1.21 "watch_packet", "send_packet" and "packet_sightings" to hosts: live traces (rpc.live_codec).
#      An older agent answers that it has no such method.
# 1.22 "destination_mac" of a probe. Without it, a host tells functions that ask for the destination
#      that it is at a MAC address of nobody's.
# 1.23 "learned" among the kinds of counters: flows, not packets. An older server leaves it out, and
#      an older host does not say it.
# 1.24 "packed_parts" instead of "parts": compressed, because a part has no greatest size. Older
#      hosts get "parts".
# 1.25 "tunnel_metadata" of a trace's packet: which logical ports of OVN it is from and for. A host
#      of OVN that does not get it says that it cannot follow the packet.
# 1.26 "packed_chains" instead of "chains": compressed, because chains that share groups have much
#      in common. Older hosts get "chains".
# 1.27 "ping" of a host that a portchain-controller programs answers False if its switch does not
#      answer. An older server takes that host for alive, as it does with an older controller.
VERSION = "1.0"
MINOR_VERSION = 27
PACKETS_SINCE = 13
"""The first minor version whose hosts accept packets in MPLS."""
PARTS_SINCE = 15
"""The first minor version whose hosts put plans together from parts."""
PACKED_PARTS_SINCE = 24
"""The first minor version whose hosts read compressed parts."""
PACKED_CHAINS_SINCE = 26
"""The first minor version whose hosts read compressed chains."""


def version_of_host(accepts_packets: bool) -> int:
    """Return the minor version that a host of this release says.

    :param accepts_packets: whether its datapath can take packets in MPLS from other hosts.
    """
    return MINOR_VERSION if accepts_packets else PACKETS_SINCE - 1


_MAX_MINOR_VERSION = 65535
MOST_CHAINS_COUNTED = 1000
"""The most chains that a server asks about in one call."""
_OWN_VERSION = "00000000-0000-0000-0000-000000000000"
_UNREADABLE = (
    "this host cannot read the plan: {}. Upgrade the host if the server has a later release"
)


@dataclass(frozen=True, slots=True)
class PlanUpdate:
    """The changes of the chains of one host.

    :param chains: plans that replace the plans that the host has of the same chains.
    :param removed: chain id -> revision from which on the host has no part in the chain.
    :param prepare: ids of the chains in ``chains`` that the host must prepare for: it must be able
        to receive packets by the new plan, but not send any yet.
    :param switch: chain id -> revision that all hosts are prepared for.
    :param parts_sent: chain id -> the parts of lists that the host has got with the plan before.
        None for hosts that take whole plans only. Not part of the message.
    :param packs_parts: whether to compress the parts. Not part of the message.
    :param packs_chains: whether to compress the chains. Not part of the message.
    :param split_plans: chain id -> the plan in ``chains``, if it has been split already.
    :param unreadable: reports about plans that the receiver cannot read; never sent.
    :param incomplete: chains of whose plans the receiver lacks parts; never sent.
    """

    chains: tuple[ChainPlan, ...] = ()
    removed: tuple[tuple[str, int], ...] = ()
    prepare: frozenset[str] = frozenset()
    switch: tuple[tuple[str, int], ...] = ()
    parts_sent: Mapping[str, frozenset[str]] | None = field(default=None, compare=False)
    packs_parts: bool = field(default=False, compare=False)
    packs_chains: bool = field(default=False, compare=False)
    split_plans: Mapping[str, SplitPlan] = field(default_factory=dict, compare=False, repr=False)
    unreadable: tuple[HostReport, ...] = ()
    incomplete: tuple[str, ...] = ()


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
    message = {
        "removed": _encode_revisions(update.removed),
        "prepare": sorted(update.prepare),
        "switch": _encode_revisions(update.switch),
    }
    if update.parts_sent is None:
        return {"chains": [encode_plan(chain) for chain in update.chains], **message}
    splitter = PlanSplitter()
    chains = [update.split_plans.get(one.id) or splitter.split(one) for one in update.chains]
    lacking: dict[str, parts.Part] = {}
    for chain in chains:
        sent = update.parts_sent.get(chain.item["id"], ())
        lacking |= {
            name: part
            for name, part in chain.parts.items()
            if name not in sent or parts.is_small(part)
        }
    sent_parts = parts.pack(lacking) if update.packs_parts else {"parts": lacking}
    items = [chain.item for chain in chains]
    if update.packs_chains and items:
        return {"packed_chains": parts.pack_items(items), **sent_parts, **message}
    return {"chains": items, **sent_parts, **message}


def _encode_revisions(revisions: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"id": chain_id, "revision": revision} for chain_id, revision in revisions]


def decode_update(
    message: Any, plans_of: Callable[[str], Iterable[ChainPlan]] = lambda _: ()
) -> PlanUpdate:
    """Return the update in a message. A plan that cannot be read becomes a report about it.

    :param plans_of: returns the plans that the receiver has of a chain. A plan whose parts are
        neither in these nor in the message is left out.
    :raises ContractError: the message is damaged so much that the chains' ids cannot be read.
    """
    body = as_mapping(message, "update")
    sent = parts.read_parts(body)
    if packed := read_list(body, "packed_chains"):
        body = {**body, "chains": parts.unpack_items(packed, "packed_chains")}
    read = read_each(body, "chains", lambda item: _read_chain(item, sent, plans_of))
    return PlanUpdate(
        chains=tuple(chain for chain in read if isinstance(chain, ChainPlan)),
        unreadable=tuple(report for report in read if isinstance(report, HostReport)),
        incomplete=tuple(chain_id for chain_id in read if isinstance(chain_id, str)),
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


def encode_health(health: Iterable[PairHealth]) -> list[dict[str, Any]]:
    """Return what a host has found out about functions as a message for ``decode_health``."""
    return [asdict(one) for one in health]


def decode_health(message: Any) -> tuple[PairHealth, ...]:
    """Return what a host has found out about functions.

    :raises ContractError: a value is missing or has a wrong type.
    """
    return read_each(
        {"health": message},
        "health",
        lambda item: PairHealth(
            read_uuid(item, "pair_id"), bool(item.get("is_up", False)), read_text(item, "reason")
        ),
    )


def encode_peers(peers: Iterable[PeerHealth]) -> list[dict[str, Any]]:
    """Return which hosts a host reaches as a message for ``decode_peers``."""
    return [asdict(one) for one in peers]


def decode_peers(message: Any) -> tuple[PeerHealth, ...]:
    """Return which hosts a host reaches.

    :raises ContractError: a value is missing or has a wrong type.
    """
    return read_each(
        {"peers": message},
        "peers",
        lambda item: PeerHealth(
            as_address(item.get("address"), "address"), bool(item.get("is_up", False))
        ),
    )


def encode_counts(counts: Mapping[Counter, Count]) -> list[dict[str, Any]]:
    """Return what a host has counted as a message for ``decode_counts``."""
    return [{**counter._asdict(), **count._asdict()} for counter, count in counts.items()]


def decode_counts(message: Any, chain_ids: Collection[str]) -> dict[Counter, Count]:
    """Return what a host has counted. Kinds of counters that later releases add are left out.

    :param chain_ids: the chains that the host was asked about; others are left out.
    :raises ContractError: a value is missing or has a wrong type.
    """
    found = read_each({"counts": message}, "counts", _count)
    known = set(CounterKind)
    return {
        counter: count
        for counter, count in found
        if counter.chain_id in chain_ids and counter.kind in known
    }


def _count(item: Mapping[str, Any]) -> tuple[Counter, Count]:
    counter = Counter(
        read_uuid(item, "chain_id"),
        bool(item.get("reverse", False)),
        read_text(item, "kind"),
        read_text(item, "subject"),
    )
    return counter, Count(read_int(item, "packets", 0), read_int(item, "bytes", 0))


def decode_chain_ids(message: Any) -> tuple[str, ...]:
    """Return the ids of the chains that a server asks about.

    :raises ContractError: the message is anything else, or has too many.
    """
    items = read_list({"chain_ids": message}, "chain_ids")
    if len(items) > MOST_CHAINS_COUNTED:
        raise ContractError(f"chain_ids: {len(items)} are more than {MOST_CHAINS_COUNTED}")
    return tuple(read_uuid({"id": item}, "id") for item in items)


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


def _read_chain(
    item: Mapping[str, Any],
    sent: Mapping[str, parts.Part],
    plans_of: Callable[[str], Iterable[ChainPlan]],
) -> ChainPlan | HostReport | str:
    """Return a plan, a report that it cannot be read, or its id if parts of it are missing."""
    chain_id, revision = read_uuid(item, "id"), read_int(item, "revision", 0)
    present: dict[str, parts.Part] = {}

    def find(name: str) -> parts.Part | None:
        if name not in sent and not present:
            for plan in plans_of(chain_id):
                present.update(PlanSplitter().split(plan).parts)
        return sent.get(name) or present.get(name)

    try:
        return decode_plan(as_mapping(parts.join(item, find), "chains"))
    except parts.MissingPartError:
        return chain_id
    except ContractError as exc:
        return HostReport(chain_id, revision, error=_UNREADABLE.format(exc))
