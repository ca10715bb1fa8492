"""Reports about functions that several servers record at the same time, on a real MariaDB."""

from typing import Any
from unittest import mock

import pytest
from neutron_lib.db import api as db_api
from oslo_config import cfg

from portchain.core.model import PairHealth
from portchain.db import models, pair_health
from tests.functional.db.at_once import AtOnce
from tests.functional.db.test_api import OnMariaDb
from tests.unit.api.base import HOST
from tests.unit.api.test_health import HealthCase

WORKERS = 6

pytestmark = pytest.mark.usefixtures("migrated_url")


class HealthRaceTest(AtOnce, OnMariaDb, HealthCase):
    def setUp(self) -> None:
        super().setUp()
        for quota in ("port_chain", "port_pair_group", "flow_classifier"):
            cfg.CONF.set_override(f"quota_{quota}", -1, "QUOTAS")

    def said(self, *, is_up: bool) -> Any:
        health = [PairHealth(pair, is_up, "") for pair in self.pairs]
        return lambda context: pair_health.record(context, HOST, health)

    def test_one_report_that_is_repeated_changes_a_chain_once(self) -> None:
        for is_up in (False, True, False):
            before = self.chain_row().revision
            changes = self.at_once(*[self.said(is_up=is_up)] * WORKERS)
            assert not [one for one in changes if isinstance(one, Exception)], changes
            assert sorted(len(one.changed) for one in changes) == [0] * (WORKERS - 1) + [2]
            assert self.chain_row().revision == before + 1

    def test_reports_and_requests_at_once(self) -> None:
        """Whoever is last, the verdict and what is planned belong together."""

        def change(weight: int) -> Any:
            body = {"port_pair": {"service_function_parameters": {"weight": weight}}}
            return lambda context: self.plugin.update_port_pair(context, self.pairs[0], body)

        for is_up in (False, True):
            with mock.patch.object(self.plugin.drivers, "refresh_port_chains"):
                results = self.at_once(
                    *[self.said(is_up=is_up)] * 2, *(change(2 + n) for n in range(3))
                )
            assert not [one for one in results if isinstance(one, Exception)], results
            with db_api.CONTEXT_READER.using(self.context) as session:
                rows = session.query(models.PairHealth).all()
                assert {row.is_up for row in rows if row.pair_id in self.pairs} == {is_up}
            assert bool(self.snapshot().failed) is not is_up
