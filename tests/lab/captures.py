"""Captures that are kept as evidence when a test fails."""

from dataclasses import dataclass, field

from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.observe import capture


@dataclass
class Captures:
    """Captures of one test, kept as evidence if it fails."""

    all: list[capture.Capture] = field(default_factory=list)

    def __call__(self, *vms: VirtualMachine) -> capture.Capture:
        """A capture at all interfaces of these VMs; use it as a context manager."""
        made = capture.Capture(vms)
        self.all.append(made)
        return made
