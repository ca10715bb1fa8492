"""The Open vSwitch of a host of OVN, reached over the network."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from portchain.controller.endpoint import Endpoint
from portchain.controller.switch import RemoteBridge
from portchain.controller.switch_copy import copied
from portchain.dataplane.interposing import BR_CHAIN
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.tracing.host_view import HostView
from portchain.host.bridge import UnreachableSwitchError
from portchain.host.flow_monitor import FlowMonitor
from portchain.host.live.switch import NO_DEVICES, Vif
from portchain.host.open_vswitch import OpenVSwitch
from portchain.host.ovn_switch import OvnSwitch
from portchain.host.tracer import Tracing
from portchain.ovsdb.switch_database import SwitchDatabase

_INDEX = 0  # br-chain is the only bridge that the controller programs: it has the first TCP port


class RemoteOvnSwitch(OvnSwitch):
    """br-chain of another host, which listens for the controller.

    :param changed: called when our flows have changed or may have; must not block.
    :param call_later: as in ``OvnSwitch``.
    """

    def __init__(
        self,
        host: str,
        endpoint: Endpoint,
        database: SwitchDatabase,
        changed: Callable[[], None],
        call_later: Callable[[float], None],
    ) -> None:
        super().__init__(
            host=host,
            database=database,
            connect=lambda api, name: RemoteBridge(name, api, endpoint, _INDEX),
            call_later=call_later,
        )
        self._endpoint = endpoint
        self._changed = changed
        self._monitor: FlowMonitor | None = None

    def _ensure_br_chain(self, api: Any) -> str:
        """Also make br-chain listen, and have it report changes."""
        integration = super()._ensure_br_chain(api)
        bridge = RemoteBridge(BR_CHAIN, api, self._endpoint, _INDEX)
        bridge.ensure_listener()
        if self._monitor is None:
            self._monitor = FlowMonitor(bridge.target, self._changed)
        return integration

    def view(self, plans: Sequence[ChainPlan]) -> HostView:
        """See ``TraceableSwitch``: without OVN's bridge, which does not listen for the controller.

        :raises Exception: as ``read_ports``.
        """
        return OpenVSwitch.view(self, plans)

    def tracing(self) -> AbstractContextManager[Tracing]:
        """See ``TraceableSwitch``: a copy of br-chain answers.

        :raises Exception: as ``switch_copy.copied``.
        """
        return copied(self._bridges.values())

    def vifs(self) -> Mapping[str, Vif]:
        """See ``LiveSwitch``. The devices are on the host.

        :raises UnreachableSwitchError: always.
        """
        raise UnreachableSwitchError(NO_DEVICES)

    def close(self) -> None:
        """Stop the flow monitor and disconnect. Ports stay on br-chain, and flows in the switch."""
        if self._monitor is not None:
            self._monitor.stop()
        super().close()
