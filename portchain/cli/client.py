"""The REST client of the commands: requests and responses as plain dicts.

openstacksdk's resource classes drop the attributes that they do not know.
"""

from collections.abc import Iterator
from typing import Any

from keystoneauth1 import exceptions as keystone
from openstack import exceptions

from portchain.cli.kinds import REFERRED, Kind

Shown = dict[str, Any]
"""A resource as the server shows it."""


class ClientError(Exception):
    """A request failed; the text says why."""


class Client:
    """The network service.

    :param network: openstacksdk's proxy for the service.
    """

    def __init__(self, network: Any) -> None:
        self._network = network

    def create(self, kind: Kind, attributes: Shown) -> Shown:
        """Create a resource; return it as the server shows it.

        :raises ClientError: the server refuses the request, or does not answer.
        """
        return self._send("POST", kind.path, json={kind.name: attributes})[kind.name]

    def update(self, kind: Kind, resource_id: str, attributes: Shown) -> Shown:
        """Update a resource; return it as the server shows it.

        :raises ClientError: the server refuses the request, or does not answer.
        """
        path = f"{kind.path}/{resource_id}"
        return self._send("PUT", path, json={kind.name: attributes})[kind.name]

    def delete(self, kind: Kind, resource_id: str) -> None:
        """Delete a resource.

        :raises ClientError: the server refuses the request, or does not answer.
        """
        self._send("DELETE", f"{kind.path}/{resource_id}")

    def show(self, kind: Kind, name_or_id: str) -> Shown:
        """Return a resource.

        :raises ClientError: no resource has this name or id, or several have this name.
        """
        for key in ("id", "name"):
            found = list(self.list(kind, **{key: name_or_id}))
            if len(found) > 1:
                ids = ", ".join(resource["id"] for resource in found)
                raise ClientError(
                    f"{len(found)} {kind.words}s are named {name_or_id!r}: use an id, one of {ids}"
                )
            if found:
                return found[0]
        raise ClientError(f"there is no {kind.words} with the name or id {name_or_id!r}")

    def read(self, kind: Kind, resource_id: str, name: str) -> Shown:
        """Return what the server shows below a resource, such as ``statuses`` of a chain.

        :raises ClientError: the server refuses the request, or does not answer.
        """
        return self._send("GET", f"{kind.path}/{resource_id}/{name}")[name]

    def find(self, kind: str, name_or_id: str) -> str:
        """Return the id of a resource.

        :param kind: name of the resource's kind, such as ``port_pair``.
        :raises ClientError: no resource has this name or id, or several have this name.
        """
        return str(self.show(REFERRED[kind], name_or_id)["id"])

    def list(self, kind: Kind, **query: str) -> Iterator[Shown]:
        """Yield the resources that match a query, from all pages of the server's answer.

        :raises ClientError: the server refuses the request, or does not answer.
        """
        page = self._send("GET", kind.path, params=query)
        while True:
            yield from page[kind.plural]
            links = page.get(f"{kind.plural}_links", ())
            following = next((link["href"] for link in links if link["rel"] == "next"), None)
            if following is None:
                return
            page = self._send("GET", following)

    def _send(self, method: str, path: str, **request: Any) -> Any:
        try:
            answer = self._network.request(path, method, **request)
            exceptions.raise_from_response(answer)
        except exceptions.HttpException as error:
            raise ClientError(f"{error.details or error} (HTTP {error.status_code})") from error
        except (keystone.ClientException, exceptions.SDKException) as error:
            raise ClientError(str(error)) from error
        return answer.json() if answer.content else None
