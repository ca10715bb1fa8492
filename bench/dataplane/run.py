"""Measures an implementation in a lab of its own."""

import contextlib
import time

from portchain_lab import layout
from portchain_lab.lab import Lab
from rich.console import Console

from bench.api import Api
from bench.dataplane.measure import Bench, Plan
from bench.dataplane.rows import Row
from bench.dataplane.site import ChainSite
from bench.environments import Implementation

LAB, HOSTS = "benchdata", 3


def run(
    implementation: Implementation, plan: Plan, firewall: str, rows: list[Row], console: Console
) -> None:
    """Measure in a lab of its own.

    :param firewall: the agents' firewall driver.
    :param rows: receives what was measured, also before a failure.
    :raises BenchError: a connection failed, or datagrams were lost.
    :raises LabError: the lab does not start, or a chain does not become ACTIVE.
    """
    began = time.monotonic()

    def report(step: str) -> None:
        console.print(f"  [green]✓[/] {step} ({time.monotonic() - began:.0f} s)")

    console.rule(f"{implementation.name} {implementation.version}")
    with console.status("preparing the environment"):
        software = implementation.software(report)
    driver = implementation.driver
    networks = layout.default_network_type(driver)
    lab = Lab(
        layout.Layout(LAB, HOSTS, firewall, software=software, driver=driver, network_type=networks)
    )
    # uWSGI imports from its current directory, where it would find portchain.
    layout.ROOT.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(layout.ROOT):
        try:
            with console.status("starting the lab"):
                lab.up(report)
            bench = Bench(implementation.name, plan, ChainSite(lab, Api(lab), plan.cases, report))
            try:
                bench.prepare(report)
                bench.run(report)
            finally:
                rows += bench.rows
        finally:
            lab.down()
