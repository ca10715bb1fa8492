"""What a host may know of a chain: no more than it needs (docs/operate/trust.md). Pure.

The less a host knows, the fewer changes of a chain concern it: a host that has no function of a
chain hears nothing of machines elsewhere.
"""

from collections import defaultdict
from dataclasses import replace

from portchain.dataplane.plan import ChainPlan, Hop, Path, Source


class HostViews:
    """A plan, as each of its hosts needs to know it.

    A host with functions of a path recognises the packets of all sources by their addresses, and
    returns frames to them. Any other host only sends packets of its own sources into the path.
    What a hop's functions may return matters where they are.

    :param plan: of all hosts.
    """

    def __init__(self, plan: ChainPlan) -> None:
        self._plan = plan
        self._paths = tuple(map(_PathViews, plan.paths))

    def plan_for(self, host: str) -> ChainPlan:
        """Return the plan that a host gets: without what it has nothing to do with.

        The plans of several hosts share their equal hops: the same objects, not copies.
        """
        visible = replace(
            self._plan,
            paths=tuple(path.for_host(host) for path in self._paths),
            probes=tuple(probe for probe in self._plan.probes if probe.host == host),
        )
        known = visible.hosts
        packet_hosts = tuple(one for one in self._plan.packet_hosts if one in known)
        return replace(visible, packet_hosts=packet_hosts)


class _PathViews:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._sources: defaultdict[str, list[Source]] = defaultdict(list)
        for source in path.sources:
            self._sources[source.host].append(source)
        self._hosts = [frozenset(target.host for target in hop.functions) for hop in path.hops]
        self._sent_to = [_as_sent_to(hop) for hop in path.hops]

    def for_host(self, host: str) -> Path:
        hops = tuple(
            hop if host in hosts else sent_to
            for hop, hosts, sent_to in zip(self._path.hops, self._hosts, self._sent_to, strict=True)
        )
        if any(host in hosts for hosts in self._hosts):
            return replace(self._path, hops=hops)
        return replace(self._path, hops=hops, sources=tuple(self._sources.get(host, ())))


def _as_sent_to(hop: Hop) -> Hop:
    """Return a hop as hosts need to know it that only send to its functions."""
    return replace(
        hop,
        # Not empty: an older host must not take it for a hop that projects do not share.
        accepted_sources=((),) * len(hop.accepted_sources),
        returned_sources=None,
        returned_macs=None,
    )
