"""A virtual machine whose interfaces are plugged into nothing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from portchain_lab.guests.vif import Nic
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns
from portchain_lab.waiting import wait_for

MAC = "fa:16:3e:00:00:01"


@contextmanager
def machine(*, nics: int) -> Iterator[VirtualMachine]:
    """A VM with ports p1, p2, ... Only the first one is plugged in, as eth1."""
    namespace = f"pcvm{os.getpid()}"
    netns.create([namespace])
    try:
        plug(namespace, "eth1")
        made = (
            Nic(f"eth{n}", f"id{n}", f"p{n}", "", MAC, (), "", 1500) for n in range(1, nics + 1)
        )
        yield VirtualMachine("vm", "1", "h1", namespace, "plain", tuple(made))
    finally:
        netns.delete([namespace])


def plug(namespace: str, device: str) -> None:
    """Add an interface. What its other end, ``<device>-peer``, sends arrives there."""
    netns.ip(
        f"link add {device} type veth peer name {device}-peer",
        *(f"link set {end} addrgenmode none" for end in (device, f"{device}-peer")),
        f"link set {device} up",
        f"link set {device}-peer up",
        namespace=namespace,
    )
    wait_for(
        lambda: "state UP" in netns.run(namespace, "ip", "link", "show", device), 10, "the link"
    )
