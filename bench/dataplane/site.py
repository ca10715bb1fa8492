"""The service functions of a lab, and the chains through them."""

from collections.abc import Sequence

from portchain_lab.lab import Lab
from portchain_lab.progress import Progress
from portchain_lab.waiting import wait_for

from bench.api import Api
from bench.dataplane.cases import Case, Subject, groups_of, host_of, needed_groups
from bench.scene import Function, Site

READY = 120.0

Group = tuple[Function, ...]


class ChainSite(Site):
    """A source and a destination on different hosts, and groups of routing functions."""

    def __init__(self, lab: Lab, api: Api, cases: Sequence[Case], report: Progress) -> None:
        report("source and destination")
        super().__init__(lab, api)
        self.functions: dict[int, list[Group]] = {}
        self._ids: dict[int, list[str]] = {}
        for pairs, count in needed_groups(cases, len(lab.hosts)).items():
            report(f"{count} groups of {pairs}")
            self.functions[pairs] = [self._functions(pairs, number) for number in range(count)]
            self._ids[pairs] = [self._group(group) for group in self.functions[pairs]]
        report("ports")
        lab.vms.wait_active(lab.vms.all())

    def groups(self, case: Case) -> list[Group]:
        """The functions that a case's packets pass, by group."""
        return groups_of(case, self.functions[case.pairs], len(self.lab.hosts))

    def steer(self, subject: Subject) -> None:
        """Create the chain of a subject, and wait until it is ACTIVE if the API shows a status."""
        case = subject.case
        ids = groups_of(case, self._ids[case.pairs], len(self.lab.hosts))
        classifiers = [
            self.classifier(subject.port, protocol, subject.other_port, case.symmetric)["id"]
            for protocol in ("tcp", "udp")
        ]
        chain = self.chain(ids, classifiers, case.symmetric)

        def is_active() -> bool:
            shown = {one["id"]: one.get("status", "ACTIVE") for one in self.api.list("port_chain")}
            return shown[chain["id"]] == "ACTIVE"

        wait_for(is_active, READY, f"the chain of {case} to become ACTIVE")

    def _functions(self, pairs: int, number: int) -> Group:
        hosts = self.lab.hosts
        return tuple(
            self.function(f"f{pairs}-{number}-{pair}", hosts[host_of(number, pair, len(hosts))])
            for pair in range(pairs)
        )

    def _group(self, functions: Group) -> str:
        return str(self.group([self.pair(one)["id"] for one in functions])["id"])
