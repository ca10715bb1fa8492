"""What functions may return by an earlier plan, once the server has sent a later one. Pure.

A host that cannot realise a chain's latest plan goes on by an earlier one. Its owner may have
brought that about. Meanwhile addresses become those of others: ports are deleted, and allowed
addresses are taken back. So by an earlier plan, functions return nothing that they may not return
by the latest one (docs/decisions/0084).
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from portchain.dataplane.match import common_networks, parse_network
from portchain.dataplane.plan import ChainPlan, Path, Target


def within_rights(earlier: ChainPlan, latest: ChainPlan) -> ChainPlan:
    """Return an earlier plan, by which functions return what the latest one accepts from any.

    If the latest one does not say what is accepted, because the server is older, all is.
    """
    paths = []
    for path in earlier.paths:
        after = [one for one in latest.paths if one.reverse == path.reverse]
        paths.append(_within(path, after))
    return replace(earlier, paths=tuple(paths))


def _within(path: Path, after: Iterable[Path]) -> Path:
    """Return a path by which functions return what those of other paths may.

    :param after: the same path of the latest plan; empty if it has none.
    """
    hops = [hop for one in after for hop in one.hops if not hop.tap]
    known = [hop.returned_sources for hop in hops]
    present = {each.pair_id: each for hop in hops for each in hop.functions}
    sources = _union(known)
    macs = _union([hop.returned_macs for hop in hops])

    def limited(functions: tuple[Target, ...]) -> tuple[Target, ...]:
        return tuple(
            replace(one, return_macs=present[one.pair_id].return_macs)
            if one.pair_id in present
            else one
            for one in functions
        )

    return replace(
        path,
        hops=tuple(
            hop
            if hop.tap
            else replace(
                hop,
                targets=limited(hop.targets),
                returning=limited(hop.returning),
                returned_sources=_limited(hop.returned_sources, sources, _common),
                returned_macs=_limited(hop.returned_macs, macs, _common_macs),
            )
            for hop in path.hops
        ),
    )


def _union(values: Iterable[tuple[str, ...] | None]) -> frozenset[str] | None:
    """Return all values together; None, which is any, if one of them is."""
    found = list(values)
    return None if None in found else frozenset(each for one in found for each in one or ())


def _limited(
    some: tuple[str, ...] | None,
    others: frozenset[str] | None,
    common: Callable[[tuple[str, ...], frozenset[str]], tuple[str, ...]],
) -> tuple[str, ...] | None:
    """Return what is in both; None is any.

    :param common: returns what is in both if neither is any.
    """
    if some is None or others is None:
        return some if others is None else tuple(sorted(others))
    return common(some, others)


def _common_macs(some: tuple[str, ...], others: frozenset[str]) -> tuple[str, ...]:
    return tuple(one for one in some if one in others)


def _common(some: tuple[str, ...], others: frozenset[str]) -> tuple[str, ...]:
    """Return the CIDRs of the addresses that are in both."""
    kept = [one for one in some if one in others]
    changed = [parse_network(one) for one in some if one not in others]
    if not changed:
        return some
    networks = list(map(parse_network, others))
    wide = [one for one in networks if one.prefixlen < one.max_prefixlen]
    for one in changed:
        is_wide = one.prefixlen < one.max_prefixlen
        kept += map(str, common_networks([one], networks if is_wide else wide))
    return tuple(dict.fromkeys(kept))
