"""What a user can choose from: routers, subnets, policies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from swanherd_dashboard import neutron
from swanherd_dashboard.core import rows
from swanherd_dashboard.core.rules import Subnet, homes

# The ports by which a router is in a subnet (neutron_lib.constants.ROUTER_INTERFACE_OWNERS).
_INTERFACES = (
    "network:router_interface",
    "network:router_interface_distributed",
    "network:ha_router_replicated_interface",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """Routers that have a gateway, by id their name; subnets on them; services; policies."""

    routers: Mapping[str, str]
    subnets: Mapping[str, Subnet]
    services: Mapping[str, rows.Service]
    ike: Mapping[str, rows.Policy]
    ipsec: Mapping[str, rows.Policy]


def look(cloud: neutron.Neutron) -> Surroundings:
    """Ask Neutron: seven requests, however much there is."""
    routers = {
        row["id"]: row["name"] or row["id"]
        for row in cloud.mine("routers", ("id", "name", "external_gateway_info"))
        if row.get("external_gateway_info")
    }
    ports = cloud.mine("ports", ("device_id", "fixed_ips"), device_owner=_INTERFACES)
    home = homes(ports, routers)
    names = {row["id"]: row["name"] for row in cloud.get("networks", ("id", "name"))}
    # Not `mine`: a subnet of another project may be shared, and be on one's router.
    listed = cloud.get("subnets", ("id", "name", "cidr", "network_id")) if home else []
    subnets = {
        row["id"]: Subnet(
            row["id"],
            row["name"] or names.get(row.get("network_id"), ""),
            row["cidr"],
            home[row["id"]],
        )
        for row in sorted(listed, key=lambda row: (row["cidr"], row["id"]))
        if row["id"] in home
    }
    return Surroundings(
        routers=routers,
        subnets=subnets,
        services=cloud.services(),
        ike=_policies(cloud, neutron.IKE),
        ipsec=_policies(cloud, neutron.IPSEC),
    )


def _policies(cloud: neutron.Neutron, path: str) -> Mapping[str, rows.Policy]:
    found = [rows.policy(row) for row in cloud.mine(path)]
    return {policy.id: policy for policy in sorted(found, key=lambda policy: policy.name)}
