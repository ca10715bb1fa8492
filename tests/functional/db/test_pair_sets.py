"""Sets of pairs that several servers record and forget at the same time, on a real MariaDB."""

import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from neutron_lib.db import api as db_api
from oslo_config import cfg

from portchain.db import models, pair_sets, snapshots
from tests.functional.db.at_once import AtOnce
from tests.functional.db.test_api import OnMariaDb
from tests.unit.drivers.test_earlier_pairs import ALL, NEW, EarlierPairsCase

WORKERS = 6
TIMES = pair_sets.AffinityTimes(ALL, NEW)


pytestmark = pytest.mark.usefixtures("migrated_url")


class PairSetRaceTest(AtOnce, OnMariaDb, EarlierPairsCase):
    def setUp(self) -> None:
        super().setUp()
        for quota in ("port_chain", "port_pair_group", "flow_classifier"):
            cfg.CONF.set_override(f"quota_{quota}", -1, "QUOTAS")

    def sets(self, group_id: str = "") -> list[Any]:
        group_id = group_id or self.group_id
        with db_api.CONTEXT_READER.using(self.context) as session:
            return pair_sets._load(session, [group_id])[group_id]

    def plan(self, context: Any) -> Any:
        """Plan the chain, as the server does when a host asks."""
        return self.driver()._planner().plan(context, snapshots.load(context, [self.chain_id]))

    def set_weights(self, weight: int) -> None:
        """Change the weights of all pairs, without a notification of the drivers."""
        with db_api.CONTEXT_WRITER.using(self.context) as session:
            session.execute(sa.update(models.PortPair).values(weight=weight))

    def test_servers_that_plan_a_group_at_once(self) -> None:
        for known in (False, True):
            with db_api.CONTEXT_WRITER.using(self.context) as session:
                session.execute(sa.delete(models.PairSet))
            if known:
                self.set_weights(1)
                self.plan(self.context)
            self.set_weights(7)
            results = self.at_once(*[self.plan] * WORKERS)
            assert all(plans.failures == {} for plans in results)
            assert [one.replaced for one in self.sets()] == [True] * known + [False]
            assert len({str(plans.planned[0].plan) for plans in results}) == 1

    def test_changes_and_plans_at_once(self) -> None:
        """No set is lost, recorded twice, or in force again by an old snapshot."""

        def weigh(weight: int) -> Any:
            body = {"port_pair": {"service_function_parameters": {"weight": weight}}}
            return lambda context: self.plugin.update_port_pair(context, self.pairs[0], body)

        for first in (10, 20):
            results = self.at_once(
                *(weigh(first + number) for number in range(WORKERS)), self.plan, self.plan
            )
            assert not [one for one in results if isinstance(one, Exception)], results
            weights = [one.weights for one in self.sets()]
            assert len(set(weights)) == len(weights)
            with db_api.CONTEXT_READER.using(self.context) as session:
                group = snapshots.load_groups(session, [self.group_id])[self.group_id]
                (pair,) = [one for one in group.port_pairs if one.id == self.pairs[0]]
            assert weights[-1] == ((pair.id, pair.weight),)
            assert [one.replaced for one in self.sets()] == [True] * (len(weights) - 1) + [False]

    def test_requests_about_the_same_groups_do_not_wait_for_each_other_forever(self) -> None:
        groups = [self.group_id] + [
            self.create("port_pair_group", port_pairs=[pair])["id"] for pair in self.pairs[1:]
        ]
        chains = [self.chain_id, self.new_chain(81, *groups), self.new_chain(82, *groups[::-1])]

        def weigh(number: int, weight: int) -> Any:
            body = {"port_pair": {"service_function_parameters": {"weight": weight}}}
            return lambda context: self.plugin.update_port_pair(context, self.pairs[number], body)

        def set_groups(chain: str, ids: list[str]) -> Any:
            body = {"port_chain": {"port_pair_groups": ids}}
            return lambda context: self.plugin.update_port_chain(context, chain, body)

        def forget(context: Any) -> None:
            pair_sets.age(context, groups, chains, TIMES)

        for attempt in range(4):
            self.now += datetime.timedelta(seconds=NEW)
            results = self.at_once(
                *(weigh(number, 2 + attempt) for number in range(3)),
                set_groups(chains[1], groups[::-1]),
                set_groups(chains[2], groups[:2]),
                *[forget] * 2,
                *[self.plan] * 2,
            )
            assert not [one for one in results if isinstance(one, Exception)], results
            for group in groups:
                assert [one.replaced for one in self.sets(group)].count(False) == 1
            set_groups(chains[1], groups)(self.context)
            set_groups(chains[2], groups[::-1])(self.context)

    def test_servers_that_forget_at_once_do_so_once(self) -> None:
        self.set_pairs(0, 1)
        for seconds in (NEW, ALL):
            before = self.revision()
            self.now += datetime.timedelta(seconds=seconds)
            results = self.at_once(
                *[lambda context: pair_sets.age(context, [self.group_id], [self.chain_id], TIMES)]
                * WORKERS
            )
            assert sorted(results) == [False] * (WORKERS - 1) + [True]
            assert self.revision() == before + 1

    def test_a_group_is_deleted_while_its_sets_are_recorded_and_forgotten(self) -> None:
        for _ in range(4):
            group = self.create("port_pair_group", port_pairs=self.pairs[1:2])["id"]
            with db_api.CONTEXT_WRITER.using(self.context) as session:
                rows = [
                    {"group_id": group, "number": number, "weights": {}, "new_flows": True}
                    | {"replaced_at": self.now if number < 3 else None}
                    for number in range(4)
                ]
                session.execute(sa.insert(models.PairSet), rows)
            self.now += datetime.timedelta(seconds=ALL)
            present = {group: ((self.pairs[1], 1),)}
            results = self.at_once(
                lambda context, group=group: self.plugin.delete_port_pair_group(context, group),
                lambda context, present=present: pair_sets.record(context, present, TIMES),
                lambda context, group=group: pair_sets.age(context, [group], [], TIMES),
            )
            assert not [one for one in results if isinstance(one, Exception)], results
            assert self.sets(group) == []


def test_sets_that_stay_are_not_read(migrated: str) -> None:
    """A driver looks for those that it must forget every few seconds."""
    recent = pair_sets._ago(NEW // 2)
    rows = [
        {"group": f"group-{number}", "number": 0, "replaced_at": replaced_at, "new_flows": new}
        for number in range(1000)
        for replaced_at, new in [((None, False), (recent, True), (recent, False))[number % 3]]
    ]
    rows += [
        {"group": "over", "number": 0, "replaced_at": pair_sets._ago(NEW), "new_flows": True},
        {"group": "over", "number": 1, "replaced_at": pair_sets._ago(ALL), "new_flows": False},
    ]
    with sa.create_engine(migrated).connect() as connection:
        connection.exec_driver_sql("SET foreign_key_checks = 0")
        connection.execute(
            sa.text(
                "INSERT INTO portchain_pair_sets "
                "(group_id, number, weights, replaced_at, new_flows) "
                "VALUES (:group, :number, '{}', :replaced_at, :new_flows)"
            ),
            rows,
        )

        def rows_read() -> int:
            counts = connection.execute(sa.text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
            return sum(int(count) for _, count in counts)

        before = rows_read()
        found = connection.execute(pair_sets._due_groups(TIMES)).all()
        assert rows_read() - before < 15
        assert found == [("over", None)]
        connection.rollback()
