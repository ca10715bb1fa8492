"""Filters, sorting and pages of lists; policies; quotas."""

import itertools
from operator import itemgetter

from neutron import policy
from neutron.quota import resource_registry
from oslo_config import cfg
from oslo_policy import policy as oslo_policy
from oslo_utils import uuidutils

from portchain.api import definitions
from tests.unit.api.base import OTHER_PROJECT, ApiTestCase

RESOURCES = tuple(definitions.resources())


class ListTest(ApiTestCase):
    def prepare(self) -> None:
        self.net = self.network()

    def groups(self, *names: str) -> dict[str, str]:
        """Create groups; return their ids by name."""
        return {name: self.create("port_pair_group", name=name)["id"] for name in names}

    def names(self, query: str) -> list[str]:
        return [group["name"] for group in self.list_all("port_pair_group", query)]

    def test_extensions_are_announced(self) -> None:
        for definition in definitions.ALL:
            assert self.call("GET", f"/extensions/{definition.ALIAS}").status_int == 200

    def test_filter_by_column(self) -> None:
        ids = self.groups("a", "b", "c")
        assert self.names("name=b") == ["b"]
        assert sorted(self.names("name=b&name=c")) == ["b", "c"]
        assert self.names(f"id={ids['a']}") == ["a"]
        assert self.names("name=nobody") == []

    def test_filter_of_classifiers_by_protocol_name(self) -> None:
        self.create("flow_classifier", name="one", protocol="tcp")
        self.create("flow_classifier", name="two", protocol="udp")
        (found,) = self.list_all("flow_classifier", "protocol=TCP")
        assert found["name"] == "one"

    def test_filter_by_members(self) -> None:
        chains = [self.chain(self.net) for _ in range(2)]
        for attribute in ("port_pair_groups", "flow_classifiers"):
            (member,) = chains[0][attribute]
            assert self.list_all("port_chain", f"{attribute}={member}") == [chains[0]]
        (group,) = chains[1]["port_pair_groups"]
        shown = self.show("port_pair_group", group)
        assert self.list_all("port_pair_group", f"port_pairs={shown['port_pairs'][0]}") == [shown]

    def test_filters_that_no_column_answers_are_refused(self) -> None:
        for query in ("colour=red", "chain_parameters=mpls", "status=ACTIVE", "chain_id=many"):
            self.list_all("port_chain", query, expect=400)

    def test_sorted_pages(self) -> None:
        self.groups("c", "a", "d", "b")
        assert self.names("sort_key=name&sort_dir=asc") == ["a", "b", "c", "d"]
        assert self.names("sort_key=name&sort_dir=desc") == ["d", "c", "b", "a"]
        page = "sort_key=name&sort_dir=asc&limit=2"
        response = self.call("GET", f"/sfc/port_pair_groups?{page}").json
        first = response["port_pair_groups"]
        assert [group["name"] for group in first] == ["a", "b"]
        assert response["port_pair_groups_links"][0]["rel"] == "next"
        assert self.names(f"{page}&marker={first[-1]['id']}") == ["c", "d"]
        assert self.names(f"{page}&marker={first[0]['id']}&page_reverse=True") == []

    def test_pages_of_equal_names(self) -> None:
        """In each direction, forwards and backwards, each page follows the one before."""
        names = ("b", "a", "b", "c", "b", "a", "")
        rows = [(self.create("port_pair_group", name=one)["id"], one) for one in names]
        for by_name, by_id in itertools.product(("asc", "desc"), repeat=2):
            rows.sort(reverse=by_id == "desc")
            rows.sort(key=itemgetter(1), reverse=by_name == "desc")
            order = f"sort_key=name&sort_dir={by_name}&sort_key=id&sort_dir={by_id}"
            for size, number in itertools.product((1, 2, 3, 10), range(-1, len(rows))):
                marker = f"&marker={rows[number][0]}" if number >= 0 else ""
                query = f"{order}&limit={size}{marker}"
                after = [row[0] for row in rows[number + 1 :][:size]]
                assert [one["id"] for one in self.list_all("port_pair_group", query)] == after
                if marker:
                    before = [row[0] for row in rows[:number][-size:]]
                    found = self.list_all("port_pair_group", f"{query}&page_reverse=True")
                    assert [one["id"] for one in found] == before

    def test_sort_keys_that_no_column_answers_are_refused(self) -> None:
        for key in ("port_pairs", "port_pair_group_parameters", "colour"):
            self.list_all("port_pair_group", f"sort_key={key}&sort_dir=asc", expect=400)

    def test_unknown_marker(self) -> None:
        self.list_all("port_chain", f"limit=1&marker={uuidutils.generate_uuid()}", expect=404)

    def test_fields(self) -> None:
        group = self.groups("a")["a"]
        assert self.list_all("port_pair_group", "fields=id&fields=name") == [
            {"id": group, "name": "a"}
        ]
        response = self.call("GET", f"/sfc/port_pair_groups/{group}?fields=group_id").json
        assert response["port_pair_group"].keys() == {"group_id"}

    def test_unknown_ids(self) -> None:
        for resource in RESOURCES:
            for an_id in (uuidutils.generate_uuid(), "x", "x" * 300):
                self.show(resource, an_id, expect=404)
                self.update(resource, an_id, expect=404, name="x")
                self.delete(resource, an_id, expect=404)


class PolicyTest(ApiTestCase):
    def test_readers_can_show_but_not_change(self) -> None:
        chain = self.chain(self.network())
        parts = {
            "port_chain": chain["id"],
            "port_pair_group": chain["port_pair_groups"][0],
            "flow_classifier": chain["flow_classifiers"][0],
        }
        for resource, an_id in parts.items():
            assert self.show(resource, an_id, roles="reader")["id"] == an_id
            self.create(resource, expect=403, as_={"roles": "reader"}, **self.least(resource))
            self.update(resource, an_id, expect=403, as_={"roles": "reader"}, name="x")
            self.delete(resource, an_id, expect=403, roles="reader")

    @staticmethod
    def least(resource: str) -> dict[str, object]:
        some = uuidutils.generate_uuid()
        return {"port_chain": {"port_pair_groups": [some]}}.get(resource, {})

    def test_other_projects_cannot_see_resources(self) -> None:
        chain = self.chain(self.network())
        assert self.list_all("port_chain", project=OTHER_PROJECT) == []
        self.show("port_chain", chain["id"], expect=404, project=OTHER_PROJECT)
        other = {"project": OTHER_PROJECT}
        self.update("port_chain", chain["id"], expect=404, as_=other, name="x")
        self.delete("port_chain", chain["id"], expect=404, **other)

    def test_administrator_sees_all_and_creates_for_others(self) -> None:
        chain = self.chain(self.network())
        admin = {"project": OTHER_PROJECT, "roles": "admin"}
        assert self.list_all("port_chain", **admin) == [chain]
        group = self.create("port_pair_group", as_=admin, project_id=chain["project_id"])
        assert self.show("port_pair_group", group["id"])["tenant_id"] == chain["project_id"]

    def test_a_policy_decides_who_sees_status_reason(self) -> None:
        chain = self.chain(self.network())
        assert "status_reason" in self.show("port_chain", chain["id"])
        rule = {"get_port_chain:status_reason": "role:admin"}
        policy._ENFORCER.set_rules(oslo_policy.Rules.from_dict(rule), overwrite=False)
        for shown in (self.show("port_chain", chain["id"]), *self.list_all("port_chain")):
            assert "status_reason" not in shown
            assert shown["status"] == "ACTIVE"
        assert "status_reason" in self.show("port_chain", chain["id"], roles="admin")

    def test_members_cannot_create_for_others(self) -> None:
        self.create("port_pair_group", expect=400, project_id=OTHER_PROJECT)


class QuotaTest(ApiTestCase):
    enforces_quotas = True

    def test_default_quotas(self) -> None:
        expected = {
            "port_chain": 10,
            "service_graph": 10,
            "port_pair_group": 10,
            "port_pair": 100,
            "flow_classifier": 100,
            "trace": 20,
        }
        quota = self.call("GET", f"/quotas/{self.context.project_id or 'p'}", roles="admin").json
        assert expected.items() <= quota["quota"].items()
        assert expected.keys() <= resource_registry.get_all_resources().keys()

    def test_over_quota(self) -> None:
        cfg.CONF.set_override("quota_port_pair_group", 2, "QUOTAS")
        for _ in range(2):
            group = self.create("port_pair_group")
        error = self.create("port_pair_group", expect=409)
        assert error["type"] == "OverQuota"
        self.create("port_pair_group", as_={"project": OTHER_PROJECT})
        self.delete("port_pair_group", group["id"])
        self.create("port_pair_group")
