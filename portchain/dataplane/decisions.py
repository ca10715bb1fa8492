"""Decisions that the flow arbiter keeps from one computation to the next (see ``arbitration``)."""

from collections import Counter, defaultdict

from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.transition import ChainTransition


class Decisions:
    """The decisions of a ``FlowArbiter``, and why it took them.

    ================ =============================================================================
    Attribute        Meaning
    ================ =============================================================================
    ``applied``      chain -> the latest plan that the switch has taken. A chain that fails falls
                     back to it.
    ``_active``      chains whose latest plan has its flows in the ledger -> the revision by which
                     they send packets; None while they are only prepared. A chain that fails
                     leaves it.
    ``_unconfirmed`` chain -> a plan that is in the ledger and moves to ``applied`` as soon as the
                     switch has taken it.
    ``_blockers``    chain -> the chains that have a match which it needs. It is recomputed when
                     one of them changes.
    ``_blocked``     the reverse of ``_blockers``.
    ``_sizes``       chain -> its project, and the number of its entries in the ledger.
    ``_rejections``  chain -> kind of its flows -> the switch's error message.
    ``guarded``      the switch for which the flows that a host needs once are in the ledger.
    ================ =============================================================================
    """

    def __init__(self) -> None:
        self.applied: dict[str, ChainPlan] = {}
        self._active: dict[str, int | None] = {}
        self._unconfirmed: dict[str, ChainPlan] = {}
        self._blockers: defaultdict[str, set[str]] = defaultdict(set)
        self._blocked: defaultdict[str, set[str]] = defaultdict(set)
        self._sizes: dict[str, tuple[str, int]] = {}
        self._sizes_of_projects: Counter[str] = Counter()
        self._rejections: dict[str, dict[str, str]] = {}
        self.guarded: LocalSwitch | None = None

    def is_active(self, chain_id: str) -> bool:
        """Return whether a chain's latest plan has its flows in the ledger."""
        return chain_id in self._active

    def sending_revision(self, chain_id: str) -> int | None:
        """Return the revision by which an active chain sends; None if it does not send."""
        return self._active.get(chain_id)

    def activate(self, chain_id: str, state: ChainTransition) -> None:
        """Note that the flows of a chain's state are in the ledger."""
        plan = state.plan
        if plan is None:
            self.deactivate(chain_id)
            self.applied.pop(chain_id, None)
        elif state.sends_by_latest:
            self._active[chain_id], self._unconfirmed[chain_id] = plan.revision, plan
        else:
            self._active.setdefault(chain_id, None)

    def deactivate(self, chain_id: str) -> None:
        """Note that a chain has failed or is gone."""
        self._active.pop(chain_id, None)
        self._unconfirmed.pop(chain_id, None)

    def mark_applied(self) -> None:
        """Note that the switch has taken all plans in the ledger."""
        self.applied |= self._unconfirmed
        self._unconfirmed.clear()

    def block(self, chain_id: str, by: str) -> None:
        """Note that a chain needs a match that another one has."""
        self._blockers[chain_id].add(by)
        self._blocked[by].add(chain_id)

    def unblock(self, chain_id: str) -> None:
        """Forget by which chains a chain is blocked."""
        for other in self._blockers.pop(chain_id, ()):
            self._blocked[other].discard(chain_id)
            if not self._blocked[other]:
                del self._blocked[other]

    def chains_blocked_by(self, chain_id: str) -> frozenset[str]:
        """Return the chains that a chain blocks."""
        return frozenset(self._blocked.get(chain_id, ()))

    def note_size(self, chain_id: str, project: str, entries: int) -> None:
        """Note how many entries a chain of a project has."""
        before, count = self._sizes.pop(chain_id, (project, 0))
        self._sizes_of_projects[before] -= count
        if not self._sizes_of_projects[before]:
            del self._sizes_of_projects[before]
        if entries:
            self._sizes[chain_id] = project, entries
            self._sizes_of_projects[project] += entries

    def size_of_others(self, chain_id: str, project: str) -> int:
        """Return how many entries the other chains of a project have."""
        own_project, own = self._sizes.get(chain_id, (project, 0))
        return self._sizes_of_projects[project] - (own if own_project == project else 0)

    def note_rejection(self, chain_id: str, kind: str, message: str) -> None:
        """Note that the switch rejects a kind of a chain's flows."""
        self._rejections.setdefault(chain_id, {})[kind] = message

    def rejection(self, chain_id: str, kind: str) -> str | None:
        """Return why the switch rejects a kind of a chain's flows; None if it does not."""
        return self._rejections.get(chain_id, {}).get(kind)

    def forget_rejections(self, chain_id: str) -> None:
        """Offer all flows of a chain to the switch again."""
        self._rejections.pop(chain_id, None)
