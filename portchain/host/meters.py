"""The meters of a bridge for what functions give to the host (see ``dataplane.answer_meters``)."""

import re
from collections.abc import Collection

from portchain.dataplane.answer_meters import CONFIGURATION
from portchain.host.bridge import BridgeConnection

_LARGEST = re.compile(r"\bmax_meter:(\d+)")
_METER = re.compile(r"^meter=(\d+) (.*(?:\ntype=.*)*)", re.MULTILINE)


class Meters:
    """The meters of a bridge that have our configuration."""

    def __init__(self, bridge: BridgeConnection) -> None:
        self._bridge = bridge

    def largest(self) -> int:
        """Return the largest number that a meter can have; 0 if the datapath has no meters.

        :raises RuntimeError: the switch does not answer.
        """
        found = _LARGEST.search(self._bridge.ofctl("meter-features"))
        return int(found[1]) if found else 0

    def present(self) -> set[int]:
        """Return the meters that are there.

        :raises RuntimeError: the switch does not answer.
        """
        text = self._bridge.ofctl("dump-meters")
        ours = _words(CONFIGURATION)
        return {int(number) for number, rest in _METER.findall(text) if _words(rest) == ours}

    def add(self, meters: Collection[int]) -> None:
        """Add meters that are not there.

        :raises RuntimeError: the switch refuses or does not answer.
        """
        for meter in sorted(meters):
            self._bridge.ofctl("add-meter", f"meter={meter},{CONFIGURATION}")

    def remove(self, meters: Collection[int]) -> None:
        """Remove meters, and the flows that use them.

        :raises RuntimeError: the switch does not answer.
        """
        for meter in sorted(meters):
            self._bridge.ofctl("del-meters", f"meter={meter}")


def _words(text: str) -> set[str]:
    return {word for word in re.split(r"[,\s]+|bands=", text) if word}
