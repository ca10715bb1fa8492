"""Plans for hosts and their reports, in every order in which they can arrive."""

from neutron_lib.db import api as db_api

from portchain.core.model import HostReport
from portchain.core.plan_records import HostChanges, PlanRecord
from portchain.db import realisation, sent_plans, writer
from portchain.db.models import ChainHost
from portchain.drivers.status import DatabaseStatusReporter
from tests.unit.api.base import ApiTestCase

NOBODY = "00000000-0000-0000-0000-000000000000"


class RealisationTest(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.id = self.create(
            "port_chain", port_pair_groups=[self.create("port_pair_group")["id"]]
        )["id"]

    def begin(self, revision: int, *hosts: str, down: str = "") -> bool:
        return DatabaseStatusReporter().record_plan(
            self.context, self.id, revision, hosts, down_reason=down
        )

    def confirm(self, host: str, revision: int, error: str = "", missing: str = "") -> None:
        report = HostReport(self.id, revision, error, missing)
        realisation.record_reports(self.context, host, [report])

    def prepared(self, host: str, revision: int) -> set[str]:
        """Report that a host is prepared, and return the hosts that can switch."""
        report = HostReport(self.id, revision, prepared=True)
        return set(realisation.record_reports(self.context, host, [report]))

    def status(self) -> tuple[str, str]:
        chain = self.show("port_chain", self.id)
        return chain["status"], chain["status_reason"]

    def test_active_when_every_host_has_confirmed(self) -> None:
        assert self.begin(1, "h1", "h2")
        assert self.status() == ("BUILD", "waiting for h1, h2")
        self.confirm("h1", 1)
        assert self.status() == ("BUILD", "waiting for h2")
        self.confirm("h2", 1)
        assert self.status() == ("ACTIVE", "")

    def test_unconfirmed(self) -> None:
        def waiting() -> list[tuple[str, int, str]]:
            found = realisation.unconfirmed(self.context, {"h1", "h2"})
            return sorted((item.host, item.revision, item.missing) for item in found)

        self.begin(1, "h1", "h2", "h3")
        assert waiting() == [("h1", 1, ""), ("h2", 1, "")]
        self.confirm("h1", 1)
        self.confirm("h2", 1, missing="a port")
        assert waiting() == [("h2", 1, "a port")]
        self.confirm("h2", 1)
        assert waiting() == []
        self.confirm("h1", 1, missing="a port")
        assert waiting() == [("h1", 1, "a port")], "a port that was plugged in is gone"
        self.begin(2, "h2")
        assert waiting() == [("h2", 2, "")]

    def test_a_new_revision_has_to_be_confirmed_again(self) -> None:
        self.begin(1, "h1")
        self.confirm("h1", 1)
        self.begin(2, "h1", "h2")
        self.confirm("h2", 2)
        self.confirm("h1", 1)
        assert self.status() == ("BUILD", "waiting for h1")
        self.confirm("h1", 2)
        assert self.status() == ("ACTIVE", "")

    def test_hosts_switch_when_the_last_one_is_prepared(self) -> None:
        self.begin(1, "h1", "h2", "h3")
        self.confirm("h3", 1)
        assert self.prepared("h1", 1) == set()
        assert realisation.ready_on(self.context, "h1") == []
        assert self.prepared("h2", 1) == {"h1", "h2"}
        assert self.status() == ("BUILD", "waiting for h1, h2")
        assert realisation.ready_on(self.context, "h1") == [(self.id, 1)]
        assert realisation.ready_on(self.context, "h3") == []
        assert self.prepared("h1", 1) == {"h1"}, "a repeated report gets the same answer"
        self.confirm("h1", 1)
        self.confirm("h2", 1)
        assert self.status() == ("ACTIVE", "")
        assert realisation.ready_on(self.context, "h1") == []

    def test_prepared_for_an_older_revision_does_not_count(self) -> None:
        self.begin(1, "h1", "h2")
        self.prepared("h1", 1)
        self.begin(2, "h1", "h2")
        assert self.prepared("h2", 1) == set()
        assert self.prepared("h2", 2) == set()
        assert self.prepared("h1", 2) == {"h1", "h2"}

    def test_host_with_an_error_is_not_prepared(self) -> None:
        self.begin(1, "h1", "h2")
        self.prepared("h1", 1)
        for trouble in ({"error": "no bridge"}, {"missing": "port p1"}):
            report = HostReport(self.id, 1, prepared=True, **trouble)
            assert realisation.record_reports(self.context, "h2", [report]) == {}
        assert realisation.ready_on(self.context, "h1") == []

    def test_older_plans_and_reports_are_ignored(self) -> None:
        assert self.begin(3, "h3")
        assert not self.begin(2, "h2", down="old")
        assert realisation.hosts_of(self.context, [self.id]) == {self.id: frozenset({"h3"})}
        self.confirm("h3", 3)
        self.confirm("h3", 2, error="old")
        assert self.status() == ("ACTIVE", "")

    def test_reports_beyond_what_was_sent_are_ignored(self) -> None:
        self.begin(1, "h1", "h2")
        for revision in (2, 2**31 - 1, 2**62):
            self.confirm("h1", revision)
            assert self.prepared("h2", revision) == set()
            self.confirm("h2", revision, error="never sent")
        assert self.status() == ("BUILD", "waiting for h1, h2")
        self.confirm("h1", 1, error="no bridge")
        assert self.status() == ("ERROR", "h1: no bridge"), "a later report counts"

    def test_a_revision_that_a_host_asked_for_counts_before_it_is_recorded(self) -> None:
        self.begin(1, "h1")
        with db_api.CONTEXT_WRITER.using(self.context):
            writer.increment_revision(self.context.session, [self.id])
        self.confirm("h1", 2)
        self.begin(2, "h1")
        realisation.mark_realised(self.context, [(self.id, 2)])
        assert self.status() == ("ACTIVE", "")

    def test_hosts_that_no_longer_take_part_are_removed(self) -> None:
        self.begin(1, "h1", "h2")
        self.confirm("h1", 1, error="broken")
        self.begin(2, "h2")
        self.confirm("h2", 2)
        self.confirm("h1", 1, error="still broken")
        assert self.status() == ("ACTIVE", "")
        self.begin(3)
        assert self.status() == ("ACTIVE", "")
        assert realisation.hosts_of(self.context, [self.id]) == {}

    def test_a_warning_of_a_host_counts_until_its_next_report(self) -> None:
        self.begin(1, "h1")
        report = HostReport(self.id, 1, warning="slow " * 500)
        realisation.record_reports(self.context, "h1", [report])
        state, reason = self.status()
        assert (state, reason[:8], reason[-4:]) == ("ACTIVE", "h1: slow", " ...")
        self.begin(2, "h1")
        assert self.status()[1].startswith("waiting for h1; h1: slow")
        self.confirm("h1", 2)
        assert self.status() == ("ACTIVE", "")

    def test_errors_and_missing_ports(self) -> None:
        self.begin(1, "h1")
        self.confirm("h1", 1, error="no such bridge")
        assert self.status() == ("ERROR", "h1: no such bridge")
        self.confirm("h1", 1, missing="port p1 is not plugged in")
        assert self.status() == ("BUILD", "waiting for h1 (port p1 is not plugged in)")
        self.confirm("h1", 1)
        assert self.status() == ("ACTIVE", "")
        # A confirmed part can become incomplete again.
        self.confirm("h1", 1, missing="port p1 is gone")
        assert self.status() == ("BUILD", "waiting for h1 (port p1 is gone)")

    def test_down(self) -> None:
        self.begin(1, "h1", down="p1 is not bound")
        self.confirm("h1", 1)
        assert self.status() == ("DOWN", "p1 is not bound")
        self.begin(2, "h1")
        self.confirm("h1", 2)
        assert self.status() == ("ACTIVE", "")

    def test_deleted_chain(self) -> None:
        self.begin(1, "h1")
        self.delete("port_chain", self.id)
        assert realisation.expected_on(self.context, "h1") == {}
        self.confirm("h1", 1)
        assert not self.begin(2, "h1")
        realisation.mark_failed(self.context, [self.id], "too late")
        realisation.mark_realised(self.context, [(self.id, 2)])
        assert self.list_all("port_chain") == []

    def test_expected_on(self) -> None:
        self.begin(4, "h1")
        assert realisation.expected_on(self.context, "h1") == {self.id: 4}
        assert realisation.expected_on(self.context, "h2") == {}

    def test_statements_do_not_depend_on_the_number_of_reports(self) -> None:
        group = self.create("port_pair_group")["id"]
        chains = [self.create("port_chain", port_pair_groups=[group])["id"] for _ in range(9)]
        for chain in chains:
            DatabaseStatusReporter().record_plan(self.context, chain, 1, ["h1"])
        counts = []
        for some in (chains[:1], chains[1:]):
            with self.statements() as seen:
                realisation.record_reports(
                    self.context, "h1", [HostReport(chain, 1) for chain in (*some, NOBODY)]
                )
            counts.append(len(seen))
        assert counts[0] == counts[1]
        assert {self.show("port_chain", chain)["status"] for chain in chains} == {"ACTIVE"}

    def test_unrealised(self) -> None:
        assert realisation.unrealised(self.context, 10) == []
        realisation.mark_failed(self.context, [self.id], "driver x: no")
        assert realisation.unrealised(self.context, 10) == [self.id]
        assert realisation.unrealised(self.context, 10, older_than=60) == []
        realisation.mark_realised(self.context, [(self.id, 1)])
        assert realisation.unrealised(self.context, 10) == []

    # A host is only asked to confirm what changes for it.

    def record(self, revision: int, quiet: bool = False, **parts: str) -> HostChanges:
        plan = PlanRecord(self.id, revision, parts)
        changes = sent_plans.record(self.context, [plan], quiet=[self.id] if quiet else ())
        return changes[self.id]

    def expected(self, *hosts: str) -> list[int | None]:
        expected = [realisation.expected_on(self.context, host) for host in hosts]
        return [revisions.get(self.id) for revisions in expected]

    def test_a_host_whose_part_stays_the_same_is_not_asked_again(self) -> None:
        assert self.record(1, h1="a", h2="b") == HostChanges({"h1": "", "h2": ""})
        self.confirm("h1", 1)
        assert self.record(2, h1="a", h2="c") == HostChanges({"h2": "b"})
        assert self.expected("h1", "h2") == [1, 2]
        assert self.status() == ("BUILD", "waiting for h2")
        assert self.prepared("h2", 2) == {"h2"}, "h1 need not be prepared"
        self.confirm("h2", 2)
        assert self.status() == ("ACTIVE", "")
        assert self.record(3, h1="a", h3="d") == HostChanges({"h3": ""}, frozenset({"h2"}))
        assert self.expected("h1", "h2", "h3") == [1, None, 3]

    def test_a_host_that_has_not_confirmed_its_part_is_still_waited_for(self) -> None:
        self.record(1, h1="a", h2="b")
        self.confirm("h2", 1)
        assert self.record(2, h1="a", h2="c").notify == {"h2": "b"}
        assert self.prepared("h2", 2) == set()
        assert self.prepared("h1", 1) == {"h1", "h2"}

    def test_a_host_whose_part_is_not_known_is_always_notified(self) -> None:
        for revision in (1, 2, 3):
            assert self.record(revision, h1="").notify == {"h1": ""}
        assert self.record(4, h1="a").notify == {"h1": ""}
        assert self.record(5, h1="").notify == {"h1": "a"}

    def test_what_a_server_of_the_previous_release_sent_is_not_known(self) -> None:
        """It writes the revision that it has sent, and leaves the part as it is."""
        self.record(1, h1="a")
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            session.query(ChainHost).update({ChainHost.wanted_revision: 2})
        assert self.record(3, h1="a").notify == {"h1": ""}

    def test_a_part_that_may_have_been_another_one_is_sent_again(self) -> None:
        """The answer to a request of a host can contain what is recorded only afterwards."""
        self.record(1, h1="a", h2="b")
        sent_plans.forget_parts(self.context, "h1", {self.id: 2})
        assert sent_plans.parts_on(self.context, "h1", [self.id]) == {self.id: (2, "")}
        sent_plans.forget_parts(self.context, "h1", {self.id: 1})
        assert self.expected("h1", "h2") == [2, 1]
        assert sent_plans.parts_on(self.context, "h2", [self.id]) == {self.id: (1, "b")}
        assert self.record(3, h1="a", h2="b").notify == {"h1": ""}

    def test_hosts_keep_errors_until_their_next_report(self) -> None:
        self.record(1, h1="a", h2="b")
        self.confirm("h1", 1, error="no bridge")
        self.confirm("h2", 1)
        self.record(2, h1="c", h2="b")
        assert self.status() == ("ERROR", "h1: no bridge")
        self.confirm("h1", 2)
        assert self.status() == ("ACTIVE", "")

    def test_statements_do_not_depend_on_the_number_of_plans(self) -> None:
        group = self.create("port_pair_group")["id"]
        chains = [self.create("port_chain", port_pair_groups=[group])["id"] for _ in range(9)]
        counts = []
        for revision in (2, 3):
            for some in (chains[:1], chains[1:]):
                plans = [
                    PlanRecord(one, revision, {"h1": "same", "h2": str(revision)}) for one in some
                ]
                with self.statements() as seen:
                    changes = sent_plans.record(self.context, plans)
                counts.append((revision, len(seen)))
                assert changes.keys() == set(some)
        assert len(set(counts)) == 2

    def test_of_several_plans_the_outdated_ones_are_left_out(self) -> None:
        group = self.create("port_pair_group")["id"]
        other = self.create("port_chain", port_pair_groups=[group])["id"]
        self.record(3, h1="a")
        plans = [PlanRecord(one, 2, {"h2": "b"}) for one in (self.id, other, NOBODY)]
        assert sent_plans.record(self.context, plans) == {other: HostChanges({"h2": ""})}
        assert self.expected("h1", "h2") == [3, None]

    # Changes that are no change to users.

    def advance(self) -> None:
        with db_api.CONTEXT_WRITER.using(self.context):
            realisation.advance(self.context.session, [self.id])

    def test_a_quiet_change_is_confirmed_as_far_as_the_plan_before(self) -> None:
        self.record(1, h1="a", h2="b", h3="c")
        self.confirm("h1", 1)
        self.confirm("h3", 1)
        self.advance()
        assert self.record(2, quiet=True, h1="d", h2="e", h3="c").notify == {"h1": "a", "h2": "b"}
        assert self.status() == ("BUILD", "waiting for h2")
        assert self.expected("h1", "h2", "h3") == [2, 2, 1]
        self.confirm("h2", 2)
        assert self.status() == ("ACTIVE", "")
        self.advance()
        assert self.status() == ("ACTIVE", "")
        self.record(3, quiet=True, h1="f", h2="e", h3="c")
        assert self.status() == ("ACTIVE", "")
        assert not self.begin(2, "h1"), "an older plan is not sent any more"
        self.confirm("h1", 3, error="no bridge")
        assert self.status() == ("ERROR", "h1: no bridge")

    def test_a_change_that_comes_before_a_quiet_one_is_planned_must_be_confirmed(self) -> None:
        """The quiet one is planned from a snapshot that has the change of a port, too."""
        self.record(1, h1="a")
        self.confirm("h1", 1)
        with db_api.CONTEXT_WRITER.using(self.context):
            writer.increment_revision(self.context.session, [self.id])
        self.advance()
        assert self.record(3, quiet=True, h1="b").notify == {"h1": "a"}
        assert self.status() == ("BUILD", "waiting for h1")

    def test_a_change_that_a_quiet_one_has_taken_along_is_notified(self) -> None:
        """The port was changed, but its event had not given the chain a new revision yet."""
        self.record(1, h1="a")
        self.confirm("h1", 1)
        self.advance()
        self.record(2, quiet=True, h1="b")
        assert self.status() == ("ACTIVE", "")
        assert self.record(3, h1="b").notify == {"h1": ""}
        assert self.status() == ("BUILD", "waiting for h1")

    def test_of_two_plans_with_one_revision_it_is_not_known_which_a_host_has(self) -> None:
        self.record(2, h1="a")
        assert self.record(2, h1="b").notify == {"h1": "a"}
        assert self.record(3, h1="b").notify == {"h1": ""}

    def test_a_plan_that_is_repaired_is_sent_to_hosts_that_may_not_have_heard_of_it(self) -> None:
        self.record(1, h1="a", h2="b")
        self.confirm("h1", 1)
        assert self.record(1, h1="a", h2="b").notify == {"h2": "b"}

    def test_a_host_that_is_sent_an_older_revision_is_heard(self) -> None:
        """A server of the previous release had sent it the chain's revision."""
        self.record(1, h1="a")
        with db_api.CONTEXT_WRITER.using(self.context):
            writer.increment_revision(self.context.session, [self.id])
        self.confirm("h1", 2)
        self.confirm("h1", 1, error="no bridge")
        assert self.status() == ("ERROR", "h1: no bridge")

    def test_a_quiet_change_that_nobody_plans_is_found_by_the_comparison(self) -> None:
        self.record(1, h1="a")
        realisation.mark_realised(self.context, [(self.id, 1)], {self.id: "a digest"})
        assert realisation.realised(self.context, "", 9) == {self.id: (1, "a digest")}
        self.advance()
        assert realisation.realised(self.context, "", 9) == {self.id: (2, "")}

    def test_such_a_change_does_not_hide_one_that_drivers_have_not_accepted(self) -> None:
        self.begin(1, "h1")
        self.confirm("h1", 1)
        with db_api.CONTEXT_WRITER.using(self.context):
            writer.increment_revision(self.context.session, [self.id])
        self.advance()
        assert self.status() == ("BUILD", "waiting for the drivers")
        assert realisation.unrealised(self.context, 9) == [self.id]
        assert self.begin(3, "h1")
        self.confirm("h1", 2)
        assert self.status() == ("BUILD", "waiting for h1")
