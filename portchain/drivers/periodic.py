"""Runs the drivers' periodic tasks."""

from neutron_lib import context as neutron_context
from oslo_log import log as logging

from portchain.drivers.base import OwnChains, PeriodicTask

LOG = logging.getLogger(__name__)


class Runner:
    """Calls a periodic task without arguments, and never raises.

    A failure is logged once, not again at every run that fails in the same way.
    """

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
            # An exception would end the loop that calls this.
            failure = f"{type(error).__name__}: {error}"
            if failure != self._failure:
                LOG.exception("Periodic task of port chain driver %s failed; retrying", self.name)
            self._failure = failure
        else:
            if self._failure:
                LOG.info("Periodic task of port chain driver %s works again", self.name)
            self._failure = ""
