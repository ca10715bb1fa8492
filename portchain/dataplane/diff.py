"""From the rules a switch should have and the ones it has to the operations that make it so, in a safe order."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from portchain.dataplane.flow import Bridge, Flow, FlowKey


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes of one bridge that take effect together, as one OpenFlow bundle.

    :param put: rules to add; one with the key of an existing rule replaces it without a gap.
    :param remove: keys of rules to delete.
    """

    bridge: Bridge
    put: tuple[Flow, ...] = ()
    remove: tuple[FlowKey, ...] = ()


def diff(desired: Iterable[Flow], actual: Iterable[Flow]) -> list[Batch]:
    """Compute what turns the actual rules into the desired ones.

    :param actual: the rules in the switch that carry our cookie.
    :returns: batches in the order in which to apply them; none if nothing differs.
    """
    wanted = {flow.key: flow for flow in desired}
    present = {flow.key: flow for flow in actual}
    put = [flow for key, flow in wanted.items() if present.get(key) != flow]
    remove = [key for key in present if key not in wanted]
    return order(put, remove)


def order(put: Collection[Flow], remove: Collection[FlowKey]) -> list[Batch]:
    """Arrange changes make-before-break: the way between hosts first, then what sends onto it, then the clean-up.

    A bundle is atomic on one bridge only, so the bridges towards other hosts get their new rules before and lose their old
    ones after br-int changes.
    """
    added: defaultdict[Bridge, list[Flow]] = defaultdict(list)
    gone: defaultdict[Bridge, list[FlowKey]] = defaultdict(list)
    for flow in put:
        added[flow.key.bridge].append(flow)
    for key in remove:
        gone[key.bridge].append(key)
    outer = sorted((added.keys() | gone.keys()) - {Bridge.INT}, key=str)
    batches = (
        *(Batch(bridge, put=tuple(added[bridge])) for bridge in outer),
        Batch(Bridge.INT, put=tuple(added[Bridge.INT]), remove=tuple(gone[Bridge.INT])),
        *(Batch(bridge, remove=tuple(gone[bridge])) for bridge in outer),
    )
    return [batch for batch in batches if batch.put or batch.remove]


class FlowLedger:
    """The desired rules of a host and who wants them: rules may be shared, and go when the last owner goes.

    Replacing one owner's rules costs what that owner has, whatever else is in the ledger.
    """

    def __init__(self) -> None:
        self._flows: dict[FlowKey, Flow] = {}
        self._owners: dict[FlowKey, set[str]] = {}
        self._of_owner: dict[str, dict[FlowKey, Flow]] = {}

    @property
    def flows(self) -> Collection[Flow]:
        """All desired rules."""
        return self._flows.values()

    @property
    def owners(self) -> frozenset[str]:
        """Those who want at least one rule."""
        return frozenset(self._of_owner)

    def replace(self, wanted: Mapping[str, Iterable[Flow]]) -> list[Batch]:
        """Set the rules of some owners.

        :param wanted: owner -> all rules it now wants; none to forget the owner.
        :returns: the changes that follow from it, in the order in which to apply them.
        :raises FlowConflictError: two owners, or one with itself, want rules with one key and different actions; nothing is
            changed then.
        """
        flows_of = {owner: _by_key(owner, flows) for owner, flows in wanted.items()}
        self._refuse_conflicts(flows_of)
        touched: dict[FlowKey, Flow | None] = {}
        for owner, flows in flows_of.items():
            for key in self._of_owner.get(owner, {}).keys() | flows.keys():
                touched.setdefault(key, self._flows.get(key))
        for owner, flows in flows_of.items():
            self._set_owner(owner, flows)
        put = [
            self._flows[key]
            for key, before in touched.items()
            if key in self._flows and self._flows[key] != before
        ]
        remove = [
            key for key, before in touched.items() if before is not None and key not in self._flows
        ]
        return order(put, remove)

    def _refuse_conflicts(self, flows_of: Mapping[str, Mapping[FlowKey, Flow]]) -> None:
        new: dict[FlowKey, tuple[str, Flow]] = {}
        for owner, flows in flows_of.items():
            for key, flow in flows.items():
                rival, present = new.setdefault(key, (owner, flow))
                if present != flow:
                    raise FlowConflictError(owner, rival, flow)
                staying = self._owners.get(key, set()) - flows_of.keys()
                if staying and self._flows[key] != flow:
                    raise FlowConflictError(owner, min(staying), flow)

    def _set_owner(self, owner: str, flows: dict[FlowKey, Flow]) -> None:
        for key in self._of_owner.pop(owner, {}).keys() - flows.keys():
            self._owners[key].discard(owner)
            if not self._owners[key]:
                del self._owners[key], self._flows[key]
        for key, flow in flows.items():
            self._flows[key] = flow
            self._owners.setdefault(key, set()).add(owner)
        if flows:
            self._of_owner[owner] = flows


def _by_key(owner: str, flows: Iterable[Flow]) -> dict[FlowKey, Flow]:
    found: dict[FlowKey, Flow] = {}
    for flow in flows:
        if found.setdefault(flow.key, flow) != flow:
            raise FlowConflictError(owner, owner, flow)
    return found


class FlowConflictError(ValueError):
    """Two owners want the same match at the same place to do different things.

    :ivar owner: who came second. ``rival``: who holds the rule.
    """

    def __init__(self, owner: str, rival: str, flow: Flow) -> None:
        who = f"{owner} contradicts itself" if owner == rival else f"{owner} and {rival} disagree"
        super().__init__(f"{who} about {flow}")
        self.owner = owner
        self.rival = rival
