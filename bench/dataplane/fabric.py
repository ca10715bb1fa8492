"""Reads from a lab what flows written by hand need to know, and puts them into its switches."""

import json
import tempfile
from dataclasses import dataclass
from typing import Any

from portchain_lab.guests.virtual_machines import VirtualMachine

from bench.dataplane.cases import Subject
from bench.dataplane.site import ChainSite
from bench.dataplane.static_flows import Attachment, Direction, Fabric, Pair, write

TUNNEL, PATCH = "vxlan", "patch-tun"


@dataclass(frozen=True, slots=True)
class _Interface:
    name: str
    number: int
    neutron_port: str
    remote: str


class StaticSteering:
    """Steers packets of a site by flows written by hand."""

    def __init__(self, site: ChainSite) -> None:
        self._site = site
        self._interfaces = {host: _interfaces(site, host) for host in site.lab.hosts}
        self._fabric = self._read_fabric()

    def steer(self, subject: Subject) -> None:
        """Add the flows of a subject to the switches."""
        site = self._site
        sender = self._attachment(site.source, site.source.nics[0].port_id, end=True)
        receiver = self._attachment(site.destination, site.destination.nics[0].port_id, end=True)
        groups = [
            [
                Pair(self._attachment(one.vm, one.ingress), self._attachment(one.vm, one.egress))
                for one in group
            ]
            for group in site.groups(subject.case)
        ]
        back = [[pair.turned() for pair in group] for group in reversed(groups)]
        # The first port is even: one flow takes both ports of the subject.
        port = f"{subject.port:#x}/0xfffe"
        there = f"nw_src={site.source.ip},nw_dst={site.destination.ip},tp_dst={port}"
        answer = f"nw_src={site.destination.ip},nw_dst={site.source.ip},tp_src={port}"
        directions = []
        for protocol in ("tcp", "udp"):
            match = f"{protocol},{there}"
            directions.append(Direction(sender, receiver, groups, match, "tp_src"))
            if subject.case.symmetric:
                match = f"{protocol},{answer}"
                directions.append(Direction(receiver, sender, back, match, "tp_dst"))
        for (host, bridge), flows in write(self._fabric, directions).items():
            with tempfile.NamedTemporaryFile("w", suffix=".flows") as file:
                file.write("\n".join(flows) + "\n")
                file.flush()
                site.lab.ofctl(host, "add-flows", bridge, file.name)

    def _attachment(self, vm: VirtualMachine, port_id: str, end: bool = False) -> Attachment:
        known = self._interfaces[vm.host]
        number = next(one.number for one in known if one.neutron_port == port_id)
        return Attachment(vm.host, number, vm.nic(port_id).mac_address, end)

    def _read_fabric(self) -> Fabric:
        lab = self._site.lab
        addresses = {lab.layout.tunnel_ip(host): host for host in lab.hosts}
        patches, tunnels = {}, {}
        for host, interfaces in self._interfaces.items():
            for one in interfaces:
                if one.name == PATCH:
                    patches[host] = one.number
                elif one.name.startswith(TUNNEL) and one.remote in addresses:
                    tunnels[host, addresses[one.remote]] = one.number
        network = lab.sdk("admin").network.get_network(self._site.network.id)
        vlans = {host: _vlan(self._site, host) for host in lab.hosts}
        segment = int(network.provider_segmentation_id)
        return Fabric(vlans, patches, tunnels, segment, lab.layout.firewall == "openvswitch")


def _interfaces(site: ChainSite, host: str) -> list[_Interface]:
    rows = _rows(site, host, "interface", "name", "ofport", "external_ids", "options")
    return [
        _Interface(
            name,
            number,
            dict(ids[1]).get("iface-id", ""),
            dict(options[1]).get("remote_ip", ""),
        )
        for name, number, ids, options in rows
        if isinstance(number, int)
    ]


def _vlan(site: ChainSite, host: str) -> int:
    """The local VLAN id of the site's network on a host: all its ports have it."""
    tags = {tag for (tag,) in _rows(site, host, "port", "tag") if isinstance(tag, int)}
    (only,) = tags
    return int(only)


def _rows(site: ChainSite, host: str, table: str, *columns: str) -> list[list[Any]]:
    """Rows of a table of a host's switch database."""
    text = site.lab.vsctl(host, "--format=json", f"--columns={','.join(columns)}", "list", table)
    shown = json.loads(text)
    order = [shown["headings"].index(column) for column in columns]
    return [[row[index] for index in order] for row in shown["data"]]
