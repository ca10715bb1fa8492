"""Tests with oslo.messaging's bus in memory."""

import time
from types import SimpleNamespace
from typing import Any
from unittest import mock

import oslo_messaging
from neutron.tests import base
from neutron_lib import rpc
from oslo_config import cfg

# The threads that receive messages ask for the next one, and whether they are to stop, this often.
# Their own intervals, 0.05 and 1 second, would be most of the time of these tests.
_INTERVAL = 0.005
FAST_SERVERS = (
    mock.patch("futurist._thread.ThreadWorker.MAX_IDLE_FOR", _INTERVAL),
    mock.patch(
        "oslo_messaging._drivers.impl_fake.time",
        SimpleNamespace(time=time.time, sleep=lambda _seconds: time.sleep(_INTERVAL)),
    ),
)


class MessageBusTestCase(base.BaseTestCase):
    """Programs that serve calls, and others that call them."""

    def setUp(self) -> None:
        for patch in FAST_SERVERS:
            patch.start()
            self.addCleanup(patch.stop)
        super().setUp()
        cfg.CONF.set_override("rpc_response_timeout", 30)  # Neutron's tests wait for no answer

    def serve(self, topic: str, name: str, *endpoints: Any) -> None:
        """Answer calls to a server of a topic until the test ends."""
        target = oslo_messaging.Target(topic=topic, server=name)
        server = rpc.get_server(target, list(endpoints))
        server.start(override_pool_size=1)
        self.addCleanup(server.wait)
        self.addCleanup(server.stop)
