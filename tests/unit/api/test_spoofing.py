"""What a member's function may return: nothing that Neutron would not let the sources send."""

import ipaddress
from typing import Any

from neutron_lib.db import api as db_api

from portchain.core.model import ChainSnapshot
from portchain.dataplane.plan import Hop
from portchain.dataplane.planning import limits
from portchain.dataplane.planning.planner import plan_chain
from portchain.db import models, snapshots
from portchain.drivers.manager import DriverManager
from portchain.drivers.noop import NoopDriver
from tests.unit.api.base import OTHER_PROJECT, ApiTestCase


class DriverOfOpenVswitch(NoopDriver):
    """Refuses what Open vSwitch cannot realise, and notifies nobody."""

    def check_port_chain(self, snapshot: ChainSnapshot) -> None:
        limits.check_chain(snapshot)


MINE = {"project": OTHER_PROJECT}


class SpoofingTest(ApiTestCase):
    """OTHER_PROJECT has ports on a network that PROJECT shares, beside PROJECT's own."""

    extension_drivers = ("port_security",)

    def prepare(self) -> None:
        self.net = self.network()
        self.share("network", self.net)
        self.victim = self.port(self.net, "victim")
        self.mine = self.port(self.net, "mine", **MINE)
        self.address = self.address_of(self.mine)
        self.bind(self.mine)
        ends = [self.port(self.net, "fn", **MINE) for _ in range(2)]
        for port in ends:
            self.bind(port)
        self.function = self.create("port_pair", as_=MINE, ingress=ends[0], egress=ends[1])
        self.classifier_id = self.create("flow_classifier", as_=MINE)["id"]

    def address_of(self, port: str) -> str:
        shown = self.call("GET", f"/ports/{port}", roles="admin").json["port"]
        return str(shown["fixed_ips"][0]["ip_address"])

    def chain_through(self, expect: int = 201, **group: Any) -> Any:
        own = self.create("port_pair_group", as_=MINE, port_pairs=[self.function["id"]], **group)
        return self.create(
            "port_chain",
            as_=MINE,
            expect=expect,
            port_pair_groups=[own["id"]],
            flow_classifiers=[self.classifier_id],
        )

    def hop(self, chain: str) -> Hop:
        (loaded,) = snapshots.load(self.context, [chain])
        return plan_chain(loaded, {}).plan.paths[0].hops[0]

    def revision(self, chain: str) -> int:
        (loaded,) = snapshots.load(self.context, [chain])
        return loaded.chain.revision

    def returned(self, chain: str) -> set[str]:
        return {cidr for cidr in self.hop(chain).returned_sources or () if ":" not in cidr}

    def test_a_classifier_for_anything_does_not_free_the_function(self) -> None:
        chain = self.chain_through()["id"]
        assert self.returned(chain) == {f"{self.address}/32"}
        (target,) = self.hop(chain).targets
        assert target.return_macs == (target.egress_mac,)

    def test_what_neutron_allows_later_is_allowed(self) -> None:
        chain = self.chain_through()["id"]
        for change, expected in (
            ({"allowed_address_pairs": [{"ip_address": "10.9.0.0/16"}]}, "10.9.0.0/16"),
            ({"allowed_address_pairs": [], "security_groups": []}, f"{self.address}/32"),
            ({"port_security_enabled": False}, "0.0.0.0/0"),
        ):
            (before,) = snapshots.load(self.context, [chain])
            answer = self.call("PUT", f"/ports/{self.mine}", {"port": change}, roles="admin")
            assert answer.status_int == 200, answer.text
            (after,) = snapshots.load(self.context, [chain])
            assert after.chain.revision > before.chain.revision, "the hosts are notified"
            assert expected in self.returned(chain)

    def from_own_network(self, cidr: str, **port: Any) -> str:
        """Name a source on a network of the member's own in the classifier; return its id."""
        self.delete("flow_classifier", self.classifier_id, **MINE)
        network = self.network(cidr=cidr, **MINE)
        if owner := port.pop("device_owner", ""):
            body = {"port": {"network_id": network, "device_owner": owner}}
            source = str(self.call("POST", "/ports", body, **MINE).json["port"]["id"])
        else:
            source = self.port(network, "vm", **port, **MINE)
        self.bind(source)
        named = self.create("flow_classifier", as_=MINE, logical_source_port=source)
        self.classifier_id = named["id"]
        return source

    def test_a_source_elsewhere_with_somebody_elses_address_is_refused(self) -> None:
        self.plugin.drivers = DriverManager({"ovs": DriverOfOpenVswitch()})
        victim = self.address_of(self.victim)
        network = str(ipaddress.ip_network(f"{victim}/24", strict=False))
        source = self.from_own_network(network, ip=victim)
        error = self.chain_through(expect=400)
        assert "port_pair_groups" in error["message"]
        assert source in error["message"]
        assert self.victim not in error["message"]

    def test_what_a_source_may_send_elsewhere_does_not_count_here(self) -> None:
        victim = self.address_of(self.victim)
        source = self.from_own_network("10.44.0.0/24")
        for change in (
            {"allowed_address_pairs": [{"ip_address": victim}]},
            {"allowed_address_pairs": [], "port_security_enabled": False, "security_groups": []},
        ):
            answer = self.call("PUT", f"/ports/{source}", {"port": change}, **MINE)
            assert answer.status_int == 200, answer.text
            chain = self.chain_through()["id"]
            assert self.returned(chain) == set()
            (group,) = self.show("port_chain", chain, **MINE)["port_pair_groups"]
            self.delete("port_chain", chain, **MINE)
            self.delete("port_pair_group", group, **MINE)

    def test_a_router_elsewhere_sends_nothing_here(self) -> None:
        """Every member makes routers, and ports that say they are one, on networks of their own."""
        for owner in ("network:router_interface", "network:router_centralized_snat"):
            self.from_own_network("10.44.0.0/24", device_owner=owner)
            chain = self.chain_through()["id"]
            assert self.returned(chain) == set()
            (group,) = self.show("port_chain", chain, **MINE)["port_pair_groups"]
            self.delete("port_chain", chain, **MINE)
            self.delete("port_pair_group", group, **MINE)

    def test_a_source_elsewhere_is_refused_unless_the_owner_of_the_network_allows_it(self) -> None:
        """On networks of their own, members choose addresses: those of machines behind routers."""
        self.plugin.drivers = DriverManager({"ovs": DriverOfOpenVswitch()})
        source = self.from_own_network("10.44.0.0/24")
        egress = self.function["egress"]
        before = self.rows()
        refused = self.chain_through_own_group(expect=400)
        for word in ("port_pair_groups", source, "allowed_address_pairs", "another project"):
            assert word in refused["message"]
        pairs = {"allowed_address_pairs": [{"ip_address": "10.44.0.0/24"}]}
        assert self.call("PUT", f"/ports/{egress}", {"port": pairs}, **MINE).status_int == 403
        assert self.rows()["portchain_port_chains"] == before["portchain_port_chains"]
        assert (
            self.call("PUT", f"/ports/{egress}", {"port": pairs}, roles="admin").status_int == 200
        )
        chain = self.chain_through_own_group()["id"]
        assert self.returned(chain) == {f"{self.address_of(source)}/32"}
        # When the owner takes that back, hosts hear of it at once.
        revision = self.revision(chain)
        none = {"allowed_address_pairs": []}
        assert self.call("PUT", f"/ports/{egress}", {"port": none}, roles="admin").status_int == 200
        assert self.revision(chain) > revision
        assert self.returned(chain) == set()

    def chain_through_own_group(self, expect: int = 201) -> Any:
        """Create a chain through one group of the function, which is created once."""
        groups = self.list_all("port_pair_group", **MINE) or [
            self.create("port_pair_group", as_=MINE, port_pairs=[self.function["id"]])
        ]
        return self.create(
            "port_chain",
            as_=MINE,
            expect=expect,
            port_pair_groups=[groups[0]["id"]],
            flow_classifiers=[self.classifier_id],
        )

    def second_subnet(self, cidr: str, network: str | None = None) -> str:
        """Add a subnet to the shared network, in which the functions' ports have no address."""
        version = ipaddress.ip_network(cidr).version
        body = {"network_id": network or self.net, "cidr": cidr, "ip_version": version}
        answer = self.call("POST", "/subnets", {"subnet": body | {"enable_dhcp": False}})
        assert answer.status_int == 201, answer.text
        return str(answer.json["subnet"]["id"])

    def test_hosts_hear_of_each_change_of_the_subnets_of_a_functions_network(self) -> None:
        self.from_own_network("10.44.0.0/24")
        chain = self.chain_through()["id"]
        revisions = [self.revision(chain)]
        subnet = self.second_subnet("10.55.0.0/24")
        revisions.append(self.revision(chain))
        gateway = {"subnet": {"gateway_ip": None}}
        assert self.call("PUT", f"/subnets/{subnet}", gateway).status_int == 200
        revisions.append(self.revision(chain))
        assert self.call("DELETE", f"/subnets/{subnet}").status_int == 204
        revisions.append(self.revision(chain))
        assert revisions == sorted(set(revisions))
        with db_api.CONTEXT_READER.using(self.context) as session:
            realised = session.get(models.PortChain, chain).realised_revision
        assert realised == revisions[-1]

    def test_hosts_hear_of_changes_of_the_subnets_of_a_named_source(self) -> None:
        """Functions can return packets to its network, wherever they are themselves."""
        source = self.from_own_network("10.44.0.0/24")
        network = self.call("GET", f"/ports/{source}", **MINE).json["port"]["network_id"]
        chain = self.chain_through()["id"]
        revision = self.revision(chain)
        body = {"network_id": network, "cidr": "10.45.0.0/24", "ip_version": 4}
        assert self.call("POST", "/subnets", {"subnet": body}, **MINE).status_int == 201
        assert self.revision(chain) > revision

    def test_other_changes_of_subnets_concern_no_chain(self) -> None:
        self.from_own_network("10.44.0.0/24")
        chain = self.chain_through()["id"]
        subnet = self.second_subnet("10.55.0.0/24")
        revision = self.revision(chain)
        name = {"subnet": {"name": "of-functions", "gateway_ip": "10.55.0.1"}}
        assert self.call("PUT", f"/subnets/{subnet}", name).status_int == 200
        self.second_subnet("10.66.0.0/24", self.network("10.3.0.0/24"))
        assert self.revision(chain) == revision

    def test_a_source_elsewhere_with_an_address_of_another_subnet_is_refused(self) -> None:
        self.plugin.drivers = DriverManager({"ovs": DriverOfOpenVswitch()})
        self.second_subnet("10.55.0.0/24")
        source = self.from_own_network("10.55.0.0/24", ip="10.55.0.71")
        error = self.chain_through(expect=400)
        assert "port_pair_groups" in error["message"]
        assert source in error["message"]

    def test_no_subnet_of_the_functions_network_is_open_to_a_source_elsewhere(self) -> None:
        self.second_subnet("10.55.0.0/24")
        source = self.from_own_network("10.44.0.0/24")
        anywhere = {"port_security_enabled": False, "security_groups": []}
        for port, caller in ((source, MINE), (self.function["egress"], {"roles": "admin"})):
            answer = self.call("PUT", f"/ports/{port}", {"port": anywhere}, **caller)
            assert answer.status_int == 200, answer.text
        hop = self.hop(self.chain_through()["id"])
        allowed = [ipaddress.ip_network(cidr) for cidr in hop.returned_sources or ()]
        for address, expected in (
            (self.address_of(self.victim), False),
            ("10.55.0.1", False),
            ("10.54.255.255", True),
            ("10.56.0.0", True),
            ("fe80::f816:3eff:fe00:1", False),
            ("2001:db8::1", True),
        ):
            one = ipaddress.ip_address(address)
            found = any(one.version == each.version and one in each for each in allowed)
            assert found is expected, address

    def test_a_source_elsewhere_has_no_link_local_address_here(self) -> None:
        """Its MAC address can be chosen, and so be that of another machine."""
        self.from_own_network("10.44.0.0/24")
        elsewhere = self.hop(self.chain_through()["id"]).returned_sources or ()
        assert not any(cidr.startswith("fe80") for cidr in elsewhere)

    def test_a_mapping_to_somebody_elses_address_is_refused(self) -> None:
        mapping = {
            "ppg_n_tuple_mapping": {
                "ingress_n_tuple": {},
                "egress_n_tuple": {"source_ip_prefix": f"{self.address_of(self.victim)}/32"},
            }
        }
        self.plugin.drivers = DriverManager({"ovs": DriverOfOpenVswitch()})
        error = self.chain_through(expect=400, port_pair_group_parameters=mapping)
        assert "port_pair_groups" in error["message"]
        assert "allowed_address_pairs" in error["message"]
        assert self.victim not in error["message"]
        allowed = {"allowed_address_pairs": [{"ip_address": self.address_of(self.victim)}]}
        egress = self.function["egress"]
        answer = self.call("PUT", f"/ports/{egress}", {"port": allowed}, roles="admin")
        assert answer.status_int == 200, answer.text
        groups = self.list_all("port_pair_group", **MINE)
        self.create(
            "port_chain",
            as_=MINE,
            port_pair_groups=[groups[0]["id"]],
            flow_classifiers=[self.classifier_id],
        )
