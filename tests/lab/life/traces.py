"""What traces say of packets, and whether captures agree."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from portchain_lab.observe.packet_paths import Path

from tests.lab.workflow import Workflow


@dataclass(frozen=True)
class Prediction:
    """What a trace says of a packet.

    :param path: the ports that it passes, as captures have them.
    :param is_delivered: whether its destination gets it.
    :param is_classified: whether it enters a chain.
    :param shown: the trace as the API shows it.
    """

    path: Path
    is_delivered: bool
    is_classified: bool
    shown: dict[str, Any]

    def agrees(self, path: Path, end: str, keepers: Collection[str]) -> bool:
        """Tell whether a packet has taken the way that the trace predicts.

        :param path: the ports where captures saw the packet.
        :param end: the port that it is for.
        :param keepers: ports of functions that keep what they get. A trace assumes that they
            forward it.
        """
        if path[-1] in keepers:
            return self.path[: len(path)] == path and len(self.path) > len(path)
        return self.path == path and self.is_delivered is (path[-1] == end)


def trace(workflow: Workflow, **attributes: Any) -> dict[str, Any]:
    """Trace a TCP packet from ``src`` to ``dst``, as the specification's classifier matches it."""
    wanted = {
        "port_id": workflow.ports["src"].id,
        "destination_ip_address": workflow.address("dst"),
        **{"protocol": "tcp", "source_port": 23, "destination_port": 100},
    }
    answer = workflow.cloud.post("/sfc/traces", json={"trace": wanted | attributes})
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()["trace"]
    workflow.cloud.delete(f"/sfc/traces/{shown['id']}")
    return shown


def path_of(workflow: Workflow, shown: dict[str, Any], start: str = "src") -> Path:
    """Return the names of the ports that a traced packet passes, as captures have them."""
    names = {port.id: name for name, port in workflow.ports.items()}
    ports = [
        step["port_id"] for step in shown["steps"] if step["decision"] in ("DELIVERED", "RETURNED")
    ]
    return (start, *(names[port] for port in ports))


def predict(workflow: Workflow, start: str, end: str, ports: tuple[int, int]) -> Prediction:
    """Trace the first packet of a connection.

    :param start: name of the port that sends it; ``end``: of the port that it is for.
    :param ports: its source port and its destination port.
    """
    shown = trace(
        workflow,
        port_id=workflow.ports[start].id,
        destination_ip_address=workflow.address(end),
        source_port=ports[0],
        destination_port=ports[1],
    )
    decisions = {step["decision"] for step in shown["steps"]}
    return Prediction(
        path_of(workflow, shown, start),
        shown["outcome"] == "DELIVERED",
        "CLASSIFIED" in decisions,
        shown,
    )
