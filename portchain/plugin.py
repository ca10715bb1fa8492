"""The Neutron service plugin: validate, write in one transaction, then have the drivers realise it.

A request passes ``create_port_chain`` here, ``create_port_chain`` of `portchain.requests` (rules,
rows and the drivers' checks in one transaction), the driver manager and the drivers, in this order.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from neutron import worker
from neutron.api import extensions as api_extensions
from neutron.quota import resource_registry
from neutron_lib import context as neutron_context
from neutron_lib import rpc
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.services import base as service_base
from oslo_config import cfg
from oslo_db import exception as db_exc
from oslo_log import log as logging
from sqlalchemy import exc as sa_exc

from portchain import conf, errors, port_events
from portchain.api import definitions
from portchain.api import extensions as our_extensions
from portchain.core import model, rules
from portchain.db import drift, lookup, models, port_usage, realisation, sharing, writer
from portchain.drivers import manager
from portchain.requests import chains, classifiers, graphs, groups, pairs
from portchain.requests.request import Request, update_names

LOG = logging.getLogger(__name__)

_REPAIRED_AT_ONCE = 100
Body = Mapping[str, Any]
Shown = dict[str, Any]
_T = TypeVar("_T")


@contextmanager
def _transaction(context: Any) -> Iterator[None]:
    """Run a block in one transaction; what is wrong with the request is raised as the API's
    exceptions.
    """
    try:
        with db_api.CONTEXT_WRITER.using(context):
            yield
    except rules.Violation as violation:
        raise errors.from_violation(violation) from violation
    except db_exc.DBReferenceError as error:
        raise errors.ChangedMeanwhile from error
    except db_exc.DBError as error:
        if isinstance(error.inner_exception, sa_exc.DataError):
            raise errors.from_data_error(error) from error
        raise


@registry.has_registry_receivers
class PortChainPlugin(service_base.ServicePluginBase):
    """Flow classifiers, port pairs, port pair groups, port chains and service graphs."""

    supported_extension_aliases = tuple(one.ALIAS for one in definitions.ALL)
    path_prefix = definitions.API_PREFIX

    # Neutron looks these names up: bulk requests are one transaction, the database sorts and pages.
    __native_bulk_support = True
    __native_pagination_support = True
    __native_sorting_support = True

    @resource_registry.tracked_resources(
        flow_classifier=models.FlowClassifier,
        port_pair=models.PortPair,
        port_pair_group=models.PortPairGroup,
        port_chain=models.PortChain,
        service_graph=models.ServiceGraph,
    )
    def __init__(self) -> None:
        """Load the drivers and make the API known to Neutron.

        :raises DriverNotLoaded: a configured driver cannot be loaded.
        """
        super().__init__()
        conf.register_server_opts()
        lookup.register_filters()
        sharing.keep_policies_in_use()
        api_extensions.append_api_extensions_path(list(our_extensions.__path__))
        options = cfg.CONF[conf.GROUP]
        self.drivers = manager.DriverManager(manager.load(options.drivers))
        self._missed = drift.DriftDetector()
        self.add_worker(
            worker.PeriodicWorker(
                self.repair,
                options.repair_interval,
                options.repair_interval,
                desc="port chain repair",
            )
        )
        for task in self.drivers.periodic_tasks():
            self.add_worker(
                worker.PeriodicWorker(task, task.interval, task.interval, desc=task.name)
            )

    @classmethod
    def get_plugin_type(cls) -> str:
        """Return the type by which the plugin directory knows this plugin."""
        return conf.PLUGIN_TYPE

    def get_plugin_description(self) -> str:
        """Return a line for lists of plugins."""
        return "Port chains: service function chaining by Neutron ports"

    def start_rpc_listeners(self) -> list[Any]:
        """Serve the drivers' RPC topics; Neutron calls it in the RPC server process."""
        connection = rpc.Connection()
        for topic, endpoints in self.drivers.rpc_endpoints():
            connection.create_consumer(topic, list(endpoints), fanout=False)
        return list(connection.consume_in_threads())

    def repair(self) -> None:
        """Have chains realised whose realisation failed or was interrupted, or of which a change was missed; called at
        intervals.
        """
        context = neutron_context.get_admin_context()
        try:
            waiting = realisation.unrealised(
                context, _REPAIRED_AT_ONCE, cfg.CONF[conf.GROUP].repair_after
            )
            self.drivers.update_port_chain(context, waiting)
            self._refresh(context, self._missed.next(context))
        except Exception:
            # The boundary of a loop that an exception would end for good.
            LOG.exception("Cannot look for port chains to repair")

    # Flow classifiers

    def create_flow_classifier_bulk(self, context: Any, flow_classifiers: Body) -> list[Shown]:
        """Create several flow classifiers, all or none."""
        return self._create(
            context, lookup.FLOW_CLASSIFIER, classifiers.create_flow_classifier, flow_classifiers
        )

    def create_flow_classifier(self, context: Any, flow_classifier: Body) -> Shown:
        """Create a flow classifier."""
        return self.create_flow_classifier_bulk(context, _bulk(flow_classifier))[0]

    def update_flow_classifier(self, context: Any, id: str, flow_classifier: Body) -> Shown:
        """Change the name or description of a flow classifier."""
        return self._update(
            context,
            lookup.FLOW_CLASSIFIER,
            update_names(lookup.FLOW_CLASSIFIER),
            id,
            flow_classifier,
        )

    def delete_flow_classifier(self, context: Any, id: str) -> None:
        """Delete a flow classifier."""
        self._write(context, classifiers.delete_flow_classifier, id)

    def get_flow_classifier(self, context: Any, id: str, fields: Any = None) -> Shown:
        """Show a flow classifier."""
        return _show(context, lookup.FLOW_CLASSIFIER, [id], fields)[0]

    def get_flow_classifiers(self, context: Any, **page: Any) -> list[Shown]:
        """List flow classifiers."""
        return _list(context, lookup.FLOW_CLASSIFIER, page)

    # Port pairs

    def create_port_pair_bulk(self, context: Any, port_pairs: Body) -> list[Shown]:
        """Create several port pairs, all or none."""
        return self._create(context, lookup.PORT_PAIR, pairs.create_port_pair, port_pairs)

    def create_port_pair(self, context: Any, port_pair: Body) -> Shown:
        """Create a port pair."""
        return self.create_port_pair_bulk(context, _bulk(port_pair))[0]

    def update_port_pair(self, context: Any, id: str, port_pair: Body) -> Shown:
        """Change the name, description or weight of a port pair; the chains it is in follow."""
        return self._update(context, lookup.PORT_PAIR, pairs.update_port_pair, id, port_pair)

    def delete_port_pair(self, context: Any, id: str) -> None:
        """Delete a port pair."""
        self._write(context, pairs.delete_port_pair, id)

    def get_port_pair(self, context: Any, id: str, fields: Any = None) -> Shown:
        """Show a port pair."""
        return _show(context, lookup.PORT_PAIR, [id], fields)[0]

    def get_port_pairs(self, context: Any, **page: Any) -> list[Shown]:
        """List port pairs."""
        return _list(context, lookup.PORT_PAIR, page)

    # Port pair groups

    def create_port_pair_group_bulk(self, context: Any, port_pair_groups: Body) -> list[Shown]:
        """Create several port pair groups, all or none."""
        return self._create(
            context, lookup.PORT_PAIR_GROUP, groups.create_port_pair_group, port_pair_groups
        )

    def create_port_pair_group(self, context: Any, port_pair_group: Body) -> Shown:
        """Create a port pair group."""
        return self.create_port_pair_group_bulk(context, _bulk(port_pair_group))[0]

    def update_port_pair_group(self, context: Any, id: str, port_pair_group: Body) -> Shown:
        """Change a port pair group; the chains it is in follow."""
        return self._update(
            context, lookup.PORT_PAIR_GROUP, groups.update_port_pair_group, id, port_pair_group
        )

    def delete_port_pair_group(self, context: Any, id: str) -> None:
        """Delete a port pair group."""
        self._write(context, groups.delete_port_pair_group, id)

    def get_port_pair_group(self, context: Any, id: str, fields: Any = None) -> Shown:
        """Show a port pair group."""
        return _show(context, lookup.PORT_PAIR_GROUP, [id], fields)[0]

    def get_port_pair_groups(self, context: Any, **page: Any) -> list[Shown]:
        """List port pair groups."""
        return _list(context, lookup.PORT_PAIR_GROUP, page)

    # Port chains

    def create_port_chain_bulk(self, context: Any, port_chains: Body) -> list[Shown]:
        """Create several port chains, all or none, and have them realised."""
        return self._create(context, lookup.PORT_CHAIN, chains.create_port_chain, port_chains)

    def create_port_chain(self, context: Any, port_chain: Body) -> Shown:
        """Create a port chain."""
        return self.create_port_chain_bulk(context, _bulk(port_chain))[0]

    def update_port_chain(self, context: Any, id: str, port_chain: Body) -> Shown:
        """Change a port chain and its realisation."""
        return self._update(context, lookup.PORT_CHAIN, chains.update_port_chain, id, port_chain)

    def delete_port_chain(self, context: Any, id: str) -> None:
        """Delete a port chain and its realisation."""
        self._write(context, chains.delete_port_chain, id)

    def get_port_chain(self, context: Any, id: str, fields: Any = None) -> Shown:
        """Show a port chain."""
        return _show(context, lookup.PORT_CHAIN, [id], fields)[0]

    def get_port_chains(self, context: Any, **page: Any) -> list[Shown]:
        """List port chains."""
        return _list(context, lookup.PORT_CHAIN, page)

    # Service graphs

    def create_service_graph_bulk(self, context: Any, service_graphs: Body) -> list[Shown]:
        """Create several service graphs, all or none; their chains follow."""
        return self._create(
            context, lookup.SERVICE_GRAPH, graphs.create_service_graph, service_graphs
        )

    def create_service_graph(self, context: Any, service_graph: Body) -> Shown:
        """Create a service graph."""
        return self.create_service_graph_bulk(context, _bulk(service_graph))[0]

    def update_service_graph(self, context: Any, id: str, service_graph: Body) -> Shown:
        """Change the name or description of a service graph."""
        return self._update(
            context, lookup.SERVICE_GRAPH, update_names(lookup.SERVICE_GRAPH), id, service_graph
        )

    def delete_service_graph(self, context: Any, id: str) -> None:
        """Delete a service graph; its chains follow."""
        self._write(context, graphs.delete_service_graph, id)

    def get_service_graph(self, context: Any, id: str, fields: Any = None) -> Shown:
        """Show a service graph."""
        return _show(context, lookup.SERVICE_GRAPH, [id], fields)[0]

    def get_service_graphs(self, context: Any, **page: Any) -> list[Shown]:
        """List service graphs."""
        return _list(context, lookup.SERVICE_GRAPH, page)

    # Common to them

    def _create(
        self,
        context: Any,
        resource: lookup.Resource,
        create: Callable[[Request, Body], str],
        body: Body,
    ) -> list[Shown]:
        def create_all(request: Request, items: Sequence[Body]) -> list[str]:
            return [create(request, data) for data in items]

        ids = self._write(context, create_all, _items(body, resource.name))
        return _show(context, resource, ids)

    def _update(
        self,
        context: Any,
        resource: lookup.Resource,
        update: Callable[[Request, str, Body], None],
        an_id: str,
        body: Body,
    ) -> Shown:
        self._write(context, update, an_id, body[resource.name])
        return _show(context, resource, [an_id])[0]

    def _write(self, context: Any, operation: Callable[..., _T], *arguments: Any) -> _T:
        """Run an operation in one transaction, then tell the drivers what it has changed."""
        result, due = self._commit(context, operation, *arguments)
        self.drivers.notify(context, due)
        return result

    @db_api.retry_if_session_inactive()
    def _commit(
        self, context: Any, operation: Callable[..., _T], *arguments: Any
    ) -> tuple[_T, manager.PendingNotifications]:
        request = Request(context, self.drivers.check)
        with _transaction(context):
            return operation(request, *arguments), request.due

    # Changes of Neutron ports. Exceptions of the call-backs after a change are logged by the
    # registry and stop nothing.

    @registry.receives(resources.PORT, [events.BEFORE_DELETE])
    def _keep_ports_in_use(
        self, resource: str, event: str, trigger: Any, payload: events.DBEventPayload
    ) -> None:
        """Refuse the deletion of a port that a pair or a classifier names."""
        with db_api.CONTEXT_READER.using(payload.context):
            user = port_usage.users_of_port(payload.context, payload.resource_id)
        if user:
            raise errors.PortInUse(id=payload.resource_id, user=user)

    @registry.receives(resources.PORT, [events.AFTER_CREATE, events.AFTER_DELETE])
    def _port_came_or_went(
        self, resource: str, event: str, trigger: Any, payload: events.DBEventPayload
    ) -> None:
        """Follow ports that classifiers stand for without naming them."""
        port = payload.latest_state
        if port and not port_events.serves_network(port):
            self._follow_port(port_events.changed(port))

    @registry.receives(resources.PORT, [events.AFTER_UPDATE])
    def _port_changed(
        self, resource: str, event: str, trigger: Any, payload: events.DBEventPayload
    ) -> None:
        """Follow a port that was bound, moved, unplugged or readdressed."""
        before, after = payload.states[0], payload.latest_state
        if port_events.concerns_chains(before, after):
            self._follow_port(port_events.changed(before, after))

    @registry.receives(resources.AGENT, [events.AFTER_CREATE, events.AFTER_UPDATE])
    def _agent_changed(
        self, resource: str, event: str, trigger: Any, payload: events.DBEventPayload
    ) -> None:
        """Follow a host whose tunnels end at another address or have other types; most reports say nothing new.

        Of an agent that is new nothing is known: it may have been there with others, and been deleted.
        """
        before, after = payload.states[1], payload.desired_state
        known = before.configurations if before is not None else {}
        reported = after.get("configurations") or {}
        if port_events.has_other_tunnels(known, reported):
            context = neutron_context.get_admin_context()
            self._refresh(context, realisation.chains_on(context, after["host"]))

    def _follow_port(self, port: model.Port) -> None:
        # The event's own context may carry a caller who must not see the chains, or a session at
        # its end.
        context = neutron_context.get_admin_context()
        self._refresh(context, port_usage.chains_using_port(context, port))

    def _refresh(self, context: Any, chains: Iterable[str]) -> None:
        """Have chains realised anew that have not changed themselves."""
        ids = sorted(chains)
        if ids:
            self._bump(context, ids)
            self.drivers.refresh_port_chains(context, ids)

    @staticmethod
    @db_api.retry_if_session_inactive()
    def _bump(context: Any, chains: Sequence[str]) -> None:
        with db_api.CONTEXT_WRITER.using(context):
            writer.bump(context.session, chains)


def _bulk(body: Body) -> dict[str, list[Body]]:
    """Return the body of one resource as that of several."""
    return {"items": [body]}


def _items(body: Body, resource: str) -> list[Body]:
    """Return the attributes of every resource in the body of a bulk request."""
    (items,) = body.values()
    return [item[resource] for item in items]


@db_api.retry_if_session_inactive()
def _show(
    context: Any, resource: lookup.Resource, ids: Sequence[str], fields: Any = None
) -> list[Shown]:
    with db_api.CONTEXT_READER.using(context):
        rows = lookup.find(context, resource, ids)
        return [lookup.show(context, resource, rows[an_id], fields) for an_id in ids]


@db_api.retry_if_session_inactive()
def _list(context: Any, resource: lookup.Resource, page: Mapping[str, Any]) -> list[Shown]:
    with db_api.CONTEXT_READER.using(context):
        return lookup.show_page(context, resource, **page)
