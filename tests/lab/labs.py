"""The lab of a test process, which tests with the same layout share."""

import os
from dataclasses import replace
from typing import Any

from portchain_lab.lab import Lab
from portchain_lab.layout import Layout

# Each of the processes that run tests beside each other has a lab of its own.
NAME = os.environ.get("PORTCHAIN_TEST_LAB", "test") + os.environ.get("PYTEST_XDIST_WORKER", "")
FIREWALL = os.environ.get("PORTCHAIN_TEST_FIREWALL", "openvswitch")
DRIVER = os.environ.get("PORTCHAIN_TEST_DRIVER", "ovs")
DATAPATH = os.environ.get("PORTCHAIN_DATAPATH", "userspace")

OVN: dict[str, Any] = {"network_type": "geneve", "driver": "ovn"}
"""How the layout of a lab with OVN differs from the default."""

L2_POPULATION: dict[str, Any] = {"l2_population": True}
IPV6: dict[str, Any] = {"ipv6_underlay": True, "qos": True, "prometheus": True}
"""Tunnels over IPv6. Packets also visit the tables of Neutron's rate limits."""

DEFAULT: dict[str, Any] = OVN if DRIVER == "ovn" else {"firewall": FIREWALL}
"""The lab of tests that need no certain layout."""


class Labs:
    """Keeps one lab running at a time, for as long as tests ask for the same layout.

    With PORTCHAIN_KEEP_LAB=1 the lab outlives the run, and the next run uses it again.
    """

    def __init__(self) -> None:
        self._keep = os.environ.get("PORTCHAIN_KEEP_LAB") == "1"
        self._current: Lab | None = None

    def get(self, **options: Any) -> Lab:
        """The lab with this layout; a lab with another layout is stopped first.

        :param options: of ``Layout``, without its name.
        """
        wanted = Layout(NAME, datapath=DATAPATH, **options)
        if self._current is None and self._keep and Lab(wanted).is_up():
            self._current = Lab.open(NAME)
        if self._current is not None and self._agents_differ(wanted):
            self._current.reconfigure(firewall=wanted.firewall, network_type=wanted.network_type)
        if self._current is None or self._current.layout != wanted:
            self.stop()
            print(f"lab: {wanted}", flush=True)
            self._current = Lab(wanted)
            self._current.up(lambda step: print(f"lab: {step}", flush=True))
        return self._current

    def _agents_differ(self, wanted: Layout) -> bool:
        """Whether the running lab gets the layout by a restart of its agents."""
        assert self._current is not None
        running = self._current.layout
        if not running.driver == wanted.driver == "ovs":
            return False
        changed = replace(running, firewall=wanted.firewall, network_type=wanted.network_type)
        return running != wanted == changed

    def stop(self, unless: Layout | None = None) -> None:
        """Stop the lab that is running, if any.

        :param unless: keep a lab that has this layout.
        """
        if self._current is not None and self._current.layout != unless:
            self._current.down()
            self._current = None

    def end(self) -> None:
        """Stop the lab at the end of the run, unless it is to be kept."""
        if not self._keep:
            self.stop()
