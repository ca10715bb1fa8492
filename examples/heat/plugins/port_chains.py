"""Resource plug-ins for Heat: members of port pair groups that are drained, and service graphs.

Put this file into a folder of ``plugin_dirs`` of heat-engine, and restart the engine. Heat itself
has OS::Neutron::FlowClassifier, PortPair, PortPairGroup and PortChain.
"""

import contextlib
from http import HTTPStatus

from heat.engine import attributes, properties, resource, support
from heat.engine.resources.openstack.neutron import neutron
from neutronclient.common import exceptions
from oslo_utils import timeutils

GROUP = "/sfc/port_pair_groups/%s"
PAIR = "/sfc/port_pairs/%s"


class _OfPortChains(neutron.NeutronResource):
    """What both have in common."""

    support_status = support.SupportStatus(version="27.0.0")
    required_service_extension = "sfc"
    attributes_schema: dict[str, attributes.Schema] = {}

    def _get(self, path: str, an_id: str) -> dict:
        (found,) = self.client().get(path % an_id).values()
        return found


class GroupMember(_OfPortChains):
    """Has a port pair in a port pair group.

    Before the pair leaves the group, its weight is set to 0, so that it gets no new connections,
    and the ones that it has may end within ``drain_seconds``.
    """

    PROPERTIES = (PORT_PAIR_GROUP, PORT_PAIR, DRAIN_SECONDS) = (
        "port_pair_group",
        "port_pair",
        "drain_seconds",
    )
    properties_schema = {
        PORT_PAIR_GROUP: properties.Schema(
            properties.Schema.STRING, "ID of the group", required=True
        ),
        PORT_PAIR: properties.Schema(properties.Schema.STRING, "ID of the pair", required=True),
        DRAIN_SECONDS: properties.Schema(
            properties.Schema.INTEGER,
            "Seconds between weight 0 and the removal from the group",
            default=60,
            update_allowed=True,
        ),
    }

    def handle_create(self) -> None:
        pair = self.properties[self.PORT_PAIR]
        self._change_group(lambda pairs: [*pairs, pair])
        self.resource_id_set(pair)

    def handle_update(self, json_snippet, tmpl_diff, prop_diff) -> None:
        """The new time holds from the next removal on."""

    def handle_delete(self) -> float | None:
        """Begin to drain; return when that ends."""
        if self.resource_id is None:
            return None
        body = {"port_pair": {"service_function_parameters": {"weight": 0}}}
        with contextlib.suppress(exceptions.NotFound):
            self.client().put(PAIR % self.resource_id, body=body)
            return timeutils.now() + self.properties[self.DRAIN_SECONDS]
        return None

    def check_delete_complete(self, drained_at: float | None) -> bool:
        if self.resource_id is None:
            return True
        if drained_at is not None and timeutils.now() < drained_at:
            return False
        with contextlib.suppress(exceptions.NotFound):
            self._change_group(lambda pairs: [one for one in pairs if one != self.resource_id])
        return True

    def _change_group(self, change) -> None:
        """Change the group's list of pairs, again if somebody else has changed it meanwhile."""
        path = GROUP % self.properties[self.PORT_PAIR_GROUP]
        while True:
            (group,) = self.client().get(path).values()
            body = {"port_pair_group": {"port_pairs": change(group["port_pairs"])}}
            condition = {"If-Match": f"revision_number={group['revision_number']}"}
            try:
                self.client().put(path, body=body, headers=condition)
            except exceptions.NeutronClientException as error:
                if error.status_code != HTTPStatus.PRECONDITION_FAILED:
                    raise
            else:
                return

    def _show_resource(self) -> dict:
        return self._get(PAIR, self.resource_id)


class ServiceGraph(_OfPortChains):
    """A service graph."""

    PROPERTIES = (NAME, BRANCHES) = ("name", "branches")
    _BRANCH = (CHAIN, CONTINUES_IN) = ("chain", "continues_in")
    properties_schema = {
        NAME: properties.Schema(properties.Schema.STRING, "Name", update_allowed=True),
        BRANCHES: properties.Schema(
            properties.Schema.LIST,
            "For each chain, the chains in which its packets go on",
            required=True,
            schema=properties.Schema(
                properties.Schema.MAP,
                schema={
                    CHAIN: properties.Schema(properties.Schema.STRING, required=True),
                    CONTINUES_IN: properties.Schema(
                        properties.Schema.LIST,
                        required=True,
                        schema=properties.Schema(properties.Schema.STRING),
                    ),
                },
            ),
        ),
    }

    def handle_create(self) -> None:
        branches = {
            one[self.CHAIN]: list(one[self.CONTINUES_IN]) for one in self.properties[self.BRANCHES]
        }
        name = self.properties[self.NAME] or self.physical_resource_name()
        body = {"service_graph": {"name": name, "port_chains": branches}}
        made = self.client().post("/sfc/service_graphs", body=body)
        self.resource_id_set(made["service_graph"]["id"])

    def handle_update(self, json_snippet, tmpl_diff, prop_diff) -> None:
        if self.NAME in prop_diff:
            body = {"service_graph": {"name": prop_diff[self.NAME]}}
            self.client().put(f"/sfc/service_graphs/{self.resource_id}", body=body)

    def handle_delete(self) -> None:
        if self.resource_id is not None:
            with contextlib.suppress(exceptions.NotFound):
                self.client().delete(f"/sfc/service_graphs/{self.resource_id}")

    def _show_resource(self) -> dict:
        return self._get("/sfc/service_graphs/%s", self.resource_id)


def resource_mapping() -> dict[str, type[resource.Resource]]:
    """Tell Heat the names of the resource types."""
    return {"PortChain::GroupMember": GroupMember, "PortChain::ServiceGraph": ServiceGraph}
