"""The port chain API over plain HTTP, so that no client library adds to the measured time."""

import time
from typing import Any

from portchain_lab import layout
from portchain_lab.cloud import clients
from portchain_lab.lab import Lab

from bench.errors import BenchError

TIMEOUT = 120.0
Resource = dict[str, Any]


class Api:
    """Sends requests as one user, and records how long each takes.

    :param user: ``demo`` or ``admin``.
    """

    def __init__(self, lab: Lab, user: str = "demo") -> None:
        self._session = clients.http_session(lab.layout)
        self._session.headers["X-Auth-Token"] = str(lab.sdk(user).auth_token)
        self.seconds = 0.0
        """Duration of the last request until its response was complete, in seconds."""
        self.answered_at = 0.0
        """When the last response was complete, as ``time.time`` counts."""

    def create(self, resource: str, **attributes: Any) -> Resource:
        """Create a resource such as ``port_chain`` and return it."""
        return self._send("POST", f"{resource}s", {resource: attributes})[resource]

    def update(self, resource: str, an_id: str, **attributes: Any) -> Resource:
        """Update a resource and return it."""
        return self._send("PUT", f"{resource}s/{an_id}", {resource: attributes})[resource]

    def delete(self, resource: str, an_id: str) -> None:
        """Delete a resource."""
        self._send("DELETE", f"{resource}s/{an_id}")

    def list(self, resource: str) -> list[Resource]:
        """All resources of a type that the user may see."""
        return self._send("GET", f"{resource}s")[f"{resource}s"]

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{layout.NEUTRON_URL}/v2.0/sfc/{path}"
        began = time.perf_counter()
        answer = self._session.request(method, url, json=body, timeout=TIMEOUT)
        self.seconds = time.perf_counter() - began
        self.answered_at = time.time()
        if answer.status_code >= 400:
            raise BenchError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None
