"""A provider that shares a port pair group with a tenant."""

from typing import Any

from tests.unit.api.base import OTHER_PROJECT, ApiTestCase

TENANT = {"project": OTHER_PROJECT}


class ProviderTestCase(ApiTestCase):
    """PROJECT has a group to share with OTHER_PROJECT."""

    def prepare(self) -> None:
        self.net = self.network()
        self.group_id = self.group(self.net, name="firewall")["id"]

    def lend(self, target: str = OTHER_PROJECT, **how: Any) -> str:
        """Share the group; return the policy's id."""
        return self.share("port_pair_group", self.group_id, target, **how)

    def revoke(self, policy: str, expect: int = 204) -> str:
        response = self.call("DELETE", f"/rbac-policies/{policy}")
        assert response.status_int == expect, response.text
        return str(response.text)

    def borrow(self, **attributes: Any) -> Any:
        return self.create(
            "port_chain", as_=TENANT, **{"port_pair_groups": [self.group_id]} | attributes
        )

    def behind(self, tenant: dict[str, str]) -> str:
        """Create a group with one function, of a project; empty for PROJECT."""
        net = self.network(**tenant)
        ends = [self.port(net, "vm", **tenant) for _ in range(2)]
        pair = self.create("port_pair", as_=tenant or None, ingress=ends[0], egress=ends[1])["id"]
        group = self.create("port_pair_group", as_=tenant or None, port_pairs=[pair])
        return str(group["id"])
