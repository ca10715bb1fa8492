"""How many flows a chain needs at least, so that the server can refuse a chain that is too large.

A host counts what it compiles. The server does not know a host's firewall and ports, so it counts
only what every host needs: flows that recognise the chain's packets at sources and at functions.
"""

import math
from collections import Counter
from collections.abc import Iterable

from portchain.dataplane.conjunction import MOST_MULTIPLIED
from portchain.dataplane.match import HeaderMatch, returned_matches, sent_matches
from portchain.dataplane.plan import ChainPlan, Path


def least_flows(plan: ChainPlan) -> Counter[str]:
    """Return host -> a number of flows that the chain needs there at least."""
    found: Counter[str] = Counter()
    for path in plan.paths:
        found += _at_sources(path) + _at_functions(path)
    return found


def _at_sources(path: Path) -> Counter[str]:
    sources = Counter((source.host, source.classifier) for source in path.sources)
    found: Counter[str] = Counter()
    for (host, classifier), count in sources.items():
        matches = (match for _, match in sent_matches(path.classifiers[classifier]))
        found[host] += _flows(matches, count)
    return found


def _at_functions(path: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for index, hop in enumerate(path.hops):
        needed = sum(
            _flows((match for _, match in returned_matches(header)), 1)
            for header in path.headers_after(index)
        )
        for target in hop.functions:
            if not hop.tap and not target.function.encapsulation:
                found[target.host] += needed
    return found


def _flows(matches: Iterable[HeaderMatch], sources: int) -> int:
    total = 0
    for match in matches:
        values = [len(choice.words) for choice in match.ports]
        combinations = math.prod(values)
        if combinations <= MOST_MULTIPLIED:
            total += sources * combinations
        else:
            total += sources + sum(count for count in values if count > 1) + 1
    return total
