"""Runs the drivers' periodic tasks; what fails is said once, not at every turn."""

from neutron_lib import context as neutron_context
from oslo_log import log as logging

from portchain.drivers.base import OwnChains, PeriodicTask

LOG = logging.getLogger(__name__)


class Runner:
    """A periodic task as a function without arguments that never raises."""

    def __init__(self, driver: str, task: PeriodicTask, chains: OwnChains) -> None:
        self.name = f"{driver} {task.name}"
        self.interval = task.interval
        self._task = task
        self._chains = chains
        self._failure = ""

    def __call__(self) -> None:
        """Run the task once."""
        try:
            self._task.run(neutron_context.get_admin_context(), self._chains)
        except Exception as error:
            # The boundary of a loop that an exception would end for good.
            failure = f"{type(error).__name__}: {error}"
            if failure != self._failure:
                LOG.exception("Port chain driver %s failed; it goes on trying", self.name)
            self._failure = failure
        else:
            if self._failure:
                LOG.info("Port chain driver %s works again", self.name)
            self._failure = ""
