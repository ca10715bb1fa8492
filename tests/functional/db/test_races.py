"""Requests and reports that race each other, on a real MariaDB."""

import time
from collections import Counter
from typing import Any
from unittest import mock

import pytest
from neutron.extensions.rbac import RbacPolicyInUse
from neutron_lib import exceptions as lib
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from oslo_config import cfg

from portchain import errors
from portchain.api import definitions
from portchain.db import drift, ids, lookup, realisation, snapshots, source_networks
from portchain.drivers.status import DatabaseStatusReporter
from portchain.requests import chains
from tests.functional.db.at_once import AtOnce
from tests.functional.db.test_api import OnMariaDb
from tests.unit.api.base import OTHER_PROJECT, PROJECT, ApiTestCase

WORKERS = 8


pytestmark = pytest.mark.usefixtures("migrated_url")


@pytest.fixture(autouse=True)
def _few_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave so few numbers that workers often pick the same one."""
    monkeypatch.setattr(ids, "LAST", 40)


def body(resource: str, **given: Any) -> dict[str, Any]:
    """Return what the API passes to the plugin for a request with some attributes."""
    return {resource: definitions.complete(resource, given) | {"project_id": PROJECT}}


class RaceTest(AtOnce, OnMariaDb, ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        for quota in ("port_chain", "port_pair_group", "port_pair", "flow_classifier"):
            cfg.CONF.set_override(f"quota_{quota}", -1, "QUOTAS")

    def prepare(self) -> None:
        self.net = self.network()

    def new_group(self, context: Any, **attributes: Any) -> Any:
        return self.plugin.create_port_pair_group(context, body("port_pair_group", **attributes))

    def new_chain(self, context: Any, groups: list[str], **attributes: Any) -> Any:
        made = body("port_chain", port_pair_groups=groups, **attributes)
        return self.plugin.create_port_chain(context, made)

    def test_every_number_is_allocated_once_until_none_is_free(self) -> None:
        per_worker = ids.LAST // WORKERS
        results = self.at_once(
            *[lambda context: [self.new_group(context) for _ in range(per_worker)]] * WORKERS
        )
        numbers = [group["group_id"] for groups in results for group in groups]
        assert sorted(numbers) == list(range(ids.FIRST, ids.LAST + 1))
        with pytest.raises(errors.NoFreeId):
            self.new_group(self.context)

    def test_chains_get_different_numbers(self) -> None:
        group = self.create("port_pair_group")["id"]
        results = self.at_once(*[lambda context: self.new_chain(context, [group])] * WORKERS)
        assert len({chain["chain_id"] for chain in results}) == WORKERS

    def test_requests_for_the_same_chain_id(self) -> None:
        group = self.create("port_pair_group")["id"]
        results = self.at_once(
            *[lambda context: self.new_chain(context, [group], chain_id=7)] * WORKERS
        )
        assert self.outcome(results) == {"made": 1, "InvalidInput": WORKERS - 1}

    def test_same_pair_in_several_groups(self) -> None:
        pair = self.pair(self.net)["id"]
        results = self.at_once(
            *[lambda context: self.new_group(context, port_pairs=[pair])] * WORKERS
        )
        assert self.outcome(results) == {"made": 1, "RuleConflict": WORKERS - 1}
        assert len(self.list_all("port_pair_group")) == 1

    def test_same_classifier_in_several_chains(self) -> None:
        group = self.create("port_pair_group")["id"]
        classifier = self.create("flow_classifier")["id"]
        results = self.at_once(
            *[lambda context: self.new_chain(context, [group], flow_classifiers=[classifier])]
            * WORKERS
        )
        assert self.outcome(results) == {"made": 1, "RuleConflict": WORKERS - 1}

    def new_classifier(self, context: Any, source_port: str | None = None) -> Any:
        given = {"protocol": "tcp", "logical_source_port": source_port}
        return self.plugin.create_flow_classifier(context, body("flow_classifier", **given))

    def test_overlapping_classifiers(self) -> None:
        results = self.at_once(*[self.new_classifier] * WORKERS)
        assert self.outcome(results) == {"made": 1, "InvalidInput": WORKERS - 1}

    def new_graph(self, context: Any, port_chains: dict[str, list[str]]) -> Any:
        made = body("service_graph", port_chains=port_chains)
        return self.plugin.create_service_graph(context, made)

    def test_same_chain_in_several_graphs(self) -> None:
        group = self.create("port_pair_group")["id"]
        one, two = (self.new_chain(self.context, [group])["id"] for _ in range(2))
        results = self.at_once(*[lambda context: self.new_graph(context, {one: [two]})] * WORKERS)
        assert self.outcome(results) == {"made": 1, "RuleConflict": WORKERS - 1}

    def test_group_deleted_while_a_chain_is_created_with_it(self) -> None:
        for _ in range(5):
            group = self.create("port_pair_group")["id"]
            made, deleted = self.at_once(
                lambda context, group=group: self.new_chain(context, [group]),
                lambda context, group=group: self.plugin.delete_port_pair_group(context, group),
            )
            # Either the chain was created and the group stays, or the other way round.
            if isinstance(made, dict):
                assert isinstance(deleted, lib.InUse | lib.Conflict), deleted
                self.delete("port_chain", made["id"])
                self.delete("port_pair_group", group)
            else:
                assert isinstance(made, lib.NotFound | lib.Conflict), made
                self.show("port_pair_group", group, expect=404)

    def test_port_deleted_while_it_is_named(self) -> None:
        """Either the port stays, or what names it is refused: 409 or 404 on either side."""
        core = directory.get_plugin()
        for _ in range(6):
            for make in (self.new_pair, self.new_classifier):
                port = self.port(self.net, "vm")
                made, deleted = self.at_once(
                    lambda context, make=make, port=port: make(context, port),
                    lambda context, port=port: core.delete_port(context, port),
                )
                if isinstance(made, dict):
                    inner = getattr(deleted, "inner_exceptions", [deleted])
                    assert all(isinstance(one, lib.InUse) for one in inner), deleted
                else:
                    assert isinstance(made, lib.NotFound | lib.Conflict), made
                    assert deleted is None

    def new_pair(self, context: Any, port: str) -> Any:
        made = body("port_pair", ingress=port, egress=port)
        return self.plugin.create_port_pair(context, made)

    def test_revisions_are_not_lost(self) -> None:
        group = self.create("port_pair_group")["id"]
        chain = self.new_chain(self.context, [group])["id"]
        pairs = [self.pair(self.net, f"vm{n}")["id"] for n in range(WORKERS)]
        results = self.at_once(
            *[
                lambda context, pair=pair: self.plugin.update_port_pair_group(
                    context, group, {"port_pair_group": {"port_pairs": [pair]}}
                )
                for pair in pairs
            ]
        )
        assert all(isinstance(result, dict) for result in results), results
        shown = self.show("port_chain", chain)
        assert shown["status"] == "ACTIVE"
        with db_api.CONTEXT_READER.using(self.context):
            row = lookup.find_one(self.context, lookup.PORT_CHAIN, chain)
        assert row.revision == row.realised_revision == 1 + WORKERS

    def test_a_pair_changed_while_a_chain_is_created_with_its_group(self) -> None:
        """The change waits for the chain and then finds it, or the chain has the new weight.

        The chain's groups are not read again after the commit.
        """
        pair = self.pair(self.net)["id"]
        group = self.create("port_pair_group", port_pairs=[pair])["id"]
        record = source_networks.record

        def slowly(*args: Any, **kwargs: Any) -> None:
            time.sleep(0.3)  # between what the request has read and its commit
            record(*args, **kwargs)

        for weight in (2, 3, 4):
            change = {"port_pair": {"service_function_parameters": {"weight": weight}}}
            with mock.patch.object(chains.source_networks, "record", slowly):
                results = self.at_once(
                    lambda context: self.new_chain(context, [group]),
                    lambda context, change=change: self.plugin.update_port_pair(
                        context, pair, change
                    ),
                )
            assert self.outcome(results) == {"made": 2}, results
            observed = self.plugin.drivers.observed
            assert drift.DriftDetector().find_in_next_page(self.context, observed) == []
            self.delete("port_chain", results[0]["id"])

    def test_both_groups_of_a_chain_emptied_at_once(self) -> None:
        """Requests about groups of two projects do not wait for each other.

        So neither sees that the chain loses all its functions.
        """
        theirs = {"project": OTHER_PROJECT}
        net = self.network("10.1.0.0/24", **theirs)
        ports = [self.port(net, "vm", **theirs) for _ in range(2)]
        pair = self.create("port_pair", ingress=ports[0], egress=ports[1], as_=theirs)["id"]
        borrowed = self.create("port_pair_group", port_pairs=[pair], as_=theirs)["id"]
        self.share("port_pair_group", borrowed, PROJECT, **theirs)
        own = self.group(self.net)["id"]
        classifier = self.create("flow_classifier")["id"]
        chain = self.new_chain(self.context, [own, borrowed], flow_classifiers=[classifier])["id"]
        client = self.port(self.net, "client")
        pairs = self.show("port_pair_group", own)["port_pairs"]
        nobody = {"port_pair_group": {"port_pairs": []}}
        for _ in range(5):
            results = self.at_once(
                *[
                    lambda context, group=group: self.plugin.update_port_pair_group(
                        context, group, nobody
                    )
                    for group in (own, borrowed)
                ]
            )
            assert self.outcome(results) == {"made": 2}
            (snapshot,) = snapshots.load(self.context, [chain])
            assert client in snapshot.sources[classifier]
            self.update("port_pair_group", own, port_pairs=pairs)
            self.update("port_pair_group", borrowed, port_pairs=[pair], as_=theirs)

    def test_policy_revoked_while_a_chain_borrows_the_group(self) -> None:
        """Either the chain is refused, or the revocation."""
        theirs = {"project": OTHER_PROJECT}
        group = self.create("port_pair_group", as_=theirs)["id"]
        core = directory.get_plugin()
        for _ in range(15):
            policy = self.share("port_pair_group", group, PROJECT, **theirs)
            made, revoked = self.at_once(
                lambda context: self.new_chain(context, [group]),
                lambda context, policy=policy: core.delete_rbac_policy(context.elevated(), policy),
            )
            if isinstance(made, dict):
                assert isinstance(revoked, RbacPolicyInUse), revoked
                self.delete("port_chain", made["id"])
                core.delete_rbac_policy(self.context, policy)
            else:
                assert isinstance(made, lib.NotFound), made
                assert revoked is None

    def test_the_first_plan_of_a_chain_recorded_at_once(self) -> None:
        group = self.create("port_pair_group")["id"]
        with mock.patch.object(self.plugin.drivers, "create_port_chain", return_value=[]):
            new = [self.new_chain(self.context, [group])["id"] for _ in range(5)]
        for chain in new:
            results = self.at_once(
                *[
                    lambda context, n=n, chain=chain: DatabaseStatusReporter().record_plan(
                        context, chain, 1, [f"h{n}", "all"]
                    )
                    for n in range(WORKERS)
                ]
            )
            assert results == [True] * WORKERS
            (found,) = realisation.hosts_of(self.context, [chain]).values()
            assert len(found) == 2

    def test_plans_recorded_at_once_for_new_hosts(self) -> None:
        group = self.create("port_pair_group")["id"]
        chain = self.new_chain(self.context, [group])["id"]
        self.at_once(
            *[
                lambda context, n=n: DatabaseStatusReporter().record_plan(
                    context, chain, 2 + n, [f"h{n}", "all"]
                )
                for n in range(WORKERS)
            ]
        )
        last = WORKERS - 1
        assert realisation.hosts_of(self.context, [chain]) == {
            chain: frozenset({f"h{last}", "all"})
        }
        assert realisation.expected_on(self.context, "all") == {chain: 2 + last}

    @staticmethod
    def outcome(results: list[Any]) -> Counter[str]:
        return Counter(
            "made" if isinstance(result, dict) else type(result).__name__ for result in results
        )
