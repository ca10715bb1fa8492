"""Two simulated hosts in a real Open vSwitch, and the packets that tests send through them."""

from collections.abc import Mapping
from typing import Any

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from portchain.dataplane.compile import compile_chain, compile_frame_guard
from portchain.dataplane.host_switch import Firewall, LocalPort, LocalSwitch
from portchain.dataplane.ledger import FlowLedger
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.plan_comparison import hops_with_other_pairs
from tests.functional.vswitch import Host, Vswitch
from tests.plans import TUNNEL_IPS, ident, mac

VM_MAC, DST_MAC = mac("vm"), mac("dst")


class Fabric:
    """Two hosts, h1 and h2, connected by a link instead of a tunnel.

    :param tunnels: connect them by a tunnel of this kind, between the hosts' addresses.
    :param options: more fields of the ``LocalSwitch`` of both hosts.
    """

    def __init__(
        self,
        vswitch: Vswitch,
        firewall: Firewall = Firewall.OPENVSWITCH,
        *,
        tunnels: tuple[str, Mapping[str, str]] | None = None,
        **options: Any,
    ) -> None:
        self.vswitch = vswitch
        self.hosts = {name: Host(vswitch, name) for name in ("h1", "h2")}
        self._ports: dict[str, dict[str, LocalPort]] = {"h1": {}, "h2": {}}
        self._firewall, self._options = firewall, options
        self._programmed: dict[str, ChainPlan] = {}
        if tunnels is not None:
            vswitch.add_tunnels(*tunnels)
            return
        with vswitch.at_once():
            vswitch.add_link("h1-tun", "h1-peer", 2, "h2-peer")
            vswitch.add_link("h2-tun", "h2-peer", 2, "h1-peer")

    def plug(self, host: str, *names: str, vlan: int = 1) -> None:
        """Plug ports into a host.

        :param vlan: local VLAN of the ports' network.
        """
        with self.vswitch.at_once():
            for name in names:
                ofport = 11 + len(self._ports[host])
                self.vswitch.add_port(f"{host}-int", name, ofport, f"tag={vlan}")
                self._ports[host][ident(name)] = LocalPort(ofport, vlan)

    def local(self, host: str) -> LocalSwitch:
        """Return the state of a host's switch, for the compiler."""
        peer = {"h1": "h2", "h2": "h1"}[host]
        tunnels = {TUNNEL_IPS[peer]: 2}
        return LocalSwitch(host, self._firewall, self._ports[host], 1, 1, tunnels, **self._options)

    def desired(self, host, *plans, remembering=False):
        """Return the desired entries of a host for all chains.

        :param remembering: whether flows still go by the pairs of before, as in the moment after
            a change.
        """
        local, ledger = self.local(host), FlowLedger()
        for plan in plans:
            changed = hops_with_other_pairs(self._programmed.get(plan.id), plan)
            compiled = compile_chain(plan, local, remembered=changed if remembering else ())
            ledger.set(plan.id, compiled.entries)
        return set(ledger.entries) | (compile_frame_guard(local) if plans else set())

    def program(self, *plans):
        """Program the flows of these chains, and remove those of others.

        As an agent does after a change of a group, this gives the switch the time to look at its
        cached decisions, before new connections go by the new pairs.
        """
        for remembering in (True, False):
            for name, host in self.hosts.items():
                host.put(self.desired(name, *plans, remembering=remembering))
            if remembering:
                self.vswitch.appctl("revalidator/wait")
        self._programmed = {plan.id: plan for plan in plans}


def tcp(sport=23, dport=100, src="10.0.0.10", dst="10.0.0.20", eth_dst=DST_MAC, eth_src=VM_MAC):
    return (
        Ether(src=eth_src, dst=eth_dst)
        / IP(src=src, dst=dst)
        / TCP(sport=sport, dport=dport)
        / "payload"
    )


def returned(frame, name):
    """Return the frame that an l3 function sends for a frame that it got.

    It has the function's source address, the resolved destination address and a decremented TTL.
    """
    frame = frame.copy()
    frame.src, frame.dst = mac(f"{name}-out"), DST_MAC
    frame.ttl -= 1
    del frame[IP].chksum
    return frame
