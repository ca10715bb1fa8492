"""Every attribute of the API is known in every place that has to know it.

`portchain.api.definitions` declares the attributes. Whoever adds one there sees these tests fail
for each place that lacks it: database, model, OpenAPI document, clients, documentation, tests of
error messages.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from neutron_lib.api import extensions as lib_extensions
from neutron_lib.db import api as db_api
from neutronclient.osc.v2.sfc import (
    sfc_flow_classifier,
    sfc_port_chain,
    sfc_port_pair,
    sfc_port_pair_group,
    sfc_service_graph,
)

from portchain import policies
from portchain.api import checks, definitions, extensions, openapi
from portchain.cli import hooks, traces
from portchain.cli.kinds import KINDS
from portchain.db import convert, models, snapshots
from tests.unit.api import test_messages
from tests.unit.api.base import ApiTestCase

DOCS = Path(__file__).parents[3] / "docs" / "api.md"
RESOURCES = definitions.resources()
ATTRIBUTES = [(resource, name) for resource in RESOURCES for name in RESOURCES[resource]]

everywhere = pytest.mark.parametrize(("resource", "name"), ATTRIBUTES)


# Extensions and policies


def test_every_extension_has_a_module_that_neutron_finds() -> None:
    aliases = []
    for module in pkgutil.iter_modules(extensions.__path__, f"{extensions.__name__}."):
        loaded = importlib.import_module(module.name)
        descriptor = getattr(loaded, module.name.rpartition(".")[2].capitalize())
        assert issubclass(descriptor, lib_extensions.APIExtensionDescriptor)
        aliases.append(descriptor.get_alias())
    assert sorted(aliases) == sorted(definition.ALIAS for definition in definitions.ALL)


def test_every_resource_and_guarded_attribute_has_policies() -> None:
    known = {rule.name for rule in policies.list_rules()}
    for resource, attributes in RESOURCES.items():
        assert {f"{verb}_{resource}" for verb in ("create", "get", "update", "delete")} <= known
        guarded = {name for name, rules in attributes.items() if rules.get("enforce_policy")}
        assert {f"get_{resource}:{name}" for name in guarded} <= known


# The OpenAPI document


@everywhere
def test_the_openapi_document_has_it(resource: str, name: str) -> None:
    rules, document = RESOURCES[resource][name], openapi.document()
    schema = document["components"]["schemas"][resource]["properties"]
    assert (name in schema) == rules["is_visible"]
    path = f"{definitions.API_PREFIX}/{resource}s"
    for method, where in (("post", path), ("put", f"{path}/{{id}}")):
        body = document["paths"][where][method]["requestBody"]["content"]["application/json"]
        sent = body["schema"]["properties"][resource]["properties"]
        assert (name in sent) == rules[f"allow_{method}"], method


# The clients


OF_NEUTRON = [(resource, name) for resource, name in ATTRIBUTES if resource in KINDS]


@pytest.mark.parametrize(("resource", "name"), OF_NEUTRON)
def test_the_neutron_command_has_options_and_a_column_for_it(resource: str, name: str) -> None:
    rules, kind = RESOURCES[resource][name], KINDS[resource]
    creating = {one for option in kind.options if option.creatable for one in option.attributes}
    updating = {one for option in kind.options if option.updatable for one in option.attributes}
    assert (name in creating) == rules["allow_post"]
    assert (name in updating) == rules["allow_put"]
    shown = {"id", "name", *kind.columns, *kind.long_columns}
    assert (name in shown) == rules["is_visible"]


def test_the_neutron_command_has_no_options_for_attributes_that_do_not_exist() -> None:
    for resource in RESOURCES.keys() & KINDS.keys():
        for option in KINDS[resource].options:
            assert set(option.attributes) <= RESOURCES[resource].keys(), option.flag


ADDITIONS = {one.kind.name: one for one in (hooks.CHAINS, hooks.GROUPS, hooks.PAIRS)}
OPENSTACK = {
    "flow_classifier": sfc_flow_classifier,
    "port_pair": sfc_port_pair,
    "port_pair_group": sfc_port_pair_group,
    "port_chain": sfc_port_chain,
    "service_graph": sfc_service_graph,
    "trace": traces,
}
NOT_IN_OPENSTACK = {("port_chain", "chain_id"), ("port_pair_group", "group_id")}
"""Numbers of the data plane, for operators; ``neutron`` and the API show them."""


@everywhere
def test_openstack_sfc_shows_it_with_our_hooks(resource: str, name: str) -> None:
    # openstacksdk calls tap_enabled is_tap_enabled.
    own = {one.removeprefix("is_") for one, _, _ in OPENSTACK[resource]._attr_map}
    added = set(ADDITIONS[resource].attributes if resource in ADDITIONS else ())
    if RESOURCES[resource][name]["is_visible"]:
        assert (name in own | added) != ((resource, name) in NOT_IN_OPENSTACK)
    else:
        assert name not in own | added
    assert name not in own & added, "the command shows it already"


@pytest.mark.parametrize("resource", ADDITIONS)
def test_openstack_sfc_accepts_it_with_our_hooks(resource: str) -> None:
    added = ADDITIONS[resource]
    for creating, method in ((True, "post"), (False, "put")):
        taken = {name for option in added.options(creating=creating) for name in option.attributes}
        for name in added.attributes:
            assert (name in taken) == RESOURCES[resource][name][f"allow_{method}"], name


# The documentation


def documented(resource: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the attributes in the table of a resource in the docs, with the other cells."""
    heading = f"### {resource.replace('_', ' ').capitalize()}s"
    section = DOCS.read_text().partition(f"\n{heading}\n")[2].partition("\n#")[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells:
            continue
        if match := re.fullmatch(r"`(\w+)`", cells[0]):
            yield match[1], cells[1:]


@everywhere
def test_the_documentation_has_it(resource: str, name: str) -> None:
    rules, rows = RESOURCES[resource][name], dict(documented(resource))
    assert name in rows
    sent, _default, meaning = rows[name]
    expected = {
        (True, True): "create, update",
        (True, False): "create",
        (False, True): "update",
        (False, False): "read-only",
    }
    assert sent == expected[rules["allow_post"], rules["allow_put"]]
    assert len(meaning) > 10


@everywhere
def test_the_documentation_has_its_default(resource: str, name: str) -> None:
    rules, (_, default, _) = RESOURCES[resource][name], dict(documented(resource))[name]
    if not rules["allow_post"]:
        assert default == ""
    elif "default" not in rules:
        assert default == "required"
    elif isinstance(rules["default"], str | bool | int):
        assert default == f"`{str(rules['default']).lower()}`" or (default, rules["default"]) in (
            ("`IPv4`", "IPv4"),
            ("empty", ""),
        )
    else:
        assert default


@pytest.mark.parametrize("resource", RESOURCES)
def test_the_documentation_has_nothing_else(resource: str) -> None:
    assert dict(documented(resource)).keys() == RESOURCES[resource].keys()


def test_the_documentation_has_every_extension() -> None:
    text = DOCS.read_text()
    assert [one.ALIAS for one in definitions.ALL if f"| `{one.ALIAS}` |" not in text] == []


# Error messages


@everywhere
def test_wrong_values_of_it_are_tested(resource: str, name: str) -> None:
    rows = (*test_messages.TEXT, *test_messages.OWNER, *test_messages.WRONG[resource])
    tried = {attribute.partition(".")[0] for attribute, _, _ in rows}
    rules = RESOURCES[resource][name]
    if rules["allow_post"]:
        assert name in tried, "add wrong values to test_messages.WRONG"
    if rules["allow_put"] and name not in ("name", "description"):
        changed = test_messages.CHANGED[resource]
        assert name in {attribute.partition(".")[0] for attribute, _, _ in changed}


@everywhere
def test_its_converter_and_validator_name_it(resource: str, name: str) -> None:
    rules = RESOURCES[resource][name]
    if "validate" in rules:
        assert rules["validate"].keys() == {checks.VALIDATOR}
    if "convert_to" in rules:
        assert inspect.getclosurevars(rules["convert_to"]).nonlocals["attribute"] == name


# The database and the model


ONLY_FOR_PEOPLE = {"name", "description"}
"""They change nothing in the data plane, so the model need not have them."""


class StoredTest(ApiTestCase):
    """What a request sets, the database keeps, the API shows and the model has."""

    def prepare(self) -> None:
        self.net = self.network()
        self.ports = [self.port(self.net, "vm") for _ in range(4)]
        self.pairs = [
            self.create("port_pair", ingress=self.ports[2], egress=egress)["id"]
            for egress in self.ports[2:]
        ]
        self.groups = [
            self.create("port_pair_group", port_pairs=[pair])["id"] for pair in self.pairs
        ]
        self.chains = [
            self.create("port_chain", port_pair_groups=[group])["id"]
            for group in (*self.groups, *self.groups)
        ]

        self.classifier_id = self.create("flow_classifier", protocol="gre")["id"]

    def least(self, resource: str) -> dict[str, Any]:
        """Return the attributes that a request must have."""
        return {
            "flow_classifier": {"protocol": "udp"},
            "port_pair": {"ingress": self.ports[0], "egress": self.ports[1]},
            "port_pair_group": {},
            "port_chain": {"port_pair_groups": [self.groups[0]]},
            "service_graph": {"port_chains": {self.chains[1]: [self.chains[0]]}},
        }[resource]

    def samples(self, resource: str) -> dict[str, dict[str, Any]]:
        """Return a request for each attribute, in which it has not its default."""
        tcp = {"protocol": "tcp"}
        samples: dict[str, dict[str, Any]] = {
            "flow_classifier": {
                "ethertype": {"ethertype": "IPv6"},
                "protocol": tcp,
                "source_port_range_min": tcp | {"source_port_range_min": 7},
                "source_port_range_max": tcp | {"source_port_range_max": 7},
                "destination_port_range_min": tcp | {"destination_port_range_min": 7},
                "destination_port_range_max": tcp | {"destination_port_range_max": 7},
                "source_ip_prefix": {"source_ip_prefix": "10.7.0.0/16"},
                "destination_ip_prefix": {"destination_ip_prefix": "10.7.0.0/16"},
                "logical_source_port": {"logical_source_port": self.ports[0]},
                "logical_destination_port": {"logical_destination_port": self.ports[0]},
                "l7_parameters": {"l7_parameters": {"logical_source_network": self.net}},
            },
            "port_pair": {
                "ingress": {"ingress": self.ports[1]},
                "egress": {"egress": self.ports[0]},
                "function_kind": {"function_kind": "l2"},
                "service_function_parameters": {
                    "service_function_parameters": {"correlation": "mpls", "weight": 7}
                },
                "admin_state_up": {"admin_state_up": False},
                "backup": {"backup": True},
            },
            "port_pair_group": {
                "port_pairs": {"port_pairs": [self.unused_pair()]},
                "port_pair_group_parameters": {
                    "port_pair_group_parameters": {
                        "lb_fields": ["ip_src"],
                        "ppg_n_tuple_mapping": {
                            "ingress_n_tuple": {"source_ip_prefix": "10.7.0.0/16"},
                            "egress_n_tuple": {"source_ip_prefix": "10.8.0.0/16"},
                        },
                    }
                },
                "tap_enabled": {"tap_enabled": True},
                "health_check": {"health_check": "icmp"},
                "failure_mode": {"failure_mode": "open"},
                "health_check_parameters": {
                    "health_check_parameters": {
                        "delay": 2.5,
                        "timeout": 1.5,
                        "max_retries": 2,
                        "max_retries_down": 4,
                        "destination": "10.7.0.1",
                    }
                },
                "min_healthy": {"min_healthy": 2},
                "on_failure": {"on_failure": "keep"},
            },
            "port_chain": {
                "port_pair_groups": {"port_pair_groups": [self.groups[1]]},
                "flow_classifiers": {"flow_classifiers": [self.classifier_id]},
                "chain_parameters": {"chain_parameters": {"correlation": "nsh", "symmetric": True}},
                "chain_id": {"chain_id": 777},
            },
            "service_graph": {"port_chains": {"port_chains": {self.chains[3]: [self.chains[2]]}}},
        }[resource]
        return samples | {name: {name: f"a {name}"} for name in ONLY_FOR_PEOPLE}

    def unused_pair(self) -> str:
        ports = [self.port(self.net, "vm9") for _ in range(2)]
        return str(self.create("port_pair", ingress=ports[0], egress=ports[1])["id"])

    def model(self, resource: str, an_id: str) -> Any:
        """Return a resource as drivers see it, without what always differs."""
        with db_api.CONTEXT_READER.using(self.context):
            session = self.context.session
            if resource == "port_chain":
                (found,) = snapshots.load_chains(session, [an_id])
            elif resource == "port_pair_group":
                found = snapshots.load_groups(session, [an_id])[an_id]
            elif resource == "port_pair":
                found = convert.pair(session.get(models.PortPair, an_id))
            else:
                found = convert.classifier(session.get(models.FlowClassifier, an_id))
        ignored = {"id": "", "name": "", "revision": 0, "generation": 0, "group_id": 0}
        names = {field.name for field in fields(found)}
        return replace(found, **{name: ignored[name] for name in ignored.keys() & names})

    def check(self, resource: str) -> None:
        samples = self.samples(resource)
        settable = {name for name, rules in RESOURCES[resource].items() if rules["allow_post"]}
        assert samples.keys() == settable, "add a value that is not the default to samples()"
        least = self.least(resource)
        plain = self.create(resource, **least)
        plain_model = self.model(resource, plain["id"]) if resource != "service_graph" else None
        self.delete(resource, plain["id"])
        for name, request in samples.items():
            made = self.create(resource, **(least | request))
            assert made[name] == request[name], name
            assert made[name] != plain[name], f"{name}: the sample is the default"
            assert self.show(resource, made["id"]) == made
            if plain_model is not None and name not in ONLY_FOR_PEOPLE:
                found = self.model(resource, made["id"])
                if resource == "port_chain" and name != "chain_id":
                    found = replace(found, chain_id=plain_model.chain_id)
                assert found != plain_model, f"{name} is not in the model"
            self.delete(resource, made["id"])

    def test_flow_classifier(self) -> None:
        self.check("flow_classifier")

    def test_port_pair(self) -> None:
        self.check("port_pair")

    def test_port_pair_group(self) -> None:
        self.check("port_pair_group")

    def test_port_chain(self) -> None:
        self.check("port_chain")

    def test_service_graph(self) -> None:
        self.check("service_graph")
