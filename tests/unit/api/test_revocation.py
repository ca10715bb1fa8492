"""A provider takes a shared group back, and borrowers cannot lock others out of it."""

from typing import Any

from oslo_utils import uuidutils

from portchain.core import model
from portchain.db import realisation, snapshots
from tests.unit.api.base import OTHER_PROJECT, PROJECT
from tests.unit.api.provider import TENANT, ProviderTestCase


class RevocationTest(ProviderTestCase):
    def withdraw(self, target: str = OTHER_PROJECT, expect: int = 200, **as_: Any) -> Any:
        return self.update(
            "port_pair_group", self.group_id, expect=expect, withdraw_from=target, **as_
        )

    def test_a_group_in_use_is_withdrawn(self) -> None:
        policy = self.lend()
        own = self.behind(TENANT)
        chain = self.borrow(port_pair_groups=[self.group_id, own], name="secret")["id"]
        self.revoke(policy, expect=409)
        self.withdraw(expect=403, as_=TENANT)
        assert "withdraw_from" not in self.withdraw()
        self.revoke(policy, expect=404)
        self.borrow(expect=404)
        shown = self.show("port_chain", chain, **TENANT)
        assert (shown["status"], shown["port_pair_groups"]) == ("ERROR", [own])
        (pair,) = self.show("port_pair_group", self.group_id)["port_pairs"]
        for hidden in (self.group_id, "firewall", pair, PROJECT):
            assert hidden not in str(shown)
        assert "Set port_pair_groups" in shown["status_reason"]
        # Nothing keeps the provider from changing or deleting what was borrowed.
        self.update("port_pair_group", self.group_id, port_pairs=[])
        self.delete("port_pair_group", self.group_id)
        self.delete("port_pair", pair)

    def test_a_chain_without_its_withdrawn_group_drops_packets_before_other_functions(self) -> None:
        self.lend()
        own = self.behind(TENANT)
        before = self.borrow(port_pair_groups=[own, self.group_id])
        self.withdraw()
        (loaded,) = snapshots.load(self.context, [before["id"]])
        first, second = loaded.chain.port_pair_groups
        assert (first, second.id) == (model.WITHDRAWN_GROUP, own)
        assert loaded.chain.drops_all
        assert loaded.chain.generation == 1
        assert realisation.unrealised(self.context, 9, 0) == []  # the drivers were notified
        # A change of anything else keeps the chain as it is.
        fc = self.create("flow_classifier", as_=TENANT, protocol="udp")["id"]
        self.update("port_chain", before["id"], as_=TENANT, flow_classifiers=[fc])
        assert self.show("port_chain", before["id"], **TENANT)["status"] == "ERROR"

    def test_the_borrower_ends_the_error_by_choosing_groups(self) -> None:
        for chosen in (lambda own: [own], lambda own: [own, self.behind(TENANT)]):
            self.lend()
            own = self.behind(TENANT)
            chain = self.borrow(port_pair_groups=[own, self.group_id])["id"]
            self.withdraw()
            self.update("port_chain", chain, expect=400, as_=TENANT, port_pair_groups=[])
            self.update(
                "port_chain", chain, expect=404, as_=TENANT, port_pair_groups=[self.group_id]
            )
            self.update("port_chain", chain, as_=TENANT, port_pair_groups=chosen(own))
            assert self.show("port_chain", chain, **TENANT)["status"] == "ACTIVE"
            (loaded,) = snapshots.load(self.context, [chain])
            assert not loaded.chain.drops_all

    def test_the_group_is_taken_from_projects_that_lose_it_only(self) -> None:
        third = uuidutils.generate_uuid()
        self.lend()
        self.lend(third)
        lost = self.borrow()["id"]
        kept = self.create("port_chain", as_={"project": third}, port_pair_groups=[self.group_id])[
            "id"
        ]
        own = self.create("port_chain", port_pair_groups=[self.group_id])["id"]
        self.withdraw()
        assert self.show("port_chain", lost, **TENANT)["port_pair_groups"] == []
        for chain, project in ((kept, third), (own, PROJECT)):
            shown = self.show("port_chain", chain, project=project)
            assert (shown["status"], shown["port_pair_groups"]) == ("ACTIVE", [self.group_id])

    def test_a_project_that_another_policy_lets_use_the_group(self) -> None:
        self.lend()
        chain = self.borrow()["id"]
        self.lend("*", roles="admin")
        assert "withdraw it from *" in self.withdraw(expect=400)["message"]
        assert self.show("port_chain", chain, **TENANT)["status"] == "ACTIVE"
        self.withdraw("*")
        assert self.show("port_chain", chain, **TENANT)["status"] == "ERROR"
        assert "no RBAC policy" in self.withdraw("*", expect=400)["message"]

    def test_an_empty_group_locks_nobody_out(self) -> None:
        """A chain that drops everything takes nothing at the shared function."""
        self.lend()
        empty = self.create("port_pair_group", as_=TENANT)["id"]
        wide = self.create("flow_classifier", as_=TENANT, protocol="tcp")["id"]
        chain = self.borrow(port_pair_groups=[self.group_id, empty], flow_classifiers=[wide])["id"]
        mine = self.create("flow_classifier", protocol="tcp", source_ip_prefix="10.0.0.0/24")["id"]
        self.create(
            "port_chain",
            port_pair_groups=[self.group_id, self.behind({})],
            flow_classifiers=[mine],
        )
        # The borrower cannot fill the gap now.
        ends = [self.port(self.network(**TENANT), "vm", **TENANT) for _ in range(2)]
        pair = self.create("port_pair", as_=TENANT, ingress=ends[0], egress=ends[1])["id"]
        message = self.update("port_pair_group", empty, expect=400, as_=TENANT, port_pairs=[pair])[
            "message"
        ]
        assert "port_pairs" in message
        assert wide in message
        assert mine not in message
        assert self.show("port_chain", chain, **TENANT)["id"] == chain

    def test_a_prefix_of_all_addresses_names_no_sources(self) -> None:
        self.lend()
        everything = self.create(
            "flow_classifier", as_=TENANT, protocol="tcp", source_ip_prefix="0.0.0.0/0"
        )["id"]
        message = self.borrow(
            expect=400,
            port_pair_groups=[self.group_id, self.behind(TENANT)],
            flow_classifiers=[everything],
        )["message"]
        assert "Name the sources" in message
