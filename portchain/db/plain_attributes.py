"""Attributes whose values are stored as the API has them, in a column of the same name.

Requests, rows and answers copy these attributes without looking at them. A new one needs its
declaration in `portchain.api.definitions` and its column in `portchain.db.models`, and no code that
copies it. Everything else is listed where it is converted: in `portchain.db.convert` and
`portchain.db.writer`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from portchain.api import definitions
from portchain.db import models

_OTHERWISE = frozenset(
    {
        # Every resource has them (`writer.add_*`).
        "id",
        "project_id",
        "name",
        "description",
        # The server may choose their values.
        "chain_id",
        "group_id",
        # The server finds them out.
        "phase",
        "outcome",
        "reason",
        "steps",
        "expires_at",
        # The column holds another form of the value.
        "protocol",
        "l7_parameters",
        # Its column holds all keys, or NULL for the defaults.
        "health_check_parameters",
    }
)


@dataclass(frozen=True, slots=True)
class PlainAttributes:
    """The plain attributes of one kind of resource.

    :param names: all of them.
    :param updatable: those that an update may change.
    """

    names: tuple[str, ...]
    updatable: tuple[str, ...]

    def of_row(self, row: Any) -> dict[str, Any]:
        """Return attribute -> value of a row."""
        return {name: getattr(row, name) for name in self.names}

    def of_request(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return attribute -> value of a request that creates a resource."""
        return {name: data[name] for name in self.names}

    def changes(self, row: Any, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return attribute -> new value, for those that an update changes."""
        return {
            name: data[name]
            for name in self.updatable
            if name in data and data[name] != getattr(row, name)
        }


def _declared(resource: str, table: Any) -> PlainAttributes:
    """Find the attributes that are declared for a resource and have a column of the same name."""
    attributes = definitions.resources()[resource]
    columns = table.__table__.columns
    names = [name for name in attributes if name in columns and name not in _OTHERWISE]
    updatable = [name for name in names if attributes[name]["allow_put"]]
    return PlainAttributes(tuple(names), tuple(updatable))


FLOW_CLASSIFIER = _declared("flow_classifier", models.FlowClassifier)
PORT_PAIR = _declared("port_pair", models.PortPair)
PORT_PAIR_GROUP = _declared("port_pair_group", models.PortPairGroup)
TRACE = _declared("trace", models.Trace)
