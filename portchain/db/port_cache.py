"""Caches, for chains with many possible sources, what Neutron says of the ports that they may be.

A chain without logical source port has a source at each machine of a network. To read all of them
for each machine that boots costs some 16 rows for each machine. So the rows of a chain's ports are
kept in few rows of ``CachedPorts``, and an event reads the ports again that it is about
(docs/decisions/0074).

The cache is never ahead of the events, nor behind them:

* An event of a port is noted in the transaction that increments the revisions of its chains, and
  forgotten when a plan that contains it is realised. A server that ends in between leaves the note
  to the next one.
* Whoever reads or writes a chain's cache locks the chain first, and reads Neutron's tables after
  that. So nobody writes what is older than what is there.
* It holds for one revision of the chain. What may change more than ports, and servers of the
  previous release, increment the chain's revision without that of the cache (`forget`).

What no event tells of, such as the MTU of a network, the search for drift finds as before: it reads
Neutron's tables.
"""

import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api

from portchain.core import model
from portchain.core.plan_records import HostFacts, PortChanges
from portchain.db import hosts
from portchain.db.candidates import Candidates, OpenChain, load_candidates
from portchain.db.models import CachedPorts, PortChain, PortEvent
from portchain.db.ports import load_ports_by_id

BUCKETS = 16
"""Rows for the ports of a chain. More of them would be shorter to write, and more to read."""

FEWEST = 8
"""With fewer ports, a chain is as cheap without a cache."""

_FIELDS = tuple(one.name for one in fields(model.Port))
_FORMAT = [1, *_FIELDS]
"""Part of the scope: a release with other fields reads the ports again."""

_Entry = list[Any]
"""The values of a port in the order of ``_FIELDS``, and behind them those of its host."""


def note(session: Any, chain_ids: Sequence[str], port_id: str, port_hosts: Iterable[str]) -> None:
    """Note an event of a port for those of some chains that have a cache.

    In the transaction that has incremented their revisions.

    :param port_hosts: where the port is, and where it was before.
    """
    for host in sorted({*port_hosts} - {""}) or [""]:
        values = (PortChain.id, sa.literal(port_id), sa.literal(host))
        cached = sa.select(*values).where(
            PortChain.id.in_(chain_ids),
            PortChain.ports_scope != "",
            PortChain.ports_revision == PortChain.revision,
        )
        session.execute(sa.insert(PortEvent).from_select(["chain_id", "port_id", "host"], cached))


def forget(session: Any, chain_ids: Sequence[str]) -> None:
    """Have all ports of chains read again: something has changed that no event of a port tells."""
    session.execute(
        sa.update(PortChain)
        .where(PortChain.id.in_(chain_ids))
        .values(ports_scope="", ports_revision=-1)
        .execution_options(synchronize_session=False)
    )


@db_api.retry_if_session_inactive()
def forget_events(context: Any, event_ids: Collection[int]) -> None:
    """Forget events that are part of plans which are realised."""
    if event_ids:
        with db_api.CONTEXT_WRITER.using(context) as session:
            session.execute(
                sa.delete(PortEvent)
                .where(PortEvent.id.in_(sorted(event_ids)))
                .execution_options(synchronize_session=False)
            )


@dataclass(frozen=True, slots=True)
class _State:
    """The columns of a locked chain. ``is_valid``: the cache is of the chain's revision."""

    scope: str
    since: int
    revision: int
    is_valid: bool


@dataclass(slots=True)
class _Cached:
    """The cached ports of one chain.

    :param buckets: number -> port id -> entry, as the rows have them.
    :param events: rows about ports of the chain. The buckets may contain their changes already, if
        no plan of these could be realised.
    """

    chain: OpenChain
    buckets: dict[int, dict[str, _Entry]] = field(default_factory=dict)
    events: list[Any] = field(default_factory=list)

    @property
    def doubtful(self) -> dict[str, set[str]]:
        """Port id -> the hosts that events name, for the ports that must be read again.

        Those that Neutron was about to bind, too: no event tells that it did not, and a chain waits
        for such a port.
        """
        found: dict[str, set[str]] = defaultdict(set)
        for event in self.events:
            found[event.port_id].add(event.host)
        for bucket in self.buckets.values():
            for port_id, entry in bucket.items():
                if entry[_BEING_BOUND]:
                    found.setdefault(port_id, set())
        return dict(found)

    def entry(self, port_id: str) -> _Entry | None:
        """Return what is cached of a port; None if nothing is."""
        return self.buckets.get(_bucket(port_id), {}).get(port_id)

    def entries(self) -> Iterator[_Entry]:
        """Yield what is cached of all ports."""
        for bucket in self.buckets.values():
            yield from bucket.values()


class PortCache:
    """The cached ports of some chains, which it locks.

    In the caller's transaction, which has read nothing before.

    :param changes: chain id -> what has changed, for the chains that have a cache. Known when the
        candidates have been loaded.
    """

    def __init__(self, session: Any, chain_ids: Iterable[str]) -> None:
        """Lock the chains."""
        self._session = session
        chain, ids = PortChain, sorted(chain_ids)
        columns = (chain.ports_scope, chain.ports_since, chain.ports_revision, chain.revision)
        query = sa.select(chain.id, *columns).where(chain.id.in_(ids)).order_by(chain.id)
        rows = self._session.execute(query.with_for_update())
        self._states = {
            row.id: _State(
                row.ports_scope,
                row.ports_since,
                row.revision,
                bool(row.ports_scope) and row.ports_revision == row.revision,
            )
            for row in rows
        }
        self.changes: dict[str, PortChanges] = {}

    def load_candidates(
        self, chains: Sequence[OpenChain], named: Mapping[str, model.Port]
    ) -> Candidates:
        """Return the ports for which the open classifiers of chains could stand.

        :param chains: in no service graph, and among those that are locked.
        :param named: port id -> port, of all ports that chains name.
        """
        scopes = {one.chain.id: _scope(one) for one in chains}
        known = [one for one in chains if self._is_known(one, scopes[one.chain.id])]
        lacking = [one for one in chains if one not in known]
        read = self._renewed(self._read(known), named) if known else []
        if lacking:
            found = load_candidates(self._session, lacking)
            read.append(found.ports)
            self._write_anew([(one, scopes[one.chain.id]) for one in lacking], found, named)
        # What is known of named ports is not cached.
        ends = (port for port in named.values() if any(one.may_be_end(port) for one in chains))
        read.append({port.id: port for port in ends})
        together = Candidates({port_id: port for each in read for port_id, port in each.items()})
        if _agree(read) and all(map(together.is_decided_by_port, known)):
            return together
        # An event was lost, or which ports count depends on other ports: what the events are about
        # is not enough.
        self._give_up([one.chain.id for one in known])
        return load_candidates(self._session, chains)

    def forget(self, chain_ids: Iterable[str]) -> None:
        """Forget the ports of those of some chains that have a cache."""
        self._give_up([one for one in chain_ids if one in self._states and self._states[one].scope])

    def _give_up(self, chain_ids: Sequence[str]) -> None:
        for chain_id in chain_ids:
            self.changes.pop(chain_id, None)
        if chain_ids:
            forget(self._session, chain_ids)

    def _is_known(self, one: OpenChain, scope: str) -> bool:
        state = self._states.get(one.chain.id)
        return state is not None and state.is_valid and state.scope == scope

    def _read(self, chains: Sequence[OpenChain]) -> list[_Cached]:
        """Return the cached ports of chains, and the events: two queries."""
        found = {one.chain.id: _Cached(one) for one in chains}
        row, event, ids = CachedPorts, PortEvent, list(found)
        cached = sa.select(row.chain_id, row.bucket, row.ports).where(row.chain_id.in_(ids))
        for chain_id, bucket, ports in self._session.execute(cached):
            found[chain_id].buckets[bucket] = ports
        columns = (event.id, event.chain_id, event.port_id, event.host)
        events = sa.select(*columns).where(event.chain_id.in_(ids)).order_by(event.id)
        for each in self._session.execute(events):
            found[each.chain_id].events.append(each)
        return list(found.values())

    def _renewed(
        self, cached: Sequence[_Cached], named: Mapping[str, model.Port]
    ) -> list[Mapping[str, model.Port]]:
        """Read the ports again that events are about, and their hosts.

        :returns: the cached ports of each chain by id.
        """
        asked = {port_id for one in cached for port_id in one.doubtful}
        present = load_ports_by_id(self._session, asked)
        entries = (one.entry(port_id) for one in cached for port_id in one.doubtful)
        where = {_host(entry) for entry in entries if entry}
        where |= {event.host for one in cached for event in one.events}
        where |= {port.host for port in present.values()}
        where -= {""}
        facts = dict.fromkeys(where, HostFacts()) | hosts.facts_of(self._session, where)
        found: list[Mapping[str, model.Port]] = []
        for one in cached:
            chain_id = one.chain.chain.id
            touched, further = self._renew(one, present, facts)
            known = {_host(entry): _host_facts(entry) for entry in one.entries() if _host(entry)}
            found.append({port.id: port for port in map(_port, one.entries())})
            ids = (*(event.id for event in one.events), *further)
            basis = _basis(self._states[chain_id].since, one.chain, named)
            self.changes[chain_id] = PortChanges(basis, touched, known | facts, ids)
        return found

    def _renew(
        self, one: _Cached, present: Mapping[str, model.Port], facts: Mapping[str, HostFacts]
    ) -> tuple[frozenset[str], list[int]]:
        """Bring the cached ports of a chain up to date.

        :param present: port id -> port, of the doubtful ports that exist.
        :param facts: what is known now of the hosts where they are or were.
        :returns: these hosts, and the ids of further events.
        """
        noted = one.doubtful
        changed = _with_facts(one, facts)
        further: list[int] = []
        for port_id, where in noted.items():
            port, before = present.get(port_id), one.entry(port_id)
            after = None
            if port is not None and one.chain.may_be_end(port) and _is_unnamed(one.chain, port):
                after = _entry(port, facts.get(port.host))
            places = {_host(entry) for entry in (before, after) if entry} - {""}
            if before != after:
                # The cache does not say any longer where the port was, and no event does.
                for host in sorted(places - where):
                    further.append(self._note_again(one.chain.chain.id, port_id, host))
            where.update(places if port is None else {port.host, *places})
            if before == after:
                continue
            bucket = one.buckets.setdefault(_bucket(port_id), {})
            bucket.pop(port_id, None)
            if after is not None:
                bucket[port_id] = after
            changed.add(_bucket(port_id))
        self._write(one, changed)
        return frozenset().union(*noted.values()) - {""}, further

    def _note_again(self, chain_id: str, port_id: str, host: str) -> int:
        values = {"chain_id": chain_id, "port_id": port_id, "host": host}
        added = self._session.execute(sa.insert(PortEvent.__table__).values(values))
        return int(added.inserted_primary_key[0])

    def _write(self, one: _Cached, changed: Collection[int]) -> None:
        """Write the rows of some buckets."""
        chain_id, row = one.chain.chain.id, CachedPorts
        if changed:
            is_row = sa.and_(row.chain_id == chain_id, row.bucket.in_(sorted(changed)))
            self._session.execute(sa.delete(row).where(is_row).execution_options(**_UNSYNCED))
            self._session.execute(
                sa.insert(row),
                [
                    {"chain_id": chain_id, "bucket": bucket, "ports": one.buckets[bucket]}
                    for bucket in sorted(changed)
                ],
            )

    def _write_anew(
        self,
        chains: Sequence[tuple[OpenChain, str]],
        found: Candidates,
        named: Mapping[str, model.Port],
    ) -> None:
        """Cache the ports of chains, of those that have enough.

        :param chains: each with the scope of its ports.
        """
        ports = {
            one.chain.id: [
                port
                for port in found.ports.values()
                if one.may_be_end(port) and _is_unnamed(one, port)
            ]
            for one, _ in chains
            if found.is_decided_by_port(one)
        }
        own = {chain_id: each for chain_id, each in ports.items() if len(each) >= FEWEST}
        self.forget([one.chain.id for one, _ in chains if one.chain.id not in own])
        if not own:
            return
        where = {port.host for each in own.values() for port in each} - {""}
        facts = hosts.facts_of(self._session, where)
        for table in (CachedPorts, PortEvent):
            gone = sa.delete(table).where(table.chain_id.in_(sorted(own)))
            self._session.execute(gone.execution_options(**_UNSYNCED))
        for one, scope in chains:
            if one.chain.id not in own:
                continue
            cached = _Cached(one)
            for port in own[one.chain.id]:
                bucket = cached.buckets.setdefault(_bucket(port.id), {})
                bucket[port.id] = _entry(port, facts.get(port.host))
            self._write(cached, cached.buckets.keys())
            self._begin(one.chain.id, scope)
            revision = self._states[one.chain.id].revision
            self.changes[one.chain.id] = PortChanges(_basis(revision, one, named))

    def _begin(self, chain_id: str, scope: str) -> None:
        """Record that a chain's ports are cached as they are now, and that no plan says so yet."""
        revision = self._states[chain_id].revision
        self._session.execute(
            sa.update(PortChain)
            .where(PortChain.id == chain_id)
            .values(
                ports_scope=scope, ports_since=revision, ports_revision=revision, common_part=""
            )
            .execution_options(**_UNSYNCED)
        )


_UNSYNCED: Any = {"synchronize_session": False}


def _with_facts(one: _Cached, facts: Mapping[str, HostFacts]) -> set[int]:
    """Replace what is cached of some hosts; return the numbers of the buckets that changed.

    All ports of a host must say the same of it.
    """
    latest = {host: _host_values(each) for host, each in facts.items()}
    changed = set()
    for number, bucket in one.buckets.items():
        for entry in bucket.values():
            values = latest.get(_host(entry), entry[len(_FIELDS) :])
            if values != entry[len(_FIELDS) :]:
                entry[len(_FIELDS) :] = values
                changed.add(number)
    return changed


def _agree(read: Iterable[Mapping[str, model.Port]]) -> bool:
    """Tell whether several chains know the same of ports, as far as plans depend on it."""
    known: dict[str, model.Port] = {}
    for each in read:
        for port_id, port in each.items():
            other = known.setdefault(port_id, port)
            if other != port and replace(other, plugged=port.plugged) != port:
                return False
    return True


def _is_unnamed(one: OpenChain, port: model.Port) -> bool:
    return port.id not in one.chain.port_ids


def _bucket(port_id: str) -> int:
    return zlib.crc32(port_id.encode()) % BUCKETS


def _scope(one: OpenChain) -> str:
    """Return a digest of what decides for which ports a chain's cache is."""
    prefixes = sorted((ethertype, prefix or "") for ethertype, prefix in one.prefixes)
    networks = [sorted(one.networks), sorted(one.source_networks)]
    values = [_FORMAT, one.chain.project_id, networks, prefixes, sorted(one.chain.port_ids)]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _basis(since: int, one: OpenChain, named: Mapping[str, model.Port]) -> str:
    """Return the basis of plans; see `PortChanges`.

    Where ports were that a chain names is not cached, and an event of one may have been lost.

    :param since: the revision of the chain for which its ports were cached.
    """
    where = sorted((each, named[each].host) for each in one.chain.port_ids if each in named)
    return f"{since} {hashlib.sha256(json.dumps(where).encode()).hexdigest()[:16]}"


def _entry(port: model.Port, facts: HostFacts | None) -> _Entry:
    """Return a port as JSON has it, without tuples, to compare it with what was read."""
    values = [getattr(port, name) for name in _FIELDS]
    values[_SEGMENT] = None if port.segment is None else list(astuple(port.segment))
    values[_PAIRS] = [[pair.prefix, pair.mac_address] for pair in port.address_pairs]
    plain = [list(one) if isinstance(one, tuple) else one for one in values]
    return plain + _host_values(facts or HostFacts())


def _host_values(facts: HostFacts) -> list[Any]:
    return [facts.address, sorted(facts.tunnel_types), facts.minor_version]


_SEGMENT, _PAIRS, _ROLE, _HOST, _BEING_BOUND = map(
    _FIELDS.index, ("segment", "address_pairs", "role", "host", "being_bound")
)
_TUPLES = [_FIELDS.index(name) for name in ("fixed_ips", "subnets", "network_subnets", "gateways")]


def _port(entry: _Entry) -> model.Port:
    values = entry[: len(_FIELDS)]
    for index in _TUPLES:
        values[index] = tuple(values[index])
    if values[_SEGMENT] is not None:
        values[_SEGMENT] = model.Segment(*values[_SEGMENT])
    values[_PAIRS] = tuple(model.AddressPair(*pair) for pair in values[_PAIRS])
    values[_ROLE] = model.PortRole(values[_ROLE])
    return model.Port(*values)


def _host(entry: _Entry) -> str:
    return str(entry[_HOST])


def _host_facts(entry: _Entry) -> HostFacts:
    address, types, version = entry[len(_FIELDS) :]
    return HostFacts(address, frozenset(types), version)
