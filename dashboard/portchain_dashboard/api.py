"""Requests to Neutron with the token of the user who is logged in to Horizon.

openstacksdk's resource classes drop the attributes that they do not know, so requests and responses
are plain objects. Horizon logs a user out at each of openstacksdk's HTTP errors, so none of them
leaves this module: what the API says is the text of `ApiError`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from horizon import exceptions as horizon
from keystoneauth1 import exceptions as keystone
from openstack import exceptions
from openstack_dashboard.api import neutron

from portchain_dashboard.kinds import Kind

Shown = dict[str, Any]
"""A resource as the server shows it."""

_IDS_PER_REQUEST = 40
"""So many ids fit into the address of a request, however short a proxy wants it."""


class ApiError(Exception):
    """A request failed; the text is what the API said.

    :param status: HTTP status; 0 if there was no response.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Client:
    """Neutron as one user sees it.

    :param request: Django's, of a user who is logged in.
    """

    def __init__(self, request: Any) -> None:
        self._request = request

    def create(self, kind: Kind, attributes: Shown) -> Shown:
        """Create a resource; return it as the server shows it.

        :raises ApiError: the server refuses the request, or does not answer.
        """
        return self._one(kind, self._send("POST", kind.path, json={kind.name: attributes}))

    def update(self, kind: Kind, resource_id: str, attributes: Shown) -> Shown:
        """Update a resource; return it as the server shows it.

        :raises ApiError: the server refuses the request, or does not answer.
        """
        path = f"{kind.path}/{resource_id}"
        return self._one(kind, self._send("PUT", path, json={kind.name: attributes}))

    def delete(self, kind: Kind, resource_id: str) -> None:
        """Delete a resource.

        :raises ApiError: the server refuses the request, or does not answer.
        """
        self._send("DELETE", f"{kind.path}/{resource_id}")

    def show(self, kind: Kind, resource_id: str) -> Shown:
        """Return a resource.

        :raises ApiError: there is none with this id, or the server does not answer.
        """
        return self._one(kind, self._send("GET", f"{kind.path}/{resource_id}"))

    def read(self, kind: Kind, resource_id: str, name: str) -> Shown:
        """Return what the server shows below a resource, such as ``statuses`` of a chain.

        :raises ApiError: the server refuses the request, or does not answer.
        """
        return dict(self._send("GET", f"{kind.path}/{resource_id}/{name}")[name])

    def list(self, kind: Kind, **query: Any) -> Iterator[Shown]:
        """Yield the resources that match a query, from all pages of the server's answer.

        :raises ApiError: the server refuses the request, or does not answer.
        """
        return self._pages(kind.path, kind.plural, query)

    def by_id(self, kind: Kind, ids: Iterable[str]) -> Iterator[Shown]:
        """Yield the resources with these ids that the user may see, in no order.

        :raises ApiError: the server refuses the request, or does not answer.
        """
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), _IDS_PER_REQUEST):
            yield from self.list(kind, id=wanted[start : start + _IDS_PER_REQUEST])

    def ports(self, **query: Any) -> Iterator[Shown]:
        """Yield Neutron's ports.

        :raises ApiError: the server refuses the request, or does not answer.
        """
        return self._pages("/ports", "ports", query)

    def policies(self, group_id: str) -> Iterator[Shown]:
        """Yield the RBAC policies that share a port pair group.

        :raises ApiError: the server refuses the request, or does not answer.
        """
        query = {"object_type": "port_pair_group", "object_id": group_id}
        return self._pages("/rbac-policies", "rbac_policies", query)

    def share(self, group_id: str, project_id: str) -> None:
        """Let a project use a port pair group, or with ``*`` all projects.

        :raises ApiError: the server refuses the request, or does not answer.
        """
        policy = {
            "object_type": "port_pair_group",
            "object_id": group_id,
            "action": "access_as_shared",
            "target_tenant": project_id,
        }
        self._send("POST", "/rbac-policies", json={"rbac_policy": policy})

    def unshare(self, policy_id: str) -> None:
        """Delete an RBAC policy.

        :raises ApiError: the server refuses the request, or does not answer.
        """
        self._send("DELETE", f"/rbac-policies/{policy_id}")

    @staticmethod
    def _one(kind: Kind, answer: Any) -> Shown:
        return dict(answer[kind.name])

    def _pages(self, path: str, plural: str, query: Shown) -> Iterator[Shown]:
        page = self._send("GET", path, params=query)
        while True:
            yield from page[plural]
            links = page.get(f"{plural}_links", ())
            following = next((link["href"] for link in links if link["rel"] == "next"), None)
            if following is None:
                return
            page = self._send("GET", following)

    def _send(self, method: str, path: str, **request: Any) -> Any:
        try:
            answer = neutron.networkclient(self._request).request(path, method, **request)
            exceptions.raise_from_response(answer)
        except exceptions.HttpException as error:
            if error.status_code == 401:
                raise horizon.NotAuthenticated from error  # Horizon asks for the password again
            raise ApiError(str(error.details or error), error.status_code or 0) from error
        except (keystone.ClientException, exceptions.SDKException) as error:
            raise ApiError(str(error)) from error
        return answer.json() if answer.content else None
