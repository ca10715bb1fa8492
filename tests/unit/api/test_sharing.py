"""Port pair groups that a provider shares with tenants, and resources that stay private."""

from collections.abc import Callable
from typing import Any
from unittest import mock

from oslo_utils import uuidutils

from portchain.core.model import ChainSnapshot, HostReport, Port
from portchain.core.plan_records import PlanRecord
from portchain.core.rules import Violation, label
from portchain.db import project_lock, realisation, sent_plans, sharing
from portchain.drivers.manager import DriverManager
from portchain.drivers.noop import NoopDriver
from tests.unit.api.base import HOST, OTHER_PROJECT, PROJECT, ApiTestCase
from tests.unit.api.provider import TENANT, ProviderTestCase


class DriverOfOtherHosts(NoopDriver):
    """A driver that is responsible for none of the hosts."""

    def claims(self, port: Port) -> bool:
        return False


class TalkativeDriver(NoopDriver):
    """A driver that refuses, or fails, with the names of everything in a chain."""

    refuses = False
    fails = False

    @staticmethod
    def names(snapshot: ChainSnapshot) -> str:
        chain = snapshot.chain
        pairs = [pair for group in chain.port_pair_groups for pair in group.port_pairs]
        everything = (
            chain,
            *chain.flow_classifiers,
            *chain.port_pair_groups,
            *pairs,
            *snapshot.ports.values(),
        )
        named = ", ".join(label(one) for one in everything)
        return f"port chain {label(chain)} and {named} are too many"

    def check_port_chain(self, snapshot: ChainSnapshot) -> None:
        if self.refuses:
            raise Violation("port_pair_groups", self.names(snapshot))

    def update_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        if self.fails:
            raise ValueError(self.names(snapshot))


class SharingTest(ProviderTestCase):
    """PROJECT shares a group with OTHER_PROJECT."""

    def test_only_the_target_project_sees_and_uses_a_shared_group(self) -> None:
        self.borrow(expect=404)
        self.show("port_pair_group", self.group_id, expect=404, **TENANT)
        self.lend(uuidutils.generate_uuid())
        self.borrow(expect=404)
        assert self.list_all("port_pair_group", **TENANT) == []
        self.lend()
        shown = self.show("port_pair_group", self.group_id, **TENANT)
        assert (shown["name"], shown["shared"]) == ("firewall", True)
        assert self.list_all("port_pair_group", **TENANT) == [shown]
        assert self.list_all("port_pair_group", "shared=true", **TENANT) == [shown]
        assert self.show("port_pair_group", self.group_id)["shared"] is False
        assert self.borrow()["port_pair_groups"] == [self.group_id]

    def test_sharing_with_all_projects_needs_an_administrator(self) -> None:
        self.lend("*", expect=403)  # by Neutron's own policy
        self.lend("*", roles="admin")
        assert self.show("port_pair_group", self.group_id)["shared"] is True
        self.borrow()

    def test_the_borrower_cannot_change_the_group(self) -> None:
        self.lend()
        for change in ({"name": "mine"}, {"port_pairs": []}):
            self.update("port_pair_group", self.group_id, expect=403, as_=TENANT, **change)
        self.delete("port_pair_group", self.group_id, expect=403, **TENANT)
        (pair,) = self.show("port_pair_group", self.group_id)["port_pairs"]
        self.show("port_pair", pair, expect=404, **TENANT)
        self.lend(uuidutils.generate_uuid(), expect=400, **TENANT)

    def test_a_policy_in_use_cannot_be_deleted(self) -> None:
        policy = self.lend()
        chain = self.borrow()["id"]
        message = self.revoke(policy, expect=409)
        assert chain not in message
        self.delete("port_chain", chain, **TENANT)
        self.revoke(policy)
        self.borrow(expect=404)

    def test_a_policy_that_gets_used_while_it_is_removed_stays(self) -> None:
        """Neutron's check sees no chain yet; the transaction that removes the policy does."""
        policy = self.lend()
        chain = self.borrow()["id"]
        early = mock.patch.object(
            sharing.PortPairGroup, "get_bound_project_ids", return_value=set()
        )
        with early:
            assert chain not in self.revoke(policy, expect=409)
            changed = {"rbac_policy": {"target_tenant": uuidutils.generate_uuid()}}
            assert self.call("PUT", f"/rbac-policies/{policy}", changed).status_int == 409
        assert self.show("port_pair_group", self.group_id, **TENANT)["id"] == self.group_id
        self.delete("port_chain", chain, **TENANT)
        with early:
            self.revoke(policy)

    def locked(self, request: Callable[[], Any]) -> set[str]:
        """Return the projects whose locks a request acquires."""
        with mock.patch.object(
            project_lock, "acquire", side_effect=project_lock.acquire
        ) as acquire:
            request()
        return {project for call in acquire.call_args_list for project in call.args[1:]}

    def test_requests_about_a_shared_group_hold_the_lock_of_its_owner(self) -> None:
        policy = self.lend()
        own = self.create("port_pair_group", as_=TENANT)["id"]
        made: list[str] = []
        both, provider = {PROJECT, OTHER_PROJECT}, {PROJECT}
        (pair,) = self.show("port_pair_group", self.group_id)["port_pairs"]

        def change_chain(groups: list[str]) -> Any:
            return self.update("port_chain", made[0], as_=TENANT, port_pair_groups=groups)

        def link() -> Any:
            return self.create("service_graph", as_=TENANT, port_chains={made[0]: [made[1]]})

        def weigh() -> Any:
            weight = {"service_function_parameters": {"weight": 2}}
            return self.update("port_pair", pair, **weight)

        assert self.locked(lambda: made.append(self.borrow()["id"])) == both
        assert self.locked(lambda: change_chain([own])) == both
        assert self.locked(lambda: change_chain([self.group_id])) == both
        made.append(self.create("port_chain", as_=TENANT, port_pair_groups=[own])["id"])
        assert self.locked(link) == both
        # A chain that does not use the group, but follows one that does.
        empty = self.create("port_pair_group", as_=TENANT)["id"]
        assert (
            self.locked(
                lambda: self.update("port_chain", made[1], as_=TENANT, port_pair_groups=[empty])
            )
            == both
        )
        assert self.locked(weigh) == provider
        rename = {"port_pairs": []}
        assert (
            self.locked(lambda: self.update("port_pair_group", self.group_id, **rename)) == provider
        )
        assert self.locked(lambda: self.revoke(policy, expect=409)) == set(), "refused before"
        self.lend("*", roles="admin")
        assert self.locked(lambda: self.revoke(policy)) == provider

    def test_chains_of_the_owner_do_not_keep_the_policy(self) -> None:
        policy = self.lend("*", roles="admin")
        self.create("port_chain", port_pair_groups=[self.group_id])
        response = self.call("DELETE", f"/rbac-policies/{policy}", roles="admin")
        assert response.status_int == 204, response.text

    def test_packets_from_a_shared_function_must_belong_to_one_project(self) -> None:
        self.lend()
        more = self.group(self.net)["id"]
        theirs = self.behind(TENANT)
        web = {
            "protocol": "tcp",
            "source_ip_prefix": "10.1.0.0/24",
            "destination_port_range_min": 80,
            "destination_port_range_max": 80,
        }
        mine = self.create("flow_classifier", **web)["id"]
        self.create("port_chain", port_pair_groups=[self.group_id, more], flow_classifiers=[mine])
        wide = self.create("flow_classifier", as_=TENANT, protocol="tcp")["id"]
        through = {"port_pair_groups": [self.group_id, theirs], "flow_classifiers": [wide]}
        message = self.borrow(expect=400, **through)["message"]
        assert wide in message
        assert "another project" in message
        assert mine not in message
        narrow = self.create(
            "flow_classifier", as_=TENANT, protocol="udp", source_ip_prefix="10.0.0.0/24"
        )["id"]
        chain = self.borrow(**through | {"flow_classifiers": [narrow]})["id"]
        self.update("port_chain", chain, expect=400, as_=TENANT, flow_classifiers=[narrow, wide])

    def test_new_functions_of_a_shared_group_are_checked_for_all_projects(self) -> None:
        self.lend()
        mpls = {"service_function_parameters": {"correlation": "mpls"}}
        aware = [self.pair(self.net, f"vm{number}", **mpls)["id"] for number in (2, 3)]
        self.update("port_pair_group", self.group_id, port_pairs=aware[:1])
        for project in ({}, TENANT):
            wide = self.create("flow_classifier", as_=project or None, protocol="tcp")["id"]
            chain = self.create(
                "port_chain",
                as_=project or None,
                port_pair_groups=[self.group_id, self.behind(project)],
                flow_classifiers=[wide],
            )
        for pairs in (aware, [], aware):
            self.update("port_pair_group", self.group_id, port_pairs=pairs)
        unaware = self.pair(self.net, "vm4")["id"]
        error = self.update("port_pair_group", self.group_id, expect=400, port_pairs=[unaware])
        assert "port_pairs" in error["message"]
        assert "several projects" in error["message"]
        assert wide not in error["message"]
        assert self.show("port_pair_group", self.group_id)["port_pairs"] == aware
        self.update("port_pair_group", self.group_id, port_pairs=[])
        self.update("port_pair_group", self.group_id, expect=400, port_pairs=[unaware])
        self.delete("port_chain", chain["id"], **TENANT)
        self.update("port_pair_group", self.group_id, port_pairs=[unaware])

    def test_chains_that_end_at_a_shared_function_may_overlap(self) -> None:
        self.lend()
        for project in ({}, TENANT):
            taken = self.create("flow_classifier", as_=project or None, protocol="tcp")["id"]
            self.create(
                "port_chain",
                as_=project or None,
                port_pair_groups=[self.group_id],
                flow_classifiers=[taken],
            )

    def test_a_refusal_does_not_name_the_ports_of_a_borrowed_group(self) -> None:
        self.lend()
        (pair,) = self.show("port_pair_group", self.group_id)["port_pairs"]
        port = self.show("port_pair", pair)["ingress"]
        self.bind(port)
        self.plugin.drivers = DriverManager({"elsewhere": DriverOfOtherHosts()})
        message = self.borrow(expect=400)["message"]
        assert "a port of another project" in message
        assert port not in message
        assert HOST not in message

    def test_messages_name_no_resource_of_the_other_project(self) -> None:
        self.lend()
        chain = self.borrow(name="secret", chain_parameters={"correlation": "nsh"})
        message = self.delete("port_pair_group", self.group_id, expect=409)["message"]
        assert "a port chain of another project" in message
        aware = self.pair(
            self.net, "vm2", name="hidden", service_function_parameters={"correlation": "mpls"}
        )["id"]
        error = self.update("port_pair_group", self.group_id, expect=400, port_pairs=[aware])
        for word in ("secret", chain["id"]):
            assert word not in message + error["message"]
        self.delete("port_chain", chain["id"], **TENANT)
        self.update("port_pair_group", self.group_id, port_pairs=[aware])
        error = self.borrow(expect=400, chain_parameters={"correlation": "nsh"})
        assert "correlation" in error["message"]
        for word in ("hidden", aware):
            assert word not in error["message"]

    def secrets(self) -> tuple[set[str], set[str]]:
        """Have both projects name everything; return the words of the provider, the borrower."""
        self.lend()
        pair = self.pair(self.net, "vm2", name="hidden-pair")
        port = self.port(self.net, "vm2", name="hidden-port")
        other = self.create("port_pair", ingress=port, egress=port, name="hidden-other")
        self.update("port_pair_group", self.group_id, port_pairs=[pair["id"], other["id"]])
        net = self.network("10.1.0.0/24", **TENANT)
        client = self.port(net, "client", name="secret-client", **TENANT)
        classifier = self.classifier(client, name="secret-classifier", as_=TENANT)["id"]
        own = self.create("port_pair_group", as_=TENANT, name="secret-group")["id"]
        self.chain_id = self.borrow(
            name="secret-chain",
            port_pair_groups=[self.group_id, own],
            flow_classifiers=[classifier],
        )["id"]
        provider = {"hidden", pair["id"], other["id"], port, pair["ingress"], pair["egress"]}
        return provider, {"secret", client, classifier, own, self.chain_id}

    def test_no_message_names_anything_of_another_project(self) -> None:
        """Whatever a rule or driver writes: messages are reduced where they leave the server."""
        provider, borrower = self.secrets()
        driver = TalkativeDriver()
        self.plugin.drivers = DriverManager({"talkative": driver})
        pairs = self.show("port_pair_group", self.group_id)["port_pairs"]

        def said(words: set[str], **as_: str) -> set[str]:
            driver.refuses = True
            error = self.update(
                "port_pair_group", self.group_id, expect=400, as_=as_, port_pairs=pairs[:1]
            )
            driver.refuses = False
            return {word for word in words if word in error["message"]}

        assert said(borrower) == set()
        assert said(provider - {pairs[1]}), "its own things stay"
        assert said(borrower, roles="admin") == borrower
        driver.refuses = True
        error = self.update(
            "port_chain",
            self.chain_id,
            expect=400,
            as_=TENANT,
            port_pair_groups=[self.group_id],
        )
        assert {word for word in provider if word in error["message"]} == set()
        assert "secret-chain" in error["message"]
        assert "a port pair of another project" in error["message"]

    def test_no_status_names_anything_of_another_project(self) -> None:
        provider, _ = self.secrets()
        driver = TalkativeDriver()
        driver.fails = True
        self.plugin.drivers = DriverManager({"talkative": driver})
        (first, *_) = self.show("port_pair_group", self.group_id)["port_pairs"]
        self.update("port_pair_group", self.group_id, port_pairs=[first])
        chain = self.show("port_chain", self.chain_id, **TENANT)
        assert chain["status"] == "ERROR"
        assert "secret-chain" in chain["status_reason"]
        assert {word for word in provider if word in chain["status_reason"]} == set()

    def test_a_borrower_does_not_learn_the_names_of_hosts(self) -> None:
        self.lend()
        chain = self.borrow()["id"]
        own = self.create("port_pair_group", as_=TENANT)["id"]
        follower = self.borrow(port_pair_groups=[own])["id"]
        self.create("service_graph", as_=TENANT, port_chains={chain: [follower]})
        for one in (chain, follower):
            for texts, words in (
                ({"down_reason": "no tunnel to h1"}, "no tunnel to a host"),
                ({"warning": "h2.cloud is slow"}, "waiting for 2 hosts; a host is slow"),
                ({}, "waiting for 2 hosts"),
            ):
                hosts = ["h1", "h2.cloud"]
                record = PlanRecord(one, 99, dict.fromkeys(hosts, ""), **texts)
                sent_plans.record(self.context, [record])
                realisation.mark_realised(self.context, [(one, 99)])
                self.reason_hides_hosts(one, words)
            for report, words in (
                (HostReport(one, 99, missing="port of vm7"), "a port is not plugged in yet"),
                (HostReport(one, 99, error="no bridge for vm7"), "cannot realise the chain"),
            ):
                realisation.record_reports(self.context, "h1", [report])
                self.reason_hides_hosts(one, words)

    def reason_hides_hosts(self, chain: str, words: str) -> None:
        shown = self.show("port_chain", chain, **TENANT)["status_reason"]
        assert words in shown
        for secret in ("h1", "h2", "vm7"):
            assert secret not in shown
        listed = self.list_all("port_chain", f"id={chain}", **TENANT)
        assert listed[0]["status_reason"] == shown
        seen = self.show("port_chain", chain, roles="admin")["status_reason"]
        assert "h1" in seen, "administrators see hosts"

    def test_a_changed_group_refreshes_the_borrowers_chains(self) -> None:
        self.lend()
        chain = self.borrow()["id"]
        more = self.pair(self.net, "vm2")["id"]
        self.update("port_pair_group", self.group_id, port_pairs=[more])
        assert self.show("port_chain", chain, **TENANT)["status"] == "ACTIVE"


class UsablePortsTest(ApiTestCase):
    """A project cannot use other projects' ports, even if it can see them."""

    def prepare(self) -> None:
        self.net = self.network()
        self.share("network", self.net)
        self.mine = self.port(self.net, "vm")
        self.theirs = self.port(self.net, "vm", **TENANT)

    def refused(self, resource: str, expect: int, **attributes: Any) -> str:
        before = self.rows()
        error = self.create(resource, expect=expect, **attributes)
        assert self.rows() == before
        return str(error["message"])

    def test_ports_of_other_projects_on_a_shared_network_cannot_be_used(self) -> None:
        """The network's owner sees all ports on it, other projects only their own."""
        for attribute, wanted in (
            ("egress", {"ingress": self.mine, "egress": self.theirs}),
            ("ingress", {"ingress": self.theirs, "egress": self.mine}),
        ):
            assert attribute in self.refused("port_pair", 400, **wanted)
            self.refused("port_pair", 404, as_=TENANT, **wanted)
        for attribute in ("logical_source_port", "logical_destination_port"):
            wanted = {attribute: self.theirs}
            assert attribute in self.refused("flow_classifier", 400, **wanted)
            self.refused("flow_classifier", 404, as_=TENANT, **{attribute: self.mine})
        self.create("port_pair", ingress=self.mine, egress=self.mine)
        self.create("port_pair", as_=TENANT, ingress=self.theirs, egress=self.theirs)

    def test_a_refused_port_deletion_names_no_resource_of_another_project(self) -> None:
        admin = {"roles": "admin"}
        pair = self.create(
            "port_pair", as_=admin, name="secret", ingress=self.theirs, egress=self.theirs
        )
        assert pair["project_id"] == PROJECT
        response = self.call("DELETE", f"/ports/{self.theirs}", **TENANT)
        assert response.status_int == 409
        assert "a port pair of another project" in response.text
        assert "secret" not in response.text
        assert pair["id"] not in response.text
