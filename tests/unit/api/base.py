"""Base class of tests that send requests to Neutron's real WSGI application, on SQLite.

A test case creates what all of its tests start with in `ApiTestCase.prepare`. Each test gets a
server of its own and a copy of the database as `prepare` left it.
"""

import contextlib
import copy
import ipaddress
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import sqlalchemy as sa
import webtest
from neutron import manager, policy, quota, tests
from neutron.api import extensions
from neutron.conf.plugins.ml2 import config as ml2_config
from neutron.conf.plugins.ml2.drivers import driver_type
from neutron.db.quota import driver_null
from neutron.tests.common import helpers
from neutron.tests.unit import testlib_api
from neutron_lib import context as neutron_context
from neutron_lib import fixture
from neutron_lib.api import attributes as lib_attributes
from neutron_lib.api.definitions import portbindings
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from oslo_config import cfg
from oslo_policy import policy as oslo_policy
from oslo_service import wsgi
from oslo_utils import uuidutils

from portchain import conf
from portchain.api import definitions
from portchain.db import models
from portchain.plugin import PortChainPlugin
from tests.unit.api.port_copies import PortTemplate

PASTE_INI = Path(tests.__file__).parent / "etc" / "api-paste.ini"
PROJECT, OTHER_PROJECT = uuidutils.generate_uuid(), uuidutils.generate_uuid()
HOST = "compute-1"


class Caller:
    """WSGI middleware that reads the caller from headers, as Keystone's reads it from a token."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        environ["neutron.context"] = neutron_context.Context(
            user_id="user",
            project_id=environ["HTTP_X_PROJECT_ID"],
            roles=environ["HTTP_X_ROLES"].split(","),
        )
        return self._application(environ, start_response)


# Caches that make tests fast. Neutron's base class starts a whole server for every test, and most
# of that time goes into work whose result is the same every time.

_parse_rules = policy.register_rules
_RULES: dict[frozenset[tuple[str, str]], dict[str, Any]] = {}


def register_rules(enforcer: Any) -> None:
    """Register Neutron's default policies, parsed once per process instead of twice per test.

    A check that compares a field takes its converter from the attribute maps that are loaded when
    it is parsed. Rules are therefore kept per set of known attributes.
    """
    known = frozenset(
        (name, key) for name, keys in lib_attributes.RESOURCES.items() for key in keys
    )
    if known not in _RULES:
        _parse_rules(enforcer)
        _RULES[known] = dict(enforcer.registered_rules)
    # The policy engine replaces attributes of rules; it changes no check in place.
    enforcer.registered_rules.update(
        {name: copy.copy(rule) for name, rule in _RULES[known].items()}
    )


def copy_map(attribute_map: Any) -> Any:
    """Copy the dicts of an attribute map: extensions add to these, and change no value in place."""
    if not isinstance(attribute_map, dict):
        return attribute_map
    return {key: copy_map(value) for key, value in attribute_map.items()}


_load_rules = oslo_policy.Enforcer.load_rules


def load_rules(enforcer: Any, force_reload: bool = False) -> None:
    """Load policies when Neutron asks for it, and not before each decision: no file changes."""
    if force_reload:
        _load_rules(enforcer, force_reload)


_load_extensions = extensions.ExtensionManager._load_all_extensions_from_path
_EXTENSIONS: dict[str, list[type]] = {}


def load_extensions(manager: Any, path: str) -> None:
    """Load a folder of extensions; Neutron executes its modules for every server it starts."""
    if path not in _EXTENSIONS:
        with mock.patch.object(manager, "add_extension") as add_extension:
            _load_extensions(manager, path)
        _EXTENSIONS[path] = [type(call.args[0]) for call in add_extension.call_args_list]
    for extension in _EXTENSIONS[path]:
        manager.add_extension(extension())


SHORTCUTS = (
    mock.patch.object(oslo_policy.Enforcer, "load_rules", load_rules),
    mock.patch.object(
        extensions.ExtensionManager, "_load_all_extensions_from_path", load_extensions
    ),
    mock.patch.object(policy, "register_rules", register_rules),
    mock.patch.object(fixture, "copy", SimpleNamespace(deepcopy=copy_map)),
    # Pushes every change of Neutron's resources to agents that no test has.
    mock.patch("neutron.plugins.ml2.ovo_rpc.OVOServerRpcInterface"),
)


class Prepared:
    """The database after `ApiTestCase.prepare`, and the attributes that it set."""

    def __init__(self, test: "ApiTestCase", attributes: dict[str, Any]) -> None:
        self._database = test.save_database()
        self._attributes = copy.deepcopy(attributes)

    def restore(self, test: "ApiTestCase") -> None:
        """Give a test the same start."""
        test.restore_database(self._database)
        vars(test).update(copy.deepcopy(self._attributes))


_PREPARED: dict[Any, Prepared] = {}


class ApiTestCase(testlib_api.SqlTestCase):
    """A Neutron server with ML2 (openvswitch) and port chains; methods send requests to it."""

    drivers = ("noop",)
    service_plugins: tuple[str, ...] = ("port_chain",)
    agent_hosts: tuple[str, ...] = (HOST,)
    extension_drivers: tuple[str, ...] = ()
    """Of ML2: ``port_security``, for example."""
    enforces_quotas = False  # one request in six would be spent on counting and reserving

    def setUp(self) -> None:
        for shortcut in SHORTCUTS:
            shortcut.start()
            self.addCleanup(shortcut.stop)
        # The quota engine keeps the driver of the first test of a process.
        driver = None if self.enforces_quotas else driver_null.DbQuotaDriverNull()
        engine = mock.patch.object(quota.QUOTAS, "_driver", driver)
        engine.start()
        self.addCleanup(engine.stop)
        self.setup_coreplugin("ml2", load_plugins=False)
        super().setUp()
        self.addCleanup(extensions.PluginAwareExtensionManager.clear_instance)
        # Service plugins add attributes to our maps; the next test may load others.
        self.useFixture(fixture.APIDefinitionFixture(*definitions.ALL))
        conf.register_server_opts()
        cfg.CONF.set_override("auth_strategy", "noauth")
        cfg.CONF.set_override("api_paste_config", str(PASTE_INI))
        cfg.CONF.set_override("service_plugins", list(self.service_plugins))
        cfg.CONF.set_override("drivers", list(self.drivers), conf.GROUP)
        ml2_config.register_ml2_plugin_opts()
        driver_type.register_ml2_drivers_vxlan_opts()
        cfg.CONF.set_override("mechanism_drivers", ["openvswitch"], "ml2")
        cfg.CONF.set_override("extension_drivers", list(self.extension_drivers), "ml2")
        cfg.CONF.set_override("project_network_types", ["vxlan"], "ml2")
        cfg.CONF.set_override("vni_ranges", ["1:100"], "ml2_type_vxlan")
        self.app = webtest.TestApp(Caller(wsgi.Loader(cfg.CONF).load_app("neutron")))
        self.context = neutron_context.get_admin_context()
        plugin = directory.get_plugin(conf.PLUGIN_TYPE)
        assert isinstance(plugin, PortChainPlugin)
        self.plugin = plugin
        assert manager.NeutronManager.has_instance()
        self._restore_or_prepare()

    def prepare(self) -> None:
        """Create what every test of the class starts with; set its ids as attributes.

        It runs for the first test of a process. The others get the database as it was then, and
        copies of the attributes that were set on ``self``.
        """

    def _restore_or_prepare(self) -> None:
        settings = (self.drivers, self.service_plugins, self.extension_drivers, self.agent_hosts)
        key = (type(self).prepare, str(self.engine.url), *settings)
        if key in _PREPARED:
            _PREPARED[key].restore(self)
            self._register_agents()  # those of the first test may be too old to count as alive
            return
        self._register_agents()
        before = set(vars(self))
        self.templates: dict[str, PortTemplate] = {}
        self.prepare()
        added = {name: value for name, value in vars(self).items() if name not in before}
        _PREPARED[key] = Prepared(self, added)

    def _register_agents(self) -> None:
        for host in self.agent_hosts:
            helpers.register_ovs_agent(host, tunneling_ip="192.0.2.1", tunnel_types=["vxlan"])

    def save_database(self) -> Any:
        """Return a copy of all rows."""
        saved = sqlite3.connect(":memory:", check_same_thread=False)
        self._sqlite().backup(saved)
        return saved

    def restore_database(self, saved: Any) -> None:
        """Write the rows that were saved."""
        saved.backup(self._sqlite())

    def _sqlite(self) -> sqlite3.Connection:
        """Return the connection to the database in memory that all sessions share."""
        pooled = self.engine.raw_connection()
        try:
            return pooled.driver_connection  # type: ignore[no-any-return]
        finally:
            pooled.close()

    @staticmethod
    def enforce_quotas() -> None:
        """Enforce quotas from here on, as `enforces_quotas` does for all tests of a class."""
        quota.QUOTAS._driver = None

    # Requests

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        project: str = PROJECT,
        roles: str = "member,reader",
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request; return its response, whatever its status code."""
        return self.app.request(
            f"/v2.0{path}",
            method=method,
            body=b"" if body is None else json.dumps(body).encode(),
            headers={
                "X-Project-Id": project,
                "X-Roles": roles,
                "Content-Type": "application/json",
                **(headers or {}),
            },
            expect_errors=True,
        )

    def create(
        self,
        resource: str,
        *,
        expect: int = 201,
        as_: dict[str, str] | None = None,
        **attributes: Any,
    ) -> Any:
        """Create a resource; return it as the API shows it, or the error."""
        response = self.call("POST", f"/sfc/{resource}s", {resource: attributes}, **(as_ or {}))
        return self._result(response, resource, expect)

    def update(
        self,
        resource: str,
        an_id: str,
        *,
        expect: int = 200,
        as_: dict[str, str] | None = None,
        **attributes: Any,
    ) -> Any:
        response = self.call(
            "PUT", f"/sfc/{resource}s/{an_id}", {resource: attributes}, **(as_ or {})
        )
        return self._result(response, resource, expect)

    def show(self, resource: str, an_id: str, *, expect: int = 200, **as_: str) -> Any:
        return self._result(self.call("GET", f"/sfc/{resource}s/{an_id}", **as_), resource, expect)

    def list_all(self, resource: str, query: str = "", *, expect: int = 200, **as_: str) -> Any:
        response = self.call("GET", f"/sfc/{resource}s?{query}", **as_)
        return self._result(response, f"{resource}s", expect)

    def delete(self, resource: str, an_id: str, *, expect: int = 204, **as_: str) -> Any:
        response = self.call("DELETE", f"/sfc/{resource}s/{an_id}", **as_)
        return self._result(response, resource, expect)

    def _result(self, response: Any, key: str, expect: int) -> Any:
        assert response.status_int == expect, f"{response.status}: {response.text}"
        if expect >= 400:
            return response.json["NeutronError"]
        return response.json[key] if response.body else None

    # Neutron's resources that chains need

    def network(self, cidr: str = "10.0.0.0/24", **as_: str) -> str:
        """Create a network with a subnet; return its id.

        Neutron assigns IPv4 addresses at random, except .70 to .119 and .200 to .209: these are
        for tests that ask for an address.
        """
        network = self.call("POST", "/networks", {"network": {"name": "net"}}, **as_)
        an_id: str = network.json["network"]["id"]
        subnet: dict[str, Any] = {"network_id": an_id, "cidr": cidr, "ip_version": 6}
        if ":" not in cidr:
            base = ipaddress.ip_network(cidr)[0]
            subnet |= {
                "ip_version": 4,
                "allocation_pools": [
                    {"start": str(base + first), "end": str(base + last)}
                    for first, last in ((2, 69), (120, 199), (210, 254))
                ],
            }
        body = {"subnet": subnet}
        assert self.call("POST", "/subnets", body, **as_).status_int == 201
        return an_id

    def port(self, network: str, device: str = "", name: str = "", ip: str = "", **as_: str) -> str:
        """Create a port; return its id."""
        body: dict[str, Any] = {"port": {"network_id": network, "device_id": device, "name": name}}
        if ip:
            body["port"]["fixed_ips"] = [{"ip_address": ip}]
        response = self.call("POST", "/ports", body, **as_)
        assert response.status_int == 201, response.text
        an_id: str = response.json["port"]["id"]
        return an_id

    def copied_port(self, network: str, device: str) -> str:
        """Create a port as `port` does, in a tenth of the time, but without Neutron's events.

        The first port of a network and its project comes from the API, the others are copies of it.
        """
        if network not in self.templates:
            port = self.port(network, device)
            with db_api.CONTEXT_READER.using(self.context):
                template = PortTemplate(self.context.session, port)
            if template.has_only_ipv4():
                self.templates[network] = template
            return port
        with db_api.CONTEXT_WRITER.using(self.context):
            return self.templates[network].copy(self.context.session, device)

    def pair(self, network: str, device: str = "vm", **attributes: Any) -> Any:
        """Create a pair of two new ports of a device."""
        return self.create(
            "port_pair",
            ingress=self.copied_port(network, device),
            egress=self.copied_port(network, device),
            **attributes,
        )

    def group(self, network: str, pairs: int = 1, **attributes: Any) -> Any:
        """Create a group of new pairs."""
        ids = [self.pair(network, f"vm{number}")["id"] for number in range(pairs)]
        return self.create("port_pair_group", port_pairs=ids, **attributes)

    def classifier(self, source_port: str, number: int = 80, **attributes: Any) -> Any:
        """Create a classifier for what a port sends to one TCP port."""
        return self.create(
            "flow_classifier",
            logical_source_port=source_port,
            protocol="tcp",
            destination_port_range_min=number,
            destination_port_range_max=number,
            **attributes,
        )

    def chain(self, network: str, groups: int = 1, **attributes: Any) -> Any:
        """Create a chain of new groups with one classifier."""
        source = self.copied_port(network, "client")
        return self.create(
            "port_chain",
            port_pair_groups=[self.group(network)["id"] for _ in range(groups)],
            flow_classifiers=[self.classifier(source)["id"]],
            **attributes,
        )

    def share(
        self, kind: str, an_id: str, target: str = OTHER_PROJECT, *, expect: int = 201, **as_: str
    ) -> str:
        """Create an RBAC policy that shares a resource with a project; return the policy's id.

        :param kind: the policy's object type, such as ``network``.
        """
        policy = {
            "object_type": kind,
            "object_id": an_id,
            "action": "access_as_shared",
            "target_tenant": target,
        }
        response = self.call("POST", "/rbac-policies", {"rbac_policy": policy}, **as_)
        assert response.status_int == expect, response.text
        return str(response.json.get("rbac_policy", {}).get("id", ""))

    def bind(self, port: str, host: str = HOST, status: str = "ACTIVE") -> None:
        """Bind a port to a host as Nova does, and report its status as the agent does."""
        body = {"port": {portbindings.HOST_ID: host}}
        response = self.call("PUT", f"/ports/{port}", body, roles="admin")
        assert response.status_int == 200, response.text
        directory.get_plugin().update_port_status(self.context, port, status, host)

    # The database

    @contextlib.contextmanager
    def statements(self) -> Iterator[list[str]]:
        """Collect the SQL statements that run inside the ``with`` block."""
        seen: list[str] = []

        def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if not statement.startswith(("SAVEPOINT", "RELEASE", "PRAGMA", "BEGIN")):
                seen.append(statement)

        sa.event.listen(self.engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            sa.event.remove(self.engine, "before_cursor_execute", note)

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the rows of all our tables, to find out whether anything was written."""
        tables = models.PortChain.metadata.tables
        with db_api.CONTEXT_READER.using(self.context):
            return {
                name: sorted(
                    tuple(map(str, row)) for row in self.context.session.execute(sa.select(table))
                )
                for name, table in tables.items()
                if name.startswith("portchain_")
            }
