"""The Neutron service plugin.

Every request passes the same layers. A new port chain, for example, passes:

    ``POST /v2.0/sfc/port_chains``            Neutron's API controller and `portchain.api`
    ``PortChainPlugin.create_port_chain``     this module
    ``requests.chains.create_port_chain``     rules, rows and the drivers' checks: one transaction
    ``DriverManager.create_port_chain``       after the commit: which driver owns the chain
    ``PortChainDriver.create_port_chain``     the driver realises the chain

Neutron looks up the plugin's methods by their names: create, create in bulk, update, delete, get
and list, for each resource. A method only names its resource and the operation of
`portchain.requests` that it runs. `PortChainPlugin._create`, ``_update`` and ``_write`` do what all
requests have in common.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from neutron import worker
from neutron.api import extensions as api_extensions
from neutron.quota import resource_registry
from neutron_lib import context as neutron_context
from neutron_lib import rpc
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.services import base as service_base
from oslo_config import cfg
from oslo_log import log as logging

from portchain import (
    coexistence,
    conf,
    errors,
    health_notifications,
    port_events,
    server_metrics,
)
from portchain.api import definitions
from portchain.api import extensions as our_extensions
from portchain.core import model
from portchain.db import (
    drift,
    lookup,
    models,
    pair_health,
    port_cache,
    port_usage,
    realisation,
    redaction,
    relations,
    sharing,
    traces,
    writer,
)
from portchain.drivers import manager
from portchain.joined_work import JoinedWork
from portchain.requests import chains, classifiers, graphs, groups, pairs, stats, statuses
from portchain.requests import traces as trace_requests
from portchain.requests.request import Request
from portchain.requests.transaction import write_transaction

LOG = logging.getLogger(__name__)

_MOST_REPAIRED = 100  # chains in one run of the repair worker

Body = Mapping[str, Any]
"""The body of a request, or the attributes of one resource in it."""
Shown = dict[str, Any]
"""What the API shows of a resource."""
_P = ParamSpec("_P")
_T = TypeVar("_T")


@registry.has_registry_receivers
class PortChainPlugin(service_base.ServicePluginBase):
    """Serves flow classifiers, pairs, groups, port chains, service graphs and traces."""

    # Neutron reads these attributes. The last three say that a bulk request is one transaction, and
    # that the database sorts lists and divides them into pages.
    supported_extension_aliases = tuple(extension.ALIAS for extension in definitions.ALL)
    path_prefix = definitions.API_PREFIX
    __native_bulk_support = True
    __native_pagination_support = True
    __native_sorting_support = True
    __filter_validation_support = True  # what Neutron 28 reads; 29 asks the base class

    @resource_registry.tracked_resources(
        flow_classifier=models.FlowClassifier,
        port_pair=models.PortPair,
        port_pair_group=models.PortPairGroup,
        port_chain=models.PortChain,
        service_graph=models.ServiceGraph,
        trace=models.Trace,
    )
    def __init__(self) -> None:
        """Load the drivers, register the API extensions and start the periodic workers.

        :raises DriverNotLoaded: a configured driver cannot be loaded.
        :raises OtherPackageInstalledError: networking-sfc is installed in the same environment.
        """
        super().__init__()
        coexistence.refuse()
        conf.register_server_opts()
        lookup.register_filters()
        sharing.keep_policies_in_use()
        api_extensions.append_api_extensions_path(list(our_extensions.__path__))
        options = cfg.CONF[conf.GROUP]
        self.drivers = manager.DriverManager(manager.load(options.drivers))
        self._refreshing = JoinedWork[None](self._refresh_now)
        self._drift = drift.DriftDetector()
        self.add_worker(
            worker.PeriodicWorker(
                self.repair,
                options.repair_interval,
                options.repair_interval,
                desc="port chain repair",
            )
        )
        self.add_worker(server_metrics.MetricsWorker())
        for task in self.drivers.periodic_tasks():
            self.add_worker(
                worker.PeriodicWorker(task, task.interval, task.interval, desc=task.name)
            )

    @classmethod
    def get_plugin_type(cls) -> str:
        """Return the type under which Neutron's plugin directory lists this plugin."""
        return conf.PLUGIN_TYPE

    def get_plugin_description(self) -> str:
        """Return one line that describes the plugin."""
        return "Port chains: service function chaining by Neutron ports"

    def start_rpc_listeners(self) -> list[Any]:
        """Serve the drivers' RPC topics. Neutron calls this in the RPC server process."""
        connection = rpc.Connection()
        for topic, endpoints in self.drivers.rpc_endpoints():
            connection.create_consumer(topic, list(endpoints), fanout=False)
        return list(connection.consume_in_threads())

    def repair(self) -> None:
        """Realise chains again whose realisation failed, was interrupted or has drifted.

        Traces whose time is over are deleted, too.

        A periodic worker calls this every ``repair_interval`` seconds.
        """
        context = neutron_context.get_admin_context()
        try:
            unrealised = realisation.unrealised(
                context, _MOST_REPAIRED, cfg.CONF[conf.GROUP].repair_after
            )
            self.drivers.repair_port_chain(context, unrealised)
            drifted = self._drift.find_in_next_page(context, self.drivers.observed)
            self._refresh(context, drifted)
            traces.delete_expired(context)
        except Exception:
            # Without this boundary, one exception would end the periodic worker for good.
            LOG.exception("Repair of port chains failed; the next run tries again")

    # Flow classifiers

    def create_flow_classifier_bulk(self, context: Any, flow_classifiers: Body) -> list[Shown]:
        """Create several flow classifiers, all or none."""
        return self._create(
            context, lookup.FLOW_CLASSIFIER, classifiers.create_flow_classifiers, flow_classifiers
        )

    def create_flow_classifier(self, context: Any, flow_classifier: Body) -> Shown:
        """Create a flow classifier."""
        return self.create_flow_classifier_bulk(context, _bulk(flow_classifier))[0]

    def update_flow_classifier(self, context: Any, id: str, flow_classifier: Body) -> Shown:
        """Change the name or description of a flow classifier."""
        return self._update(
            context,
            lookup.FLOW_CLASSIFIER,
            classifiers.update_flow_classifier,
            id,
            flow_classifier,
        )

    def delete_flow_classifier(self, context: Any, id: str) -> None:
        """Delete a flow classifier."""
        self._write(context, classifiers.delete_flow_classifier, id)

    def get_flow_classifier(self, context: Any, id: str, fields: Any = None) -> Shown:
        """Show a flow classifier."""
        return lookup.show_by_id(context, lookup.FLOW_CLASSIFIER, [id], fields)[0]

    def get_flow_classifiers(self, context: Any, **page: Any) -> list[Shown]:
        """List flow classifiers."""
        return lookup.show_page(context, lookup.FLOW_CLASSIFIER, **page)

    # Port pairs

    def create_port_pair_bulk(self, context: Any, port_pairs: Body) -> list[Shown]:
        """Create several port pairs, all or none."""
        create = _one_by_one(pairs.create_port_pair)
        return self._create(context, lookup.PORT_PAIR, create, port_pairs)

    def create_port_pair(self, context: Any, port_pair: Body) -> Shown:
        """Create a port pair."""
        return self.create_port_pair_bulk(context, _bulk(port_pair))[0]

    def update_port_pair(self, context: Any, id: str, port_pair: Body) -> Shown:
        """Change a port pair; if its share of packets changes, refresh its chains."""
        return self._update(context, lookup.PORT_PAIR, pairs.update_port_pair, id, port_pair)

    def delete_port_pair(self, context: Any, id: str) -> None:
        """Delete a port pair."""
        self._write(context, pairs.delete_port_pair, id)

    def get_port_pair(self, context: Any, id: str, fields: Any = None) -> Shown:
        """Show a port pair."""
        return lookup.show_by_id(context, lookup.PORT_PAIR, [id], fields)[0]

    def get_port_pairs(self, context: Any, **page: Any) -> list[Shown]:
        """List port pairs."""
        return lookup.show_page(context, lookup.PORT_PAIR, **page)

    # Port pair groups

    def create_port_pair_group_bulk(self, context: Any, port_pair_groups: Body) -> list[Shown]:
        """Create several port pair groups, all or none."""
        create = _one_by_one(groups.create_port_pair_group)
        return self._create(context, lookup.PORT_PAIR_GROUP, create, port_pair_groups)

    def create_port_pair_group(self, context: Any, port_pair_group: Body) -> Shown:
        """Create a port pair group."""
        return self.create_port_pair_group_bulk(context, _bulk(port_pair_group))[0]

    def update_port_pair_group(self, context: Any, id: str, port_pair_group: Body) -> Shown:
        """Change a port pair group and refresh the chains that use it."""
        return self._update(
            context, lookup.PORT_PAIR_GROUP, groups.update_port_pair_group, id, port_pair_group
        )

    def delete_port_pair_group(self, context: Any, id: str) -> None:
        """Delete a port pair group."""
        self._write(context, groups.delete_port_pair_group, id)

    def get_port_pair_group(self, context: Any, id: str, fields: Any = None) -> Shown:
        """Show a port pair group."""
        return lookup.show_by_id(context, lookup.PORT_PAIR_GROUP, [id], fields)[0]

    def get_port_pair_groups(self, context: Any, **page: Any) -> list[Shown]:
        """List port pair groups."""
        return lookup.show_page(context, lookup.PORT_PAIR_GROUP, **page)

    # Port chains

    def create_port_chain_bulk(self, context: Any, port_chains: Body) -> list[Shown]:
        """Create several port chains, all or none."""
        create = _one_by_one(chains.create_port_chain)
        items = _bulk_items(port_chains, lookup.PORT_CHAIN.name)
        ids, notifications = self._commit(context, create, items)
        created = self.drivers.notify(context, notifications)
        return lookup.show_created_chains(context, ids, created)

    def create_port_chain(self, context: Any, port_chain: Body) -> Shown:
        """Create a port chain."""
        return self.create_port_chain_bulk(context, _bulk(port_chain))[0]

    def update_port_chain(self, context: Any, id: str, port_chain: Body) -> Shown:
        """Change a port chain."""
        return self._update(context, lookup.PORT_CHAIN, chains.update_port_chain, id, port_chain)

    def delete_port_chain(self, context: Any, id: str) -> None:
        """Delete a port chain."""
        self._write(context, chains.delete_port_chain, id)

    def get_port_chain(self, context: Any, id: str, fields: Any = None) -> Shown:
        """Show a port chain."""
        return lookup.show_by_id(context, lookup.PORT_CHAIN, [id], fields)[0]

    def get_port_chains(self, context: Any, **page: Any) -> list[Shown]:
        """List port chains."""
        return lookup.show_page(context, lookup.PORT_CHAIN, **page)

    def get_port_chain_statuses(self, context: Any, id: str) -> Shown:
        """Show the operating status of a port chain, its groups and their pairs."""
        return {"statuses": statuses.get_port_chain_statuses(context, id)}

    def get_port_chain_stats(self, context: Any, id: str) -> Shown:
        """Show what hosts have counted of a port chain."""
        return {"stats": stats.get_port_chain_stats(context, self.drivers.read_counters, id)}

    # Service graphs

    def create_service_graph_bulk(self, context: Any, service_graphs: Body) -> list[Shown]:
        """Create several service graphs, all or none, and refresh their chains."""
        create = _one_by_one(graphs.create_service_graph)
        return self._create(context, lookup.SERVICE_GRAPH, create, service_graphs)

    def create_service_graph(self, context: Any, service_graph: Body) -> Shown:
        """Create a service graph."""
        return self.create_service_graph_bulk(context, _bulk(service_graph))[0]

    def update_service_graph(self, context: Any, id: str, service_graph: Body) -> Shown:
        """Change the name or description of a service graph."""
        return self._update(
            context,
            lookup.SERVICE_GRAPH,
            graphs.update_service_graph,
            id,
            service_graph,
        )

    def delete_service_graph(self, context: Any, id: str) -> None:
        """Delete a service graph and refresh its chains."""
        self._write(context, graphs.delete_service_graph, id)

    def get_service_graph(self, context: Any, id: str, fields: Any = None) -> Shown:
        """Show a service graph."""
        return lookup.show_by_id(context, lookup.SERVICE_GRAPH, [id], fields)[0]

    def get_service_graphs(self, context: Any, **page: Any) -> list[Shown]:
        """List service graphs."""
        return lookup.show_page(context, lookup.SERVICE_GRAPH, **page)

    # Traces

    def create_trace_bulk(self, context: Any, traces: Body) -> list[Shown]:
        """Trace several packets, one after the other."""
        items = _bulk_items(traces, lookup.TRACE.name)
        ids = self._write(context, trace_requests.create_traces, items)
        trace_requests.run_traces(context, self.drivers.all, ids)
        return lookup.show_by_id(context, lookup.TRACE, ids)

    def create_trace(self, context: Any, trace: Body) -> Shown:
        """Trace a packet."""
        return self.create_trace_bulk(context, _bulk(trace))[0]

    def update_trace(self, context: Any, id: str, trace: Body) -> Shown:
        """Change the name or description of a trace."""
        return self._update(context, lookup.TRACE, trace_requests.update_trace, id, trace)

    def delete_trace(self, context: Any, id: str) -> None:
        """Delete a trace."""
        self._write(context, trace_requests.delete_trace, id)

    def get_trace(self, context: Any, id: str, fields: Any = None) -> Shown:
        """Show a trace."""
        return lookup.show_by_id(context, lookup.TRACE, [id], fields)[0]

    def get_traces(self, context: Any, **page: Any) -> list[Shown]:
        """List traces."""
        return lookup.show_page(context, lookup.TRACE, **page)

    # What all requests have in common

    def _create(
        self,
        context: Any,
        resource: lookup.Resource,
        create: Callable[[Request, Sequence[Body]], list[str]],
        body: Body,
    ) -> list[Shown]:
        """Create every resource in a bulk body in one transaction, and show them.

        :param create: creates all and returns their ids.
        """
        ids = self._write(context, create, _bulk_items(body, resource.name))
        return lookup.show_by_id(context, resource, ids)

    def _update(
        self,
        context: Any,
        resource: lookup.Resource,
        update: Callable[[Request, str, Body], None],
        resource_id: str,
        body: Body,
    ) -> Shown:
        """Change a resource in one transaction, and show it.

        :param update: the operation of `portchain.requests`.
        """
        self._write(context, update, resource_id, body[resource.name])
        return lookup.show_by_id(context, resource, [resource_id])[0]

    def _write(
        self,
        context: Any,
        operation: Callable[Concatenate[Request, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Run an operation in one transaction, then notify the drivers of what it changed."""
        result, notifications = self._commit(context, operation, *args, **kwargs)
        self.drivers.notify(context, notifications)
        return result

    # The decorator copies lists and dicts among the arguments for each attempt, so that an
    # operation always sees the request as it came. That is why arguments are passed on, and not
    # bound to the operation.
    @db_api.retry_if_session_inactive()
    def _commit(
        self,
        context: Any,
        operation: Callable[Concatenate[Request, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> tuple[_T, manager.PendingNotifications]:
        request = Request(context, self.drivers.check, self.drivers.check_accepted)
        with write_transaction(context, redaction.ids_in((args, kwargs))):
            return operation(request, *args, **kwargs), request.notifications

    # Neutron's events. An exception in a callback after a change is logged by the registry and
    # does not undo the change.

    @registry.receives(resources.PORT, [events.BEFORE_DELETE])
    def _keep_ports_in_use(
        self, resource: str, event: str, trigger: Any, payload: events.DBEventPayload
    ) -> None:
        """Refuse to delete a port that a port pair or flow classifier names."""
        with db_api.CONTEXT_READER.using(payload.context):
            users = port_usage.describe_users(payload.context, payload.resource_id)
        if users:
            raise errors.PortInUse(id=payload.resource_id, user=users)

    @registry.receives(resources.PORT, [events.PRECOMMIT_DELETE])
    def _keep_ports_used_meanwhile(
        self, resource: str, event: str, trigger: Any, payload: events.DBEventPayload
    ) -> None:
        """Refuse the same for users that came after the first check.

        Without this, the database would refuse the deletion, and Neutron would answer 500.
        """
        users = port_usage.describe_latest_users(payload.context, payload.resource_id)
        if users:
            raise errors.PortInUse(id=payload.resource_id, user=users)

    @registry.receives(resources.PORT, [events.AFTER_CREATE, events.AFTER_DELETE])
    def _on_port_created_or_deleted(
        self, resource: str, event: str, trigger: Any, payload: events.DBEventPayload
    ) -> None:
        """Refresh the chains whose classifiers stand for the port without naming it."""
        port = payload.latest_state
        if port and port_events.role_of(port) is not model.PortRole.SERVICE:
            self._refresh_chains_of(port_events.with_all_addresses(port), [port])

    @registry.receives(resources.PORT, [events.AFTER_UPDATE])
    def _on_port_updated(
        self, resource: str, event: str, trigger: Any, payload: events.DBEventPayload
    ) -> None:
        """Refresh the chains of a port that was bound, moved, unplugged or readdressed."""
        before, after = payload.states[0], payload.latest_state
        port = port_events.with_all_addresses(before, after)
        if port_events.affects_chains(before, after):
            self._refresh_chains_of(port, [before, after])
        elif port_events.affects_functions(before, after):
            self._refresh_chains_of(port, [before, after], only_functions=True)

    @registry.receives(
        resources.SUBNET, [events.AFTER_CREATE, events.AFTER_UPDATE, events.AFTER_DELETE]
    )
    def _on_subnet_changed(
        self, resource: str, event: str, trigger: Any, payload: events.DBEventPayload
    ) -> None:
        """Refresh the chains with functions or named ends on the subnet's network.

        Which addresses a function may return, and by which gateway its probes go, depends on all
        subnets of its network, and of those that the packets are on.
        """
        if port_events.changes_gateways(*payload.states):
            context = neutron_context.get_admin_context()
            network_id = payload.latest_state["network_id"]
            self._refresh(context, port_usage.chains_on_network(context, network_id))

    @registry.receives(resources.AGENT, [events.AFTER_CREATE, events.AFTER_UPDATE])
    def _on_agent_reported(
        self, resource: str, event: str, trigger: Any, payload: events.DBEventPayload
    ) -> None:
        """Refresh the chains on a host whose tunnel address or tunnel types changed.

        Most reports of an agent change neither. A new agent counts as changed: an earlier
        agent of its host may have been deleted.
        """
        before, after = payload.states[1], payload.desired_state
        known = before.configurations if before is not None else {}
        reported = after.get("configurations") or {}
        if port_events.changes_tunnels(known, reported):
            context = neutron_context.get_admin_context()
            self._refresh(context, realisation.chains_on(context, after["host"]))

    @registry.receives(resources.RBAC_POLICY, [events.AFTER_CREATE, events.AFTER_DELETE])
    def _on_group_shared_or_withdrawn(
        self, resource: str, event: str, trigger: Any, payload: events.DBEventPayload
    ) -> None:
        """Refresh the chains of a group: what it returns is told apart otherwise while shared."""
        if payload.metadata.get("object_type") == models.PortPairGroupRBAC.object_type:
            context = neutron_context.get_admin_context()
            with db_api.CONTEXT_READER.using(context):
                group_id = payload.latest_state["object_id"]
                chains = relations.chains_of_group(context.session, group_id)
            self._refresh(context, chains)

    @registry.receives(pair_health.RESOURCE, [events.AFTER_UPDATE])
    def _on_health_changed(
        self, resource: str, event: str, trigger: Any, payload: events.EventPayload
    ) -> None:
        """Realise the chains of functions that have failed or are back, and notify of these."""
        change: pair_health.HealthChange = payload.metadata["change"]
        context = neutron_context.get_admin_context()
        if change.chain_ids:
            self.drivers.refresh_port_chains(context, change.chain_ids)
        health_notifications.send(context, change)

    def _refresh_chains_of(
        self,
        port: model.Port,
        states: Iterable[Mapping[str, Any]],
        *,
        only_functions: bool = False,
    ) -> None:
        """Realise the chains again that a change of a port affects.

        :param states: the port before and after, as Neutron's events have it.
        """
        # Not the event's own context: its caller may not see the chains, and its session may be
        # about to end.
        context = neutron_context.get_admin_context()
        chains = port_usage.chains_using_port(context, port, only_functions=only_functions)
        if ids := sorted(chains):
            self._note_port_event(context, ids, port.id, port_events.hosts_of(states))
            self._refreshing.do(context, ids)

    def _refresh(self, context: Any, chain_ids: Iterable[str]) -> None:
        """Realise chains again, for another reason than an event of a port or a request.

        Events that come while a chain is realised are realised together after it. Each has
        incremented the revision before: if this process ends meanwhile, the repair worker finds
        that the chain is not realised.
        """
        if ids := sorted(chain_ids):
            self._increment_revision(context, ids)
            self._refreshing.do(context, ids)

    def _refresh_now(self, context: Any, chain_ids: Sequence[str]) -> dict[str, None]:
        self.drivers.refresh_changed_ports(context, chain_ids)
        return {}

    @staticmethod
    @db_api.retry_if_session_inactive()
    def _increment_revision(context: Any, chain_ids: Sequence[str]) -> None:
        with db_api.CONTEXT_WRITER.using(context):
            writer.increment_revision(context.session, chain_ids, rereads_ports=True)

    @staticmethod
    @db_api.retry_if_session_inactive()
    def _note_port_event(
        context: Any, chain_ids: Sequence[str], port_id: str, hosts: Collection[str]
    ) -> None:
        with db_api.CONTEXT_WRITER.using(context) as session:
            writer.increment_revision(session, chain_ids)
            port_cache.note(session, chain_ids, port_id, hosts)


def _one_by_one(
    create: Callable[[Request, Body], str],
) -> Callable[[Request, Sequence[Body]], list[str]]:
    """Return an operation that creates several resources, one after the other."""

    def create_all(request: Request, items: Sequence[Body]) -> list[str]:
        return [create(request, data) for data in items]

    return create_all


def _bulk(body: Body) -> dict[str, list[Body]]:
    """Return the body of one resource as a bulk body."""
    return {"items": [body]}


def _bulk_items(body: Body, resource: str) -> list[Body]:
    """Return the attributes of every resource in a bulk body.

    :param resource: the resource's name, under which each item has its attributes.
    """
    (items,) = body.values()
    return [item[resource] for item in items]
