"""Who may do what, with real tokens: two projects, four roles, every method of every resource."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from portchain_lab import layout
from portchain_lab.cloud import clients
from portchain_lab.lab import Lab

ROLES = ("admin", "manager", "member", "reader")
OWNER, OTHER = "tenancy-owner", "tenancy-other"
RESOURCES = (
    "flow_classifier",
    "port_pair",
    "port_pair_group",
    "port_chain",
    "service_graph",
)
MAY_SEE = {
    **{f"{OWNER}-{role}": True for role in ROLES},
    **{f"{OTHER}-{role}": role == "admin" for role in ROLES},
}
"""Whether a persona sees what the owner's project has."""

MAY_CHANGE = {persona: sees and "reader" not in persona for persona, sees in MAY_SEE.items()}


@dataclass
class Persona:
    """A user with one role in one project, and what the API answers it."""

    cloud: Any

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request; return the status and the body."""
        response = self.cloud.network.request(path, method, json=body, raise_exc=False)
        return response.status_code, response.json() if response.content else None

    def create(self, resource: str, **attributes: Any) -> tuple[int, Any]:
        prefix = "/sfc" if resource in RESOURCES else ""
        plural = f"{resource[:-1]}ies" if resource.endswith("y") else f"{resource}s"
        status, body = self.call("POST", f"{prefix}/{plural}", {resource: attributes})
        return status, (body or {}).get(resource, body)


@dataclass
class Cast:
    """All personas, and one resource of each kind in the owner's project."""

    personas: Mapping[str, Persona]
    ports: list[str] = field(default_factory=list)
    network: str = ""
    made: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Persona:
        return self.personas[name]

    def make(self, resource: str, **attributes: Any) -> str:
        status, shown = self[f"{OWNER}-member"].create(resource, **attributes)
        assert status == 201, shown
        return str(shown["id"])

    def create_resources(self) -> None:
        """Create the resources that the tests use."""
        self.network = self.make("network", name="net")
        self.make("subnet", network_id=self.network, cidr="10.77.0.0/24", ip_version=4)
        self.ports = [
            self.make("port", network_id=self.network, device_id=f"vm{number // 2}")
            for number in range(6)
        ]
        self.made["port_pair"] = self.make("port_pair", ingress=self.ports[0], egress=self.ports[1])
        self.made["port_pair_group"] = self.make(
            "port_pair_group", port_pairs=[self.made["port_pair"]]
        )
        self.made["flow_classifier"] = self.make(
            "flow_classifier", protocol="tcp", logical_source_port=self.ports[2]
        )
        chains = [
            self.make(
                "port_chain",
                port_pair_groups=[group],
                flow_classifiers=classifiers,
            )
            for group, classifiers in (
                (self.made["port_pair_group"], [self.made["flow_classifier"]]),
                (self.make("port_pair_group"), []),
            )
        ]
        self.made["port_chain"] = chains[0]
        self.made["service_graph"] = self.make(
            "service_graph", port_chains={chains[0]: [chains[1]]}
        )

    def clear(self) -> None:
        """Delete what the two projects have."""
        admin = self[f"{OWNER}-admin"]
        for path in (
            *(f"/sfc/{resource}s" for resource in ("service_graph", "port_chain")),
            *(f"/sfc/{resource}s" for resource in ("port_pair_group", "port_pair")),
            "/sfc/flow_classifiers",
            "/ports",
            "/networks",
        ):
            for project in {
                self[f"{one}-admin"].cloud.current_project_id for one in (OWNER, OTHER)
            }:
                _, listed = admin.call("GET", f"{path}?project_id={project}&fields=id")
                for one in next(iter(listed.values())):
                    status, answer = admin.call("DELETE", f"{path}/{one['id']}")
                    assert status == 204, answer


@pytest.fixture(scope="module")
def cast(lab: Lab) -> Iterator[Cast]:
    made = Cast(_identities(lab))
    made.clear()
    made.create_resources()
    yield made
    made.clear()


def _identities(lab: Lab) -> dict[str, Persona]:
    """Make projects and users, or find those of a run before."""
    identity = lab.sdk("admin").identity
    roles = {role.name: role for role in identity.roles()}
    personas = {}
    for name in (OWNER, OTHER):
        project = identity.find_project(name) or identity.create_project(
            name=name, domain_id="default"
        )
        for role in ROLES:
            user = f"{name}-{role}"
            person = identity.find_user(user) or identity.create_user(
                name=user, password=layout.PASSWORD, domain_id="default"
            )
            identity.assign_project_role_to_user(project, person, roles[role])
            personas[user] = Persona(clients.connect(lab.layout, user, name))
    return personas


@pytest.mark.parametrize("persona", sorted(MAY_SEE))
@pytest.mark.parametrize("resource", RESOURCES)
def test_show_list_update_and_delete(cast: Cast, resource: str, persona: str) -> None:
    caller, an_id = cast[persona], cast.made[resource]
    path = f"/sfc/{resource}s"
    status, shown = caller.call("GET", f"{path}/{an_id}")
    assert status == (200 if MAY_SEE[persona] else 404), shown
    for query in (
        "",
        f"?id={an_id}",
        f"?project_id={cast[f'{OWNER}-admin'].cloud.current_project_id}",
    ):
        status, listed = caller.call("GET", path + query)
        assert status == 200, listed
        found = {one["id"] for one in listed[f"{resource}s"]}
        assert (an_id in found) == MAY_SEE[persona], query
    refusal = 403 if MAY_SEE[persona] else 404
    status, answer = caller.call("PUT", f"{path}/{an_id}", {resource: {"description": persona}})
    assert status == (200 if MAY_CHANGE[persona] else refusal), answer
    # All resources but the graph are in use. Nobody deletes the graph here.
    if resource != "service_graph" or not MAY_CHANGE[persona]:
        status, answer = caller.call("DELETE", f"{path}/{an_id}")
        assert status == (409 if MAY_CHANGE[persona] else refusal), answer


@pytest.mark.parametrize("persona", sorted(one for one in MAY_SEE if "reader" not in one))
def test_create_and_delete_in_ones_own_project(cast: Cast, persona: str) -> None:
    caller, made = cast[persona], list[tuple[str, str]]()

    def create(resource: str, **attributes: Any) -> str:
        status, shown = caller.create(resource, **attributes)
        assert status == 201, (resource, shown)
        assert shown["project_id"] == caller.cloud.current_project_id
        made.append((f"{'/sfc' if resource in RESOURCES else ''}/{resource}s", shown["id"]))
        return str(shown["id"])

    network = create("network", name=persona)
    create("subnet", network_id=network, cidr="10.78.0.0/24", ip_version=4)
    ports = [create("port", network_id=network, device_id=device) for device in ("a", "b", "b")]
    pair = create("port_pair", ingress=ports[1], egress=ports[2])
    group = create("port_pair_group", port_pairs=[pair])
    taken = create("flow_classifier", protocol="udp", logical_source_port=ports[0])
    chain = create("port_chain", port_pair_groups=[group], flow_classifiers=[taken])
    create(
        "service_graph",
        port_chains={chain: [create("port_chain", port_pair_groups=[create("port_pair_group")])]},
    )
    # In reverse order, nothing is deleted before what uses it.
    for path, an_id in reversed(made):
        status, answer = caller.call("DELETE", f"{path}/{an_id}")
        assert status == 204, (path, answer)


@pytest.mark.parametrize("project", [OWNER, OTHER])
def test_readers_create_nothing(cast: Cast, project: str) -> None:
    groups, chain = [cast.made["port_pair_group"]], cast.made["port_chain"]
    for resource, attributes in (
        ("flow_classifier", {"protocol": "udp"}),
        ("port_pair", {"ingress": cast.ports[4], "egress": cast.ports[5]}),
        ("port_pair_group", {}),
        ("port_chain", {"port_pair_groups": groups}),
        ("service_graph", {"port_chains": {chain: [chain]}}),
    ):
        status, answer = cast[f"{project}-reader"].create(resource, **attributes)
        assert status == 403, (resource, answer)


@pytest.mark.parametrize("role", ["manager", "member"])
def test_nobody_uses_resources_of_another_project(cast: Cast, role: str) -> None:
    caller = cast[f"{OTHER}-{role}"]
    status, group = caller.create("port_pair_group")
    assert status == 201, group
    pair = {"ingress": cast.ports[4], "egress": cast.ports[5]}
    for resource, attributes in (
        ("port_pair", pair),
        ("port_pair_group", {"port_pairs": [cast.made["port_pair"]]}),
        ("flow_classifier", {"logical_source_port": cast.ports[2]}),
        ("flow_classifier", {"logical_destination_port": cast.ports[2]}),
        ("port_chain", {"port_pair_groups": [cast.made["port_pair_group"]]}),
        (
            "port_chain",
            {
                "port_pair_groups": [group["id"]],
                "flow_classifiers": [cast.made["flow_classifier"]],
            },
        ),
        ("service_graph", {"port_chains": {cast.made["port_chain"]: [cast.made["port_chain"]]}}),
    ):
        status, answer = caller.create(resource, **attributes)
        assert status in (400, 404) if resource == "service_graph" else status == 404, answer
        status, answer = caller.create(
            resource, project_id=cast[f"{OWNER}-admin"].cloud.current_project_id, **attributes
        )
        assert 400 <= status < 405, answer
    assert caller.call("DELETE", f"/sfc/port_pair_groups/{group['id']}")[0] == 204


def test_sharing_a_group(cast: Cast) -> None:
    """A member shares a group. Once the other project uses it, nobody can revoke that."""
    owner, tenant = cast[f"{OWNER}-member"], cast[f"{OTHER}-member"]
    group = cast.made["port_pair_group"]
    status, policy = owner.create(
        "rbac_policy",
        object_type="port_pair_group",
        object_id=group,
        action="access_as_shared",
        target_tenant=tenant.cloud.current_project_id,
    )
    assert status == 201, policy
    status, shown = tenant.call("GET", f"/sfc/port_pair_groups/{group}")
    assert (status, shown["port_pair_group"]["shared"]) == (200, True)
    for pair in shown["port_pair_group"]["port_pairs"]:
        assert tenant.call("GET", f"/sfc/port_pairs/{pair}")[0] == 404
    assert (
        tenant.call("PUT", f"/sfc/port_pair_groups/{group}", {"port_pair_group": {"name": "x"}})[0]
        == 403
    )
    assert tenant.call("DELETE", f"/sfc/port_pair_groups/{group}")[0] == 403
    status, chain = tenant.create("port_chain", port_pair_groups=[group])
    assert status == 201, chain
    status, answer = owner.call("DELETE", f"/rbac-policies/{policy['id']}")
    assert status == 409, answer
    status, answer = owner.call("DELETE", f"/sfc/port_pair_groups/{group}")
    assert status == 409
    assert chain["id"] not in str(answer)
    # The status that the tenant sees names no pair, port or host of the owner.
    status, shown = tenant.call("GET", f"/sfc/port_chains/{chain['id']}")
    for secret in (cast.made["port_pair"], *cast.ports):
        assert secret not in shown["port_chain"]["status_reason"]
    assert tenant.call("DELETE", f"/sfc/port_chains/{chain['id']}")[0] == 204
    assert owner.call("DELETE", f"/rbac-policies/{policy['id']}")[0] == 204
    assert tenant.call("GET", f"/sfc/port_pair_groups/{group}")[0] == 404
