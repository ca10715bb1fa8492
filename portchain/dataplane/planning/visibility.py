"""What a host may know of a chain: no more than it needs (docs/operate/trust.md). Pure."""

from dataclasses import replace

from portchain.dataplane.plan import ChainPlan, Path


def plan_for_host(plan: ChainPlan, host: str) -> ChainPlan:
    """Return a plan without the sources and hosts that a host has nothing to do with.

    A host with functions of a path recognises the packets of all sources by their addresses, and
    returns frames to them. Any other host only sends packets of its own sources into the path.
    """
    visible = replace(plan, paths=tuple(_path_for_host(path, host) for path in plan.paths))
    known = visible.hosts
    return replace(visible, packet_hosts=tuple(one for one in plan.packet_hosts if one in known))


def _path_for_host(path: Path, host: str) -> Path:
    if any(target.host == host for hop in path.hops for target in hop.targets):
        return path
    return replace(path, sources=tuple(one for one in path.sources if one.host == host))
