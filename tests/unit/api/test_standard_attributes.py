"""Neutron's standard attributes: revision numbers, times, conditional requests."""

from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from neutron_lib.db import standard_attr

from tests.unit.api.base import ApiTestCase


class StandardAttributesTest(ApiTestCase):
    service_plugins = ("port_chain", "revisions", "timestamp", "tag")

    def prepare(self) -> None:
        self.net = self.network()

    def one_of_each(self) -> dict[str, Any]:
        """Create resources; return them by kind."""
        chains = [
            self.create("port_chain", port_pair_groups=[self.group(self.net)["id"]])
            for _ in range(2)
        ]
        group = self.show("port_pair_group", chains[0]["port_pair_groups"][0])
        return {
            "flow_classifier": self.create("flow_classifier"),
            "service_graph": self.create(
                "service_graph", port_chains={chains[0]["id"]: [chains[1]["id"]]}
            ),
            "port_chain": self.show("port_chain", chains[0]["id"]),
            "port_pair_group": group,
            "port_pair": self.show("port_pair", group["port_pairs"][0]),
        }

    def test_new_resources_have_revision_number_and_times(self) -> None:
        for shown in self.one_of_each().values():
            assert isinstance(shown["revision_number"], int)
            assert shown["created_at"].endswith("Z")
            assert shown["updated_at"] >= shown["created_at"]

    def test_our_description_replaces_the_one_of_neutron(self) -> None:
        """Neutron's own extension accepts neither null nor refuses half a surrogate pair."""
        for resource, made in self.one_of_each().items():
            path = f"/sfc/{resource}s/{made['id']}"
            response = self.call("PUT", path, {resource: {"description": "\ud800"}})
            assert response.status_int == 400
            assert "description" in response.json["NeutronError"]["message"]
            assert self.update(resource, made["id"], description=None)["description"] == ""

    def test_each_update_adds_one_to_the_revision_number(self) -> None:
        for resource, made in self.one_of_each().items():
            shown = made
            for change in (
                {"name": "new"},
                {"description": "new"},
                {"name": "newer", "description": "newer"},
            ):
                changed = self.update(resource, shown["id"], **change)
                assert changed["revision_number"] == shown["revision_number"] + 1, resource
                assert changed["updated_at"] >= shown["updated_at"]
                shown = changed
            unchanged = self.update(resource, shown["id"], name="newer")
            assert unchanged["revision_number"] == shown["revision_number"]

    def test_changed_members_count_as_an_update_of_their_owner(self) -> None:
        chain = self.chain(self.net)
        more = self.group(self.net)
        changed = self.update(
            "port_chain",
            chain["id"],
            name="new",
            flow_classifiers=[],
            port_pair_groups=[more["id"]],
        )
        assert changed["revision_number"] == chain["revision_number"] + 1
        changed = self.update("port_pair_group", more["id"], port_pairs=[])
        assert changed["revision_number"] == more["revision_number"] + 1
        # The chain is realised again, but no request has updated it.
        assert self.show("port_chain", chain["id"])["revision_number"] == 1

    def conditional(self, method: str, resource: str, an_id: str, number: Any, **body: Any) -> int:
        response = self.call(
            method,
            f"/sfc/{resource}s/{an_id}",
            {resource: body} if body else None,
            headers={"If-Match": f"revision_number={number}"},
        )
        status: int = response.status_int
        return status

    def test_conditional_updates(self) -> None:
        for resource, shown in self.one_of_each().items():
            an_id, number = shown["id"], shown["revision_number"]
            assert self.conditional("PUT", resource, an_id, number + 1, name="x") == 412
            assert self.show(resource, an_id) == shown
            assert self.conditional("PUT", resource, an_id, number, name="x") == 200
            assert self.conditional("PUT", resource, an_id, number, name="y") == 412
            assert self.conditional("PUT", resource, an_id, "many", name="y") == 400
            assert self.show(resource, an_id)["name"] == "x"

    def test_conditional_updates_of_members(self) -> None:
        chain, more = self.chain(self.net), self.group(self.net)["id"]
        number = chain["revision_number"]
        wanted = {"port_pair_groups": [more]}
        assert self.conditional("PUT", "port_chain", chain["id"], number + 1, **wanted) == 412
        assert self.show("port_chain", chain["id"]) == chain
        assert self.conditional("PUT", "port_chain", chain["id"], number, **wanted) == 200
        assert self.show("port_chain", chain["id"])["port_pair_groups"] == [more]

    def test_conditional_deletes(self) -> None:
        for resource, shown in self.one_of_each().items():
            an_id, number = shown["id"], shown["revision_number"]
            if resource in ("flow_classifier", "service_graph"):
                assert self.conditional("DELETE", resource, an_id, number + 1) == 412
                assert self.conditional("DELETE", resource, an_id, number) == 204
                self.show(resource, an_id, expect=404)

    def test_lists_filter_and_sort_by_standard_attributes(self) -> None:
        graph = self.one_of_each()
        group = graph["port_pair_group"]
        self.update("port_pair_group", group["id"], description="changed")
        assert [one["id"] for one in self.list_all("port_pair_group", "revision_number=1")] == [
            group["id"]
        ]
        assert [one["id"] for one in self.list_all("port_pair_group", "description=changed")] == [
            group["id"]
        ]
        for key in ("revision_number", "description", "created_at"):
            query = f"sort_key={key}&sort_dir=asc"
            assert self.call("GET", f"/sfc/port_pair_groups?{query}").status_int in (200, 400), key

    def test_deleted_resources_leave_no_standard_attributes(self) -> None:
        table = standard_attr.StandardAttribute

        def count() -> Any:
            with db_api.CONTEXT_READER.using(self.context):
                query = sa.select(sa.func.count()).where(table.resource_type.like("portchain_%"))
                return self.context.session.scalar(query)

        chain = self.chain(self.net)
        assert count() == 4
        self.delete("port_chain", chain["id"])
        self.delete("flow_classifier", chain["flow_classifiers"][0])
        group = self.show("port_pair_group", chain["port_pair_groups"][0])
        self.delete("port_pair_group", group["id"])
        self.delete("port_pair", group["port_pairs"][0])
        assert count() == 0
