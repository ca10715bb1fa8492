"""The API definitions of neutron-lib, completed where they fall short, and the one of our own.

neutron-lib's maps are global; what is changed here is a copy.
"""

import copy
from enum import StrEnum
from types import ModuleType, SimpleNamespace
from typing import Any

from neutron_lib.api import converters as lib_converters
from neutron_lib.api.definitions import flowclassifier, sfc

from portchain.api import checks, converters
from portchain.core.function_kinds import FUNCTION_KINDS
from portchain.core.model import FailureMode, FunctionKind, HealthCheck

AttributeMap = dict[str, dict[str, Any]]

API_PREFIX: str = sfc.API_PREFIX
LB_FIELDS = r"^(eth|ip|tcp|udp)_(src|dst)$"


def _copy(module: ModuleType, resources: dict[str, AttributeMap]) -> SimpleNamespace:
    """Return an API definition like ``module`` with other attribute maps."""
    public = {name: getattr(module, name) for name in dir(module) if name.isupper()}
    return SimpleNamespace(**public | {"RESOURCE_ATTRIBUTE_MAP": resources})


def _fill_partial_dict(attributes: AttributeMap, name: str) -> None:
    """Make absent and partial values of a dict attribute complete before they are validated."""
    attribute = attributes[name]
    attribute.pop("dict_populate_defaults", None)
    attribute["default"] = None
    attribute["convert_to"] = converters.fill_defaults(attribute["validate"]["type:dict"])


def _changeable_weight(parameters: dict[str, Any]) -> None:
    """Let a function's weight be changed: what a request leaves out stays as it is, or gets its default if it is new."""
    parameters.pop("dict_populate_defaults", None)
    parameters["allow_put"] = True
    parameters["default"] = None
    parameters["convert_to"] = lib_converters.convert_none_to_empty_dict


def _searchable(attributes: AttributeMap) -> None:
    """Let lists be filtered by what a column or a relation can answer, and sorted by what a column
    can.

    neutron-lib marks dicts, by which nothing can be filtered, and leaves out ids and every
    attribute of classifiers.
    """
    for attribute in attributes.values():
        rules = attribute.get("validate", {})
        is_dict = "type:dict" in rules
        is_list = any("list" in rule for rule in rules)
        attribute["is_filter"] = not is_dict
        attribute["is_sort_key"] = not is_dict and not is_list


def _explain(attributes: AttributeMap) -> None:
    """Make refusals of an attribute's value name it and say what it has to be."""
    for name, rules in attributes.items():
        if "convert_to" in rules:
            rules["convert_to"] = converters.named(name, rules)
        if "validate" in rules:
            rules["validate"] = {checks.DESCRIBED: rules["validate"]}


def _complete(resources: dict[str, AttributeMap]) -> None:
    """Apply what all attribute maps need."""
    for attributes in resources.values():
        _searchable(attributes)
        description = attributes["description"]
        description["default"] = ""
        # It is in another table than the rest.
        description["is_sort_key"] = False
        description["convert_to"] = converters.to_text


def _sfc() -> SimpleNamespace:
    resources: dict[str, AttributeMap] = copy.deepcopy(sfc.RESOURCE_ATTRIBUTE_MAP)
    groups = resources[sfc.PORT_PAIR_GROUPS]
    parameters = groups["port_pair_group_parameters"]["validate"]["type:dict"]
    # The published pattern lacks its opening parenthesis and the end of the word.
    parameters["lb_fields"]["type:list_of_regex_or_none"] = LB_FIELDS
    for tuple_spec in parameters["ppg_n_tuple_mapping"]["type:dict"].values():
        # Each key may be left out; saying so here keeps the answer what the user sent.
        for rules in tuple_spec["type:dict"].values():
            rules.pop("default", None)
    _fill_partial_dict(groups, "port_pair_group_parameters")
    functions = resources[sfc.PORT_PAIRS]["service_function_parameters"]
    correlations = functions["validate"]["type:dict"]["correlation"]["type:values"]
    known = [kind.correlation for kind in FUNCTION_KINDS]
    correlations += [correlation for correlation in known if correlation not in correlations]
    _changeable_weight(functions)
    _fill_partial_dict(resources[sfc.PORT_CHAINS], "chain_parameters")
    # A chain without groups is refused as any other missing attribute, not as "None is not a list".
    resources[sfc.PORT_CHAINS]["port_pair_groups"].pop("default")
    _complete(resources)
    return _copy(sfc, resources)


def _flow_classifier() -> SimpleNamespace:
    resources: dict[str, AttributeMap] = copy.deepcopy(flowclassifier.RESOURCE_ATTRIBUTE_MAP)
    attributes = resources[flowclassifier.COLLECTION_NAME]
    attributes["protocol"]["convert_to"] = converters.to_protocol
    _complete(resources)
    return _copy(flowclassifier, resources)


def _without_attributes(required: str, **constants: str) -> SimpleNamespace:
    """Return the definition of an extension that says what existing attributes may hold.

    :param required: alias of the extension that has these attributes.
    :param constants: its alias, name and description, named as neutron-lib names them.
    """
    return SimpleNamespace(
        UPDATED_TIMESTAMP="2026-11-25T00:00:00-00:00",
        RESOURCE_ATTRIBUTE_MAP={},
        SUB_RESOURCE_ATTRIBUTE_MAP={},
        REQUIRED_EXTENSIONS=[required],
        OPTIONAL_EXTENSIONS=[],
        **constants,
    )


def _port_chain_status() -> SimpleNamespace:
    shown = {
        "allow_post": False,
        "allow_put": False,
        "is_visible": True,
        # Both are derived from what the hosts report; no column holds them.
        "is_filter": False,
        "is_sort_key": False,
    }
    return SimpleNamespace(
        ALIAS="port-chain-status",
        NAME="Port Chain Status",
        DESCRIPTION="Shows whether the hosts involved have realised a port chain",
        UPDATED_TIMESTAMP="2026-11-22T00:00:00-00:00",
        RESOURCE_ATTRIBUTE_MAP={
            # The reason may name hosts: whoever runs the cloud decides by policy who sees it.
            sfc.PORT_CHAINS: {"status": shown, "status_reason": shown | {"enforce_policy": True}}
        },
        SUB_RESOURCE_ATTRIBUTE_MAP={},
        REQUIRED_EXTENSIONS=[sfc.ALIAS],
        OPTIONAL_EXTENSIONS=[],
    )


def _port_pair_function_kind() -> SimpleNamespace:
    kind = {
        "allow_post": True,
        "allow_put": False,
        "is_visible": True,
        "default": FunctionKind.L3.value,
        "default_overrides_none": True,
        "validate": {"type:values": [kind.value for kind in FunctionKind]},
        "is_filter": False,
        "is_sort_key": False,
    }
    return SimpleNamespace(
        ALIAS="port-pair-function-kind",
        NAME="Port Pair Function Kind",
        DESCRIPTION="States how the service function of a port pair hands on packets",
        UPDATED_TIMESTAMP="2026-11-22T00:00:00-00:00",
        RESOURCE_ATTRIBUTE_MAP={sfc.PORT_PAIRS: {"function_kind": kind}},
        SUB_RESOURCE_ATTRIBUTE_MAP={},
        REQUIRED_EXTENSIONS=[sfc.ALIAS],
        OPTIONAL_EXTENSIONS=[],
    )


def _tap() -> SimpleNamespace:
    enabled = {
        "allow_post": True,
        "allow_put": False,
        "is_visible": True,
        "default": False,
        "default_overrides_none": True,
        "validate": {"type:boolean": None},
        "convert_to": lib_converters.convert_to_boolean,
        "is_filter": True,
        "is_sort_key": True,
    }
    return SimpleNamespace(
        ALIAS="networking-sfc-tap",
        NAME="Passive Tap Functions",
        DESCRIPTION="Lets a port pair group observe a chain's traffic without handing it on",
        UPDATED_TIMESTAMP="2026-11-25T00:00:00-00:00",
        RESOURCE_ATTRIBUTE_MAP={sfc.PORT_PAIR_GROUPS: {"tap_enabled": enabled}},
        SUB_RESOURCE_ATTRIBUTE_MAP={},
        REQUIRED_EXTENSIONS=[sfc.ALIAS],
        OPTIONAL_EXTENSIONS=[],
    )


def _health() -> SimpleNamespace:
    def choice(values: type[StrEnum]) -> dict[str, Any]:
        known = [value.value for value in values]
        return {
            "allow_post": True,
            "allow_put": True,
            "is_visible": True,
            # The first is what groups were like before there was a choice.
            "default": known[0],
            "default_overrides_none": True,
            "validate": {"type:values": known},
            "is_filter": True,
            "is_sort_key": True,
        }

    return SimpleNamespace(
        ALIAS="port-pair-group-health",
        NAME="Health of Port Pair Groups",
        DESCRIPTION="States how functions are found to fail, and what becomes of packets when all do",
        UPDATED_TIMESTAMP="2026-11-25T00:00:00-00:00",
        RESOURCE_ATTRIBUTE_MAP={
            sfc.PORT_PAIR_GROUPS: {
                "health_check": choice(HealthCheck),
                "failure_mode": choice(FailureMode),
            }
        },
        SUB_RESOURCE_ATTRIBUTE_MAP={},
        REQUIRED_EXTENSIONS=[sfc.ALIAS],
        OPTIONAL_EXTENSIONS=[],
    )


def _sharing() -> SimpleNamespace:
    shared = {
        "allow_post": False,
        "allow_put": False,
        "is_visible": True,
        "validate": {"type:boolean": None},
        "convert_to": lib_converters.convert_to_boolean,
        "required_by_policy": True,
        "is_filter": True,
        "is_sort_key": False,
    }
    return SimpleNamespace(
        ALIAS="port-pair-group-sharing",
        NAME="Shared Port Pair Groups",
        DESCRIPTION="Lets port pair groups be shared with projects by RBAC policies",
        UPDATED_TIMESTAMP="2026-11-25T00:00:00-00:00",
        RESOURCE_ATTRIBUTE_MAP={sfc.PORT_PAIR_GROUPS: {"shared": shared}},
        SUB_RESOURCE_ATTRIBUTE_MAP={},
        REQUIRED_EXTENSIONS=[sfc.ALIAS],
        OPTIONAL_EXTENSIONS=["rbac-policies"],
    )


def _service_graph() -> SimpleNamespace:
    attributes = {
        name: copy.deepcopy(sfc.RESOURCE_ATTRIBUTE_MAP[sfc.PORT_CHAINS][name])
        for name in ("id", "name", "description", "tenant_id")
    }
    attributes["port_chains"] = {
        "allow_post": True,
        "allow_put": False,
        "is_visible": True,
        "validate": {"type:dict": None},
        "convert_to": converters.to_branches,
    }
    resources = {"service_graphs": attributes}
    _complete(resources)
    return SimpleNamespace(
        ALIAS="service_graph",
        NAME="Service Graph",
        DESCRIPTION="Links port chains: what leaves one is classified again for others",
        UPDATED_TIMESTAMP="2026-11-25T00:00:00-00:00",
        RESOURCE_ATTRIBUTE_MAP=resources,
        SUB_RESOURCE_ATTRIBUTE_MAP={},
        REQUIRED_EXTENSIONS=[sfc.ALIAS],
        OPTIONAL_EXTENSIONS=[],
    )


SFC = _sfc()
FLOW_CLASSIFIER = _flow_classifier()
FLOW_CLASSIFIER_ICMP = _without_attributes(
    flowclassifier.ALIAS,
    ALIAS="flow-classifier-icmp",
    NAME="ICMP Types of Flow Classifiers",
    DESCRIPTION="With protocol icmp, the source port range is the ICMP type and the destination port range its code",
)
PORT_CHAIN_STATUS = _port_chain_status()
PORT_PAIR_FUNCTION_KIND = _port_pair_function_kind()
PORT_PAIR_WEIGHT = _without_attributes(
    sfc.ALIAS,
    ALIAS="port-pair-weight",
    NAME="Changeable Weight of Port Pairs",
    DESCRIPTION="Lets the weight among the service_function_parameters of a port pair be changed",
)
PORT_PAIR_VLAN = _without_attributes(
    sfc.ALIAS,
    ALIAS="port-pair-vlan",
    NAME="Service Functions That Keep VLAN Tags",
    DESCRIPTION="Adds the value vlan to the correlation among the service_function_parameters of a port pair",
)
HEALTH = _health()
SHARING = _sharing()
SERVICE_GRAPH = _service_graph()
TAP = _tap()

ALL = (
    SFC,
    FLOW_CLASSIFIER,
    FLOW_CLASSIFIER_ICMP,
    PORT_CHAIN_STATUS,
    PORT_PAIR_FUNCTION_KIND,
    PORT_PAIR_WEIGHT,
    PORT_PAIR_VLAN,
    HEALTH,
    SHARING,
    SERVICE_GRAPH,
    TAP,
)
"""Every extension that the service plugin offers."""

for _definition in ALL:
    for _attributes in _definition.RESOURCE_ATTRIBUTE_MAP.values():
        _explain(_attributes)
