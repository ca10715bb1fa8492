"""The extensions of the Port Chain API: aliases, resources and attribute maps.

One block per extension, in the order in which `ALL` lists them. An attribute is declared here and
nowhere else: the OpenAPI document, the default policies and the tests read these maps, and a test
fails if the database, a client or ``docs/api.md`` lacks one of their attributes.

Two extensions come from neutron-lib (``sfc``, ``flow_classifier``). neutron-lib's maps are global
to the process and have mistakes, so each block copies them and corrects the copy.
"""

import copy
from enum import StrEnum
from types import ModuleType, SimpleNamespace
from typing import Any

from neutron_lib.api import attributes as lib_attributes
from neutron_lib.api import converters as lib_converters
from neutron_lib.api.definitions import flowclassifier, sfc
from neutron_lib.db import constants as db_constants

from portchain.api import checks, converters
from portchain.core.function_kinds import FUNCTION_KINDS
from portchain.core.model import (
    FailureMode,
    FunctionKind,
    HealthCheck,
    OnFailure,
)
from portchain.core.rules import MAX_SECONDS, MIN_SECONDS, MOST_RETRIES

AttributeMap = dict[str, dict[str, Any]]
"""What Neutron knows about each attribute of a resource."""

API_PREFIX: str = sfc.API_PREFIX
SERVICE_GRAPHS = "service_graphs"
TRACES = "traces"
LB_FIELDS = r"^(eth|ip|tcp|udp)_(src|dst)$"
"""Packet fields that may decide which port pair of a group a flow visits."""

_PREFIXES = ("source_ip_prefix", "destination_ip_prefix")


# How blocks are written


def _extension(
    alias: str,
    name: str,
    description: str,
    updated: str,
    *,
    extends: str | None = sfc.ALIAS,
    optional: tuple[str, ...] = (),
    resources: dict[str, AttributeMap] | None = None,
) -> SimpleNamespace:
    """Return an API definition in the form of neutron-lib's modules.

    :param alias: the name by which clients find out whether the server has the extension.
    :param updated: date of the last change, ``YYYY-MM-DD``.
    :param extends: alias of the extension whose resources this one extends.
    :param optional: aliases of extensions that are loaded earlier if the server has them.
    :param resources: attributes by collection; empty for an extension that only announces that
        existing attributes take more values.
    """
    return SimpleNamespace(
        ALIAS=alias,
        NAME=name,
        DESCRIPTION=description,
        UPDATED_TIMESTAMP=f"{updated}T00:00:00-00:00",
        RESOURCE_ATTRIBUTE_MAP=resources or {},
        SUB_RESOURCE_ATTRIBUTE_MAP={},
        REQUIRED_EXTENSIONS=[extends] if extends else [],
        OPTIONAL_EXTENSIONS=list(optional),
    )


def _corrected(module: ModuleType, resources: dict[str, AttributeMap]) -> SimpleNamespace:
    """Return neutron-lib's API definition with other attribute maps."""
    public = {name: getattr(module, name) for name in dir(module) if name.isupper()}
    return SimpleNamespace(**public | {"RESOURCE_ATTRIBUTE_MAP": resources})


def _attribute(*, post: bool, put: bool, searchable: bool, **rules: Any) -> dict[str, Any]:
    """Return what Neutron knows about an attribute, which is visible unless ``rules`` differ.

    :param post: requests that create the resource may set it; ``put``: requests that update it.
    :param searchable: lists can be filtered and sorted by it.
    """
    return {
        "allow_post": post,
        "allow_put": put,
        "is_visible": True,
        "is_filter": searchable,
        "is_sort_key": searchable,
        **rules,
    }


def _choice(values: type[StrEnum]) -> dict[str, Any]:
    """Return the rules for an attribute with these values; the first one is the default."""
    known = [value.value for value in values]
    return {
        "default": known[0],
        "default_overrides_none": True,
        "validate": {"type:values": known},
    }


def _operating_status() -> AttributeMap:
    """Return the attributes for what a resource does at the moment.

    Both are computed from the state of ports and from what hosts report.
    """
    rules = _attribute(post=False, put=False, searchable=False)
    # The reason may name hosts: a policy decides who sees it.
    return {
        "operating_status": dict(rules),
        "operating_status_reason": rules | {"enforce_policy": True},
    }


def _packet_port() -> dict[str, Any]:
    """Return the rules for a transport port of a packet."""
    return _attribute(
        post=True,
        put=False,
        searchable=True,
        default=None,
        convert_to=lib_converters.convert_to_int_if_not_none,
        validate={"type:range_or_none": [0, 65535]},
    )


_BOOLEAN = {
    "validate": {"type:boolean": None},
    "convert_to": lib_converters.convert_to_boolean,
}


def _fill_partial_dict(attributes: AttributeMap, name: str) -> None:
    """Fill in the keys that a dict attribute lacks before it is validated."""
    attribute = attributes[name]
    attribute.pop("dict_populate_defaults", None)
    attribute["default"] = None
    attribute["convert_to"] = converters.fill_defaults(attribute["validate"]["type:dict"])


def _searchable(attributes: AttributeMap) -> None:
    """Let lists be filtered by what a column or a relation can answer, and sorted by columns.

    neutron-lib marks dicts, by which no list can be filtered, and does not mark ids and the
    attributes of flow classifiers.
    """
    for attribute in attributes.values():
        rules = attribute.get("validate", {})
        is_dict = "type:dict" in rules
        is_list = any("list" in rule for rule in rules)
        attribute["is_filter"] = not is_dict
        attribute["is_sort_key"] = not is_dict and not is_list


def _complete(resources: dict[str, AttributeMap]) -> dict[str, AttributeMap]:
    """Apply to whole resources what all of them need; return them."""
    for attributes in resources.values():
        _searchable(attributes)
        description = attributes["description"]
        description["default"] = ""
        # Neutron keeps descriptions in its table of standard attributes: lists cannot sort by it.
        description["is_sort_key"] = False
        for text in (attributes["name"], description):
            text["convert_to"] = converters.to_text
    return resources


# sfc: port pairs, port pair groups and port chains, as OpenStack published them


def _sfc_resources() -> dict[str, AttributeMap]:
    resources: dict[str, AttributeMap] = copy.deepcopy(sfc.RESOURCE_ATTRIBUTE_MAP)
    _correct_groups(resources[sfc.PORT_PAIR_GROUPS])
    parameters = resources[sfc.PORT_PAIRS]["service_function_parameters"]
    correlations = parameters["validate"]["type:dict"]["correlation"]["type:values"]
    known = [kind.correlation for kind in FUNCTION_KINDS]
    correlations += [correlation for correlation in known if correlation not in correlations]
    _make_weight_changeable(parameters)
    _fill_partial_dict(resources[sfc.PORT_CHAINS], "chain_parameters")
    # Without a default, a request without groups is refused as any other missing attribute is.
    resources[sfc.PORT_CHAINS]["port_pair_groups"].pop("default")
    return _complete(resources)


def _correct_groups(groups: AttributeMap) -> None:
    parameters = groups["port_pair_group_parameters"]["validate"]["type:dict"]
    # neutron-lib's pattern lacks its opening parenthesis and its end.
    parameters["lb_fields"]["type:list_of_regex_or_none"] = LB_FIELDS
    for n_tuple in parameters["ppg_n_tuple_mapping"]["type:dict"].values():
        # Without defaults, responses have the keys that the user sent and no others.
        for name, rules in n_tuple["type:dict"].items():
            rules.pop("default", None)
            if name in _PREFIXES:
                rules["convert_to"] = converters.to_prefix
    _fill_partial_dict(groups, "port_pair_group_parameters")


def _make_weight_changeable(parameters: dict[str, Any]) -> None:
    """Let updates set ``service_function_parameters``; keys that they leave out keep their value.

    The defaults for a new port pair are filled in later, by the request handler.
    """
    parameters.pop("dict_populate_defaults", None)
    parameters["allow_put"] = True
    parameters["default"] = None
    parameters["convert_to"] = lib_converters.convert_none_to_empty_dict


SFC = _corrected(sfc, _sfc_resources())


# flow_classifier: flow classifiers, as OpenStack published them


def _flow_classifier_resources() -> dict[str, AttributeMap]:
    resources: dict[str, AttributeMap] = copy.deepcopy(flowclassifier.RESOURCE_ATTRIBUTE_MAP)
    attributes = resources[flowclassifier.COLLECTION_NAME]
    # neutron-lib's converter lets values through that are no protocol.
    attributes["protocol"]["convert_to"] = converters.to_protocol
    for name in _PREFIXES:
        attributes[name]["convert_to"] = converters.to_prefix
    return _complete(resources)


FLOW_CLASSIFIER = _corrected(flowclassifier, _flow_classifier_resources())


# flow-classifier-icmp: announces that classifiers can match ICMP types and codes. The
# published attributes for ports hold them, so every client can set them.

FLOW_CLASSIFIER_ICMP = _extension(
    "flow-classifier-icmp",
    "ICMP Types of Flow Classifiers",
    "With protocol icmp, the source port range is the ICMP type and the destination port range "
    "its code",
    "2026-11-25",
    extends=flowclassifier.ALIAS,
)


# port-chain-status: whether a chain is realised, and why not. Both attributes are derived from
# what hosts report; no column holds them, so no list can be filtered or sorted by them.

PORT_CHAIN_STATUS = _extension(
    "port-chain-status",
    "Port Chain Status",
    "Shows whether the hosts involved have realised a port chain",
    "2026-11-22",
    resources={
        sfc.PORT_CHAINS: {
            "status": _attribute(post=False, put=False, searchable=False),
            # The reason may name hosts: a policy decides who sees it.
            "status_reason": _attribute(
                post=False, put=False, searchable=False, enforce_policy=True
            ),
        }
    },
)


# port-chain-stats: what hosts have counted of a chain. It is read from the hosts with each request,
# so it is no attribute.

PORT_CHAIN_STATS = _extension(
    "port-chain-stats",
    "Port Chain Statistics",
    "Shows how many packets have passed each hop of a port chain",
    "2026-11-30",
)


# port-pair-function-kind: whether a service function routes (l3) or bridges (l2). The kind decides
# which destination MAC address its frames get, so it cannot change while flows rely on it.

PORT_PAIR_FUNCTION_KIND = _extension(
    "port-pair-function-kind",
    "Port Pair Function Kind",
    "States how the service function of a port pair forwards packets",
    "2026-11-22",
    resources={
        sfc.PORT_PAIRS: {
            "function_kind": _attribute(
                post=True, put=False, searchable=False, **_choice(FunctionKind)
            )
        }
    },
)


# port-pair-weight: announces that clients can update the weight of a port pair. The published API
# fixes it at creation, so a function could not be drained.

PORT_PAIR_WEIGHT = _extension(
    "port-pair-weight",
    "Changeable Weight of Port Pairs",
    "Lets the weight in the service_function_parameters of a port pair be changed",
    "2026-11-25",
)


# port-pair-vlan: announces that ``vlan`` is a correlation. It is for service functions that
# keep a frame's VLAN tag but understand no chain header.

PORT_PAIR_VLAN = _extension(
    "port-pair-vlan",
    "Service Functions That Keep VLAN Tags",
    "Adds the value vlan to the correlation in the service_function_parameters of a port pair",
    "2026-11-25",
)


# port-pair-health: whether a function works, and when it gets packets besides.

PAIR_HEALTH = _extension(
    "port-pair-health",
    "Health of Port Pairs",
    "Lets port pairs be switched off and be backups, and shows whether their functions work",
    "2026-11-30",
    resources={
        sfc.PORT_PAIRS: {
            "admin_state_up": _attribute(
                post=True,
                put=True,
                searchable=True,
                default=True,
                default_overrides_none=True,
                **_BOOLEAN,
            ),
            "backup": _attribute(
                post=True,
                put=True,
                searchable=True,
                default=False,
                default_overrides_none=True,
                **_BOOLEAN,
            ),
            **_operating_status(),
        }
    },
)


# port-chain-health: whether the functions of a chain work. ``statuses`` shows that of each.

CHAIN_HEALTH = _extension(
    "port-chain-health",
    "Health of Port Chains",
    "Shows whether the functions of a port chain work",
    "2026-11-30",
    resources={sfc.PORT_CHAINS: _operating_status()},
)


# port-pair-group-health: how hosts detect that service functions have failed, and what happens to
# packets then. Keys of the parameters that a request leaves out keep their value; the request
# handler fills in those of a new group.

_HEALTH_CHECK_PARAMETERS = {
    "delay": {"type:seconds": (MIN_SECONDS, MAX_SECONDS)},
    "timeout": {"type:seconds": (MIN_SECONDS, MAX_SECONDS)},
    "max_retries": {"type:range": (1, MOST_RETRIES), "convert_to": lib_converters.convert_to_int},
    "max_retries_down": {
        "type:range": (1, MOST_RETRIES),
        "convert_to": lib_converters.convert_to_int,
    },
    "destination": {"type:ip_address_or_none": None},
}

HEALTH = _extension(
    "port-pair-group-health",
    "Health of Port Pair Groups",
    "States how failed functions are detected, and what happens to packets then",
    "2026-11-30",
    resources={
        sfc.PORT_PAIR_GROUPS: {
            "health_check": _attribute(
                post=True, put=True, searchable=True, **_choice(HealthCheck)
            ),
            "failure_mode": _attribute(
                post=True, put=True, searchable=True, **_choice(FailureMode)
            ),
            "health_check_parameters": _attribute(
                post=True,
                put=True,
                searchable=False,
                default=None,
                convert_to=lib_converters.convert_none_to_empty_dict,
                validate={"type:dict": _HEALTH_CHECK_PARAMETERS},
            ),
            "min_healthy": _attribute(
                post=True,
                put=True,
                searchable=True,
                default=1,
                default_overrides_none=True,
                convert_to=lib_converters.convert_to_int,
                validate={"type:range": (1, 65535)},
            ),
            "on_failure": _attribute(post=True, put=True, searchable=True, **_choice(OnFailure)),
            **_operating_status(),
        }
    },
)


# port-pair-group-sharing: whether an RBAC policy shares the group with the caller's project, and
# how its owner takes it back from chains.

SHARING = _extension(
    "port-pair-group-sharing",
    "Shared Port Pair Groups",
    "Lets port pair groups be shared with projects by RBAC policies",
    "2026-11-25",
    optional=("rbac-policies",),
    resources={
        sfc.PORT_PAIR_GROUPS: {
            "shared": _attribute(post=False, put=False, searchable=True, **_BOOLEAN)
            # A subquery answers the filter; there is no column to sort by.
            | {"is_sort_key": False, "required_by_policy": True},
            # An order, not a property: nobody sees it. Neutron's policies cannot be deleted by
            # force, because plugins do not see the query of such a request.
            "withdraw_from": _attribute(
                post=False,
                put=True,
                searchable=False,
                is_visible=False,
                validate={"type:string": db_constants.PROJECT_ID_FIELD_SIZE},
            ),
        }
    },
)


# service_graph: chains that take over the traffic that leaves another chain. neutron-lib has no
# definition; paths and attributes are those that networking-sfc and its clients use.

SERVICE_GRAPH = _extension(
    "service_graph",
    "Service Graph",
    "Links port chains: traffic that leaves one is classified again for others",
    "2026-11-25",
    resources=_complete(
        {
            SERVICE_GRAPHS: {
                name: copy.deepcopy(sfc.RESOURCE_ATTRIBUTE_MAP[sfc.PORT_CHAINS][name])
                for name in ("id", "name", "description", "tenant_id")
            }
            | {
                "port_chains": _attribute(
                    post=True,
                    put=False,
                    searchable=False,
                    validate={"type:dict": None},
                    convert_to=converters.to_branches,
                )
            }
        }
    ),
)


# networking-sfc-tap: groups whose functions only observe. Alias and attribute are networking-sfc's.

TAP = _extension(
    "networking-sfc-tap",
    "Passive Tap Functions",
    "Lets a port pair group receive copies of a chain's packets",
    "2026-11-25",
    resources={
        sfc.PORT_PAIR_GROUPS: {
            "tap_enabled": _attribute(
                post=True,
                put=False,
                searchable=True,
                default=False,
                default_overrides_none=True,
                **_BOOLEAN,
            )
        }
    },
)


# sfc-trace: what would happen to a packet. The server asks hosts while the request waits, and keeps
# the answer for a while.

TRACE = _extension(
    "sfc-trace",
    "Traces of Packets",
    "Shows what happens to a packet, step by step over all hosts, and why",
    "2026-11-30",
    resources=_complete(
        {
            TRACES: {
                name: copy.deepcopy(sfc.RESOURCE_ATTRIBUTE_MAP[sfc.PORT_CHAINS][name])
                for name in ("id", "name", "description", "tenant_id")
            }
            | {
                "port_id": _attribute(
                    post=True, put=False, searchable=True, validate={"type:uuid": None}
                ),
                "destination_ip_address": _attribute(
                    post=True,
                    put=False,
                    searchable=True,
                    convert_to=converters.to_address,
                    validate={"type:ip_address": None},
                ),
                "source_ip_address": _attribute(
                    post=True,
                    put=False,
                    searchable=True,
                    default=None,
                    convert_to=converters.to_address,
                    validate={"type:ip_address_or_none": None},
                ),
                "protocol": _attribute(
                    post=True,
                    put=False,
                    searchable=True,
                    default="icmp",
                    default_overrides_none=True,
                    convert_to=converters.to_protocol,
                ),
                "source_port": _packet_port(),
                "destination_port": _packet_port(),
                "established": _attribute(
                    post=True,
                    put=False,
                    searchable=True,
                    default=False,
                    default_overrides_none=True,
                    **_BOOLEAN,
                ),
                "live": _attribute(
                    post=True,
                    put=False,
                    searchable=True,
                    default=False,
                    default_overrides_none=True,
                    **_BOOLEAN,
                ),
                "phase": _attribute(post=False, put=False, searchable=True),
                "outcome": _attribute(post=False, put=False, searchable=True),
                "reason": _attribute(post=False, put=False, searchable=False),
                "steps": _attribute(post=False, put=False, searchable=False),
                "expires_at": _attribute(post=False, put=False, searchable=False),
            }
        }
    ),
)
# `_complete` takes these for attributes with a column to search by.
for _name in ("reason", "steps", "expires_at"):
    TRACE.RESOURCE_ATTRIBUTE_MAP[TRACES][_name].update(is_filter=False, is_sort_key=False)


ALL = (
    SFC,
    FLOW_CLASSIFIER,
    FLOW_CLASSIFIER_ICMP,
    PORT_CHAIN_STATUS,
    PORT_CHAIN_STATS,
    PORT_PAIR_FUNCTION_KIND,
    PORT_PAIR_WEIGHT,
    PORT_PAIR_VLAN,
    PAIR_HEALTH,
    HEALTH,
    CHAIN_HEALTH,
    SHARING,
    SERVICE_GRAPH,
    TAP,
    TRACE,
)
"""Every extension of the service plugin; each has a module in `portchain.api.extensions`."""


MEMBER_READS = {"port_chain": ("statuses", "stats")}
"""Resource -> what ``GET /COLLECTION/ID/NAME`` shows besides its attributes. The policy and the
plugin's method are ``get_RESOURCE_NAME``."""


def _explain(attributes: AttributeMap) -> None:
    """Make refusals name the attribute and state the allowed values."""
    for name, rules in attributes.items():
        if "convert_to" in rules:
            rules["convert_to"] = converters.named(name, rules)
        if "validate" in rules:
            rules["validate"] = {checks.VALIDATOR: rules["validate"]}


for _definition in ALL:
    for _attributes in _definition.RESOURCE_ATTRIBUTE_MAP.values():
        _explain(_attributes)


_NEUTRONS = ("tenant_id", "project_id", "revision_number", "created_at", "updated_at")
"""Attributes that Neutron has on every resource; it adds some to the maps at run time."""


def resources() -> dict[str, AttributeMap]:
    """Return the attributes of each resource, from all extensions that add to it.

    :returns: attribute maps by the name of the resource in the singular, without the attributes
        that Neutron gives to every resource.
    """
    found: dict[str, AttributeMap] = {}
    for definition in ALL:
        for plural, attributes in definition.RESOURCE_ATTRIBUTE_MAP.items():
            own = {name: rules for name, rules in attributes.items() if name not in _NEUTRONS}
            found.setdefault(plural.removesuffix("s"), {}).update(own)
    return found


def complete(resource: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a resource as the API passes them to the operation that creates it.

    :param resource: name in the singular.
    :param given: the attributes that a caller gives; the others get their defaults.
    :raises InvalidInput: the API does not allow the value of an attribute.
    """
    attributes, info = dict(given), lib_attributes.AttributeInfo(resources()[resource])
    info.fill_post_defaults(attributes)
    info.convert_values(attributes)
    return attributes
