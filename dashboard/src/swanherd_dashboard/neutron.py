"""Neutron's REST API, as this panel uses it; no pre-shared key comes in unless it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from horizon import exceptions as horizon_exceptions
from keystoneauth1 import exceptions as ks_exceptions
from openstack import exceptions as sdk_exceptions
from openstack_dashboard import api

from swanherd_client import tunnel
from swanherd_dashboard.core import rows

CONNECTIONS = "vpn/ipsec-site-connections"
SERVICES = "vpn/vpnservices"
GROUPS = "vpn/endpoint-groups"
IKE = "vpn/ikepolicies"
IPSEC = "vpn/ipsecpolicies"


class Refused(Exception):
    """Neutron said no, or nothing; text and kind (the exception's name) are its own."""

    def __init__(self, status: int, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.kind = kind


@dataclasses.dataclass(frozen=True, slots=True)
class Neutron:
    """The API with a user's token; what it lists is of the user's project."""

    proxy: Any
    project_id: str

    def get(self, path: str, fields: Iterable[str] = (), **filters: Any) -> Any:
        """Return the resource or the resources at a path, without their envelope."""
        params = [("fields", field) for field in fields]
        for key, value in filters.items():
            values = value if isinstance(value, list | tuple) else [value]
            params += [(key, each) for each in values]
        return self._call("GET", path, params=params)

    def mine(self, path: str, fields: Iterable[str] = (), **filters: Any) -> Sequence[Any]:
        """Return the project's resources at a path."""
        found: Sequence[Any] = self.get(path, fields, project_id=self.project_id, **filters)
        return found

    def one(self, path: str, resource_id: str, fields: Iterable[str] = ()) -> Mapping[str, Any]:
        """Return a resource of the project; Refused (404) if another project has it.

        An administrator's token could read it: the project's pages still don't show it.
        """
        wanted = ("project_id", *fields) if fields else ()
        found: Mapping[str, Any] = self.get(f"{path}/{resource_id}", wanted)
        if found.get("project_id") != self.project_id:
            raise Refused(404, f"{resource_id} could not be found.")
        return found

    def create(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a resource and return it."""
        kind = _SINGULAR[path]
        made: Mapping[str, Any] = self._call("POST", path, json={kind: dict(body)})
        return made

    def update(self, path: str, resource_id: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change a resource and return it."""
        kind = _SINGULAR[path]
        url = f"{path}/{resource_id}"
        changed: Mapping[str, Any] = self._call("PUT", url, json={kind: dict(body)})
        return changed

    def delete(self, path: str, resource_id: str) -> None:
        """Delete a resource."""
        self._call("DELETE", f"{path}/{resource_id}")

    def connection(self, connection_id: str, fields: Sequence[str]) -> rows.Connection:
        """Return a connection of the project."""
        return rows.connection(self.one(CONNECTIONS, connection_id, fields))

    def connections(self, fields: Sequence[str], **filters: Any) -> Sequence[rows.Connection]:
        """Return the project's connections, by name."""
        found = [rows.connection(row) for row in self.mine(CONNECTIONS, fields, **filters)]
        return sorted(found, key=lambda each: (each.name.lower(), each.id))

    def services(self) -> Mapping[str, rows.Service]:
        """Return the project's vpnservices by id."""
        return {row["id"]: rows.service(row) for row in self.mine(SERVICES)}

    def tunnel(self, connection_id: str, *, with_key: bool) -> tuple[tunnel.Tunnel, str | None]:
        """Return what the peer's device must be told, and the key if it is asked for."""
        self.one(CONNECTIONS, connection_id, ("id",))
        fields = (*rows.SHOWN, "psk") if with_key else rows.SHOWN

        def get(path: str) -> Mapping[str, Any]:
            if not path.startswith(CONNECTIONS):
                found: Mapping[str, Any] = self.get(path)
                return found
            return {"psk": "", **self.get(path, fields)}

        found, key = tunnel.gather(get, connection_id)
        return found, key if with_key else None

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            # log=False: keystoneauth writes bodies, keys too, into its log at the level debug.
            reply = self.proxy.request(f"/{path}", method, log=False, **arguments)
        except (ks_exceptions.ClientException, sdk_exceptions.SDKException) as error:
            raise Refused(0, f"Neutron can't be reached: {type(error).__name__}") from error
        if reply.status_code == 401:
            raise horizon_exceptions.NotAuthenticated
        if reply.status_code >= 400:
            raise Refused(reply.status_code, *_sentence(reply))
        if reply.status_code == 204:
            return None
        (body,) = (v for k, v in reply.json().items() if not k.endswith("_links"))
        return body


_SINGULAR: Mapping[str, str] = {
    CONNECTIONS: "ipsec_site_connection",
    SERVICES: "vpnservice",
    GROUPS: "endpoint_group",
    IKE: "ikepolicy",
    IPSEC: "ipsecpolicy",
    "agents": "agent",
}


def _sentence(reply: Any) -> tuple[str, str]:
    """Return what Neutron says of a failure, and its kind."""
    try:
        error = reply.json()["NeutronError"]
    except (ValueError, KeyError, TypeError):
        return f"Neutron answered {reply.status_code}.", ""
    if not isinstance(error, Mapping):
        return str(error), ""
    return str(error.get("message", error)), str(error.get("type", ""))


def of(request: Any) -> Neutron:
    """Return the API with the token of the request's user."""
    return Neutron(api.neutron.networkclient(request), request.user.project_id)
