"""Neutron's server with the names that deployment tools configure for networking-sfc."""

from neutron import manager
from neutron_lib.plugins import directory
from oslo_config import cfg

from portchain import conf
from portchain.plugin import PortChainPlugin
from tests.unit.api.base import ApiTestCase


class AliasesTest(ApiTestCase):
    service_plugins = ("flow_classifier", "sfc")
    # Kolla Ansible configures this one, too. There is no such extension of ML2.
    extension_drivers = ("port_security", "sfc")

    def test_both_names_are_one_plugin_that_serves_everything(self) -> None:
        ours = [one for one in directory.get_unique_plugins() if isinstance(one, PortChainPlugin)]
        assert len(ours) == 1
        extensions = self.call("GET", "/extensions").json["extensions"]
        aliases = [extension["alias"] for extension in extensions]
        for alias in PortChainPlugin.supported_extension_aliases:
            assert aliases.count(alias) == 1, alias
        net = self.network()
        group = self.create("port_pair_group", port_pairs=[self.pair(net)["id"]])["id"]
        classifier = self.classifier(self.port(net, "client"))["id"]
        chain = self.create("port_chain", port_pair_groups=[group], flow_classifiers=[classifier])
        assert [one["id"] for one in self.list_all("port_chain")] == [chain["id"]]
        other = self.create("port_chain", port_pair_groups=[self.create("port_pair_group")["id"]])
        branches = {chain["id"]: [other["id"]]}
        graph = self.create("service_graph", port_chains=branches)
        assert self.show("service_graph", graph["id"])["port_chains"] == branches

    def test_nothing_runs_twice(self) -> None:
        """Periodic workers and callbacks belong to the instance, of which there is one."""
        workers = [
            worker.desc
            for plugin in manager.NeutronManager.get_instance()._loaded_plugins.values()
            if isinstance(plugin, PortChainPlugin)
            for worker in plugin.get_workers()
            if worker.desc
        ]
        assert workers.count("port chain repair") == 1


class AliasesAndNameTest(ApiTestCase):
    service_plugins = ("sfc", "port_chain", "flow_classifier")

    def test_the_plugins_own_name_makes_no_difference(self) -> None:
        ours = [one for one in directory.get_unique_plugins() if isinstance(one, PortChainPlugin)]
        assert len(ours) == 1
        assert self.create("port_pair_group")["port_pairs"] == []


def test_the_section_of_networking_sfc_names_drivers_unless_ours_does(tmp_path) -> None:
    def drivers(text: str) -> list[str]:
        file = tmp_path / "neutron.conf"
        file.write_text(text)
        options = cfg.ConfigOpts()
        conf.register_server_opts(options)
        options([], default_config_files=[str(file)])
        return options[conf.GROUP].drivers

    theirs = "[sfc]\ndrivers = noop\n[flowclassifier]\ndrivers = ovs\n"
    assert drivers(theirs) == ["noop"]
    assert drivers(f"{theirs}[port_chain]\ndrivers = ovn\n") == ["ovn"]
    assert drivers("[flowclassifier]\ndrivers = dummy\n") == ["ovs"]
