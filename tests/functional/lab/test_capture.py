"""Captures at interfaces that come and go."""

import socket
import threading
from collections.abc import Iterator

import pytest
from portchain_lab.errors import LabError
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.hosts import netns
from portchain_lab.observe.capture import Capture

from tests.functional.lab.machine import machine, plug

FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)


class LateCapture(Capture):
    """A capture whose thread gets no processor until ``may_read`` is set."""

    def __init__(self, vms: list[VirtualMachine]) -> None:
        super().__init__(vms)
        self.may_read = threading.Event()

    def _read(self) -> None:
        self.may_read.wait()
        super()._read()


@pytest.fixture
def vm() -> Iterator[VirtualMachine]:
    with machine(nics=2) as made:
        yield made


def send(namespace: str, device: str) -> None:
    with netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device, 0))
        sock.send(FRAME)


def test_frames_of_an_interface_that_has_left(vm: VirtualMachine) -> None:
    capture = LateCapture([vm]).start()
    send(vm.namespace, "eth1")
    netns.ip("link del eth1", namespace=vm.namespace)
    capture.may_read.set()
    assert [(frame.port, frame.outgoing) for frame in capture.stop()] == [("p1", True)]


def test_frames_of_an_interface_that_is_plugged_again(vm: VirtualMachine) -> None:
    capture = LateCapture([vm]).start()
    send(vm.namespace, "eth1")
    netns.ip("link del eth1", namespace=vm.namespace)
    plug(vm.namespace, "eth1")
    send(vm.namespace, "eth1")
    capture.may_read.set()
    assert [frame.port for frame in capture.stop()] == ["p1", "p1"]


def test_an_interface_that_came_and_left_unnoticed(vm: VirtualMachine) -> None:
    """Nobody can tell whether its frames were those of a port, nor those of its peer."""
    capture = LateCapture([vm]).start()
    plug(vm.namespace, "eth2")
    send(vm.namespace, "eth2")
    netns.ip("link del eth2", namespace=vm.namespace)
    capture.may_read.set()
    with pytest.raises(LabError, match="have left, of unknown ports: 2"):
        capture.stop()
