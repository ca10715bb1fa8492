"""Does on a host what the server asks for in live traces, within limits that the host sets."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from oslo_log import log

from portchain.dataplane.tracing.live import Spot
from portchain.dataplane.tracing.packet import Packet
from portchain.host.bridge import UnreachableSwitchError
from portchain.host.live import frame
from portchain.host.live.switch import LiveSwitch, Vif
from portchain.host.live.watch import Watch
from portchain.rpc.live_codec import WatchRequest

LOG = log.getLogger(__name__)

_T = TypeVar("_T")

_MOST_AT_ONCE = 4
_MOST_SECONDS = 15.0
"""A watch ends after this time if nobody asks for its result."""
_BUSY_SECONDS = 5.0
_SECONDS_BETWEEN_PACKETS = 1.0
_MOST_PORTS_REMEMBERED = 1000
_NO_ANSWER = "Open vSwitch or its database does not answer; see the host's log"


class SwitchThread(Protocol):
    """The thread that works on the switch; ``HostWorker`` implements it."""

    def ask(self, question: Callable[[], _T], seconds: float) -> _T:
        """Have the thread answer something; raise ``TimeoutError`` if it is busy."""


class LiveTraceService:
    """Implements ``rpc.live.LiveService``.

    :param clock: returns seconds of a monotonic clock.
    """

    def __init__(
        self,
        worker: SwitchThread,
        switch: LiveSwitch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker = worker
        self._switch = switch
        self._clock = clock
        self._lock = threading.Lock()
        self._watches: dict[bytes, Watch] = {}
        self._sent_at: dict[str, float] = {}  # port -> when it was made to send

    def watch(self, request: WatchRequest) -> dict[str, str]:
        """See ``LiveService``."""
        ports = {spot.port_id for spot in request.spots}
        vifs = self._vifs()
        if isinstance(vifs, str):
            return dict.fromkeys(ports, vifs)
        with self._lock:
            if request.token in self._watches or len(self._watches) >= _MOST_AT_ONCE:
                reason = f"the host watches for {_MOST_AT_ONCE} other packets at the moment"
                return dict.fromkeys(ports, reason)
            watch = self._watches[request.token] = Watch(request, vifs)
        timer = threading.Timer(_MOST_SECONDS, self._end, (request.token,))
        timer.daemon = True
        timer.start()
        return watch.refused

    def send(self, token: bytes, port_id: str, packet: Packet) -> str:
        """See ``LiveService``."""
        vifs = self._vifs()
        if isinstance(vifs, str):
            return vifs
        vif = vifs.get(port_id)
        if vif is None:
            return "the port is not plugged in on its host"
        if not self._may_send(port_id):
            return "the port has sent such a packet within the last second"
        try:
            vif.take_in(frame.build(packet, token))
        except RuntimeError as exc:
            LOG.warning("Could not send a packet for a live trace: %s", exc)
            return "the host's switch does not take the packet; see the host's log"
        return ""

    def sightings(self, token: bytes, seconds: float) -> frozenset[Spot]:
        """See ``LiveService``."""
        with self._lock:
            watch = self._watches.pop(token, None)
        if watch is None:
            return frozenset()
        try:
            return watch.collect(seconds)
        finally:
            watch.close()

    def _end(self, token: bytes) -> None:
        self.sightings(token, 0)

    def _vifs(self) -> Mapping[str, Vif] | str:
        """Return the interfaces of this host's ports, or why they are not known."""
        try:
            return self._worker.ask(self._switch.vifs, _BUSY_SECONDS)
        except UnreachableSwitchError as exc:
            return str(exc)
        except TimeoutError:
            return "the host is busy with its flows; try again"
        except Exception as exc:
            LOG.warning("Could not read the ports of this host: %s", exc)
            return _NO_ANSWER

    def _may_send(self, port_id: str) -> bool:
        """Tell whether a port may send now, and note that it does."""
        with self._lock:
            now = self._clock()
            recent = {
                port: at
                for port, at in self._sent_at.items()
                if now - at < _SECONDS_BETWEEN_PACKETS
            }
            self._sent_at = recent
            if port_id in recent or len(recent) >= _MOST_PORTS_REMEMBERED:
                return False
            recent[port_id] = now
            return True
