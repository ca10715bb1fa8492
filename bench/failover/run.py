"""A lab for each driver, and the failures in it."""

from collections.abc import Iterator

from portchain_lab import layout
from portchain_lab.lab import Lab
from rich.console import Console

from bench.api import Api
from bench.failover.cases import Case, Plan
from bench.failover.measure import measure
from bench.failover.rows import Row
from bench.failover.site import FailoverSite

LAB, HOSTS = "benchfail", 3


def run(plan: Plan, console: Console, name: str = LAB) -> Iterator[Row]:
    """Start a lab for each driver, and yield the failures of each case.

    :param name: of the labs.
    :raises BenchError: a request fails, or packets do not show what is measured.
    :raises LabError: a lab does not start, or functions do not come up.
    """
    for driver in plan.drivers:
        networks = layout.default_network_type(driver)
        lab = Lab(layout.Layout(name, HOSTS, driver=driver, network_type=networks))
        try:
            with console.status(f"starting the lab of {driver}") as status:
                lab.up(status.update)
                site = FailoverSite(lab, Api(lab))
            for case in plan.cases(driver):
                yield _row(site, case, plan)
        finally:
            lab.down()


def _row(site: FailoverSite, case: Case, plan: Plan) -> Row:
    with site.scene(case) as scene:
        return Row(case, tuple(measure(scene, plan) for _ in range(plan.repeat)))
