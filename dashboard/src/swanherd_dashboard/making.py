"""Makes and changes connections with all that they need; what failed half-way is taken back."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from swanherd_dashboard import neutron
from swanherd_dashboard.core import profiles, rows
from swanherd_dashboard.core.rules import Side
from swanherd_dashboard.surroundings import Surroundings

# Says that a helper of a connection may go with it.
OURS = "Made by the dashboard with a connection."


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What a user wants: one connection for each side's IP version.

    `profile` names policies to find or make, unless `ike_id` and `ipsec_id` are given.
    `attributes` go to the API as they are.
    """

    name: str
    router_id: str
    sides: Sequence[Side]
    psk: str = dataclasses.field(repr=False)
    profile: str
    ike_id: str
    ipsec_id: str
    attributes: Mapping[str, Any]


@dataclasses.dataclass(slots=True)
class Undo:
    """What was made, the newest last."""

    cloud: neutron.Neutron
    made: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def create(self, path: str, body: Mapping[str, Any]) -> str:
        """Make a resource and return its id."""
        made = self.cloud.create(path, body)
        self.made.append((path, made["id"]))
        return str(made["id"])

    def back(self) -> None:
        """Delete what was made; what Neutron keeps is left."""
        for path, resource_id in reversed(self.made):
            with contextlib.suppress(neutron.Refused):
                self.cloud.delete(path, resource_id)


@contextlib.contextmanager
def undoing(cloud: neutron.Neutron) -> Iterator[Undo]:
    """Take back what was made if anything fails."""
    undo = Undo(cloud)
    try:
        yield undo
    except BaseException:
        undo.back()
        raise


def connect(cloud: neutron.Neutron, around: Surroundings, wanted: Wanted) -> list[str]:
    """Make what is wanted; return the connections' ids. Nothing is left if Neutron refuses."""
    with undoing(cloud) as undo:
        ike_id, ipsec_id = policies(undo, around, wanted.profile, wanted.ike_id, wanted.ipsec_id)
        service_id = _service(undo, around, wanted)
        ids = []
        for side in wanted.sides:
            several = len(wanted.sides) > 1
            name = wanted.name + suffix(side) if several else wanted.name
            body = {
                **wanted.attributes,
                **groups(undo, name, side),
                "name": name,
                "vpnservice_id": service_id,
                "ikepolicy_id": ike_id,
                "ipsecpolicy_id": ipsec_id,
                "psk": wanted.psk,
            }
            ids.append(undo.create(neutron.CONNECTIONS, body))
        return ids


def suffix(side: Side) -> str:
    """Return what tells two connections of one name apart."""
    return f"-v{side.version}"


def policies(
    undo: Undo, around: Surroundings, profile_name: str, ike_id: str, ipsec_id: str
) -> tuple[str, str]:
    """Return the policies that were chosen, or those of a profile, made if there are none."""
    if ike_id and ipsec_id:
        return ike_id, ipsec_id
    profile = profiles.PROFILES[profile_name]
    ike = profiles.find_ike(around.ike.values(), profile)
    ipsec = profiles.find_ipsec(around.ipsec.values(), profile)
    return (
        ike.id if ike else undo.create(neutron.IKE, profiles.ike_body(profile, profile_name)),
        ipsec.id
        if ipsec
        else undo.create(neutron.IPSEC, profiles.ipsec_body(profile, profile_name)),
    )


def _service(undo: Undo, around: Surroundings, wanted: Wanted) -> str:
    """Return the router's service for endpoint groups, made if there is none."""
    for service in around.services.values():
        if service.router_id == wanted.router_id and not service.subnet_id:
            return service.id
    name = around.routers.get(wanted.router_id, "")
    body = {"name": name, "router_id": wanted.router_id, "description": OURS}
    return undo.create(neutron.SERVICES, body)


def groups(undo: Undo, name: str, side: Side) -> dict[str, str]:
    """Make the two endpoint groups of a connection; return the attributes that name them."""
    local = {"type": "subnet", "endpoints": [subnet.id for subnet in side.subnets]}
    peer = {"type": "cidr", "endpoints": list(side.cidrs)}
    return {
        "local_ep_group_id": _group(undo, f"{name}-local", local),
        "peer_ep_group_id": _group(undo, f"{name}-peer", peer),
    }


def _group(undo: Undo, name: str, body: Mapping[str, Any]) -> str:
    return undo.create(neutron.GROUPS, {"name": name[:255], "description": OURS, **body})


def forget(cloud: neutron.Neutron, resources: Sequence[tuple[str, str]]) -> None:
    """Delete helpers that the dashboard made and nobody uses any more."""
    for path, resource_id in resources:
        with contextlib.suppress(neutron.Refused):
            if cloud.one(path, resource_id, ("id", "description"))["description"] == OURS:
                cloud.delete(path, resource_id)


def delete(cloud: neutron.Neutron, found: rows.Connection) -> None:
    """Delete a connection, and what the dashboard made for it alone."""
    cloud.delete(neutron.CONNECTIONS, found.id)
    helpers = [(neutron.GROUPS, each) for each in (found.local_group_id, found.peer_group_id)]
    forget(cloud, [each for each in (*helpers, (neutron.SERVICES, found.service_id)) if each[1]])
