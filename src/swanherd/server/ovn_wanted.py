"""What OVN's rows should be and where a router's VPN should be, by Neutron's tables and OVN's.

Worked out in one place: for one router by a look, and for all by the sweep.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Any

from neutron_lib.plugins import directory

from swanherd.core import placement, steering
from swanherd.core.model import IPAddress, Reason, RouterId
from swanherd.core.placement import Placement
from swanherd.core.steering import Northbound, Surroundings
from swanherd.ovn import moving, southbound
from swanherd.ovn.routing import routing_of
from swanherd.server import shown
from swanherd.server.backend import RouterRow, RouterTraffic
from swanherd.server.topology import BoundPort, Router

NO_GATEWAY = Reason(
    "no_gateway",
    "The router has no external gateway.",
    "Set the router's gateway to the external network.",
)
NO_ADDRESS_CODE = "public_port_no_address"
NO_ADDRESS = Reason(
    NO_ADDRESS_CODE,
    "The external network has no free address for the router's VPN.",
    "Free one, for instance by deleting an unused floating IP; it is then taken by itself.",
)


def driver() -> Any:
    """Return ML2's OVN driver, which holds the replicas of OVN's databases."""
    return directory.get_plugin().mechanism_manager.mech_drivers["ovn"].obj


def steered(
    nb: Any, row: RouterRow, router: Router | None, traffic: RouterTraffic
) -> tuple[Northbound, Mapping[str, Reason]]:
    """Return the rows of this row's revision, and why single connections can't be steered."""
    peers = map(_address, traffic.peer_addresses)
    routing = routing_of(nb, row.router_id)
    around = Surroundings(
        connected=frozenset(i.cidr for i in (router.inside if router else ())),
        peers=frozenset(peer for peer in peers if peer is not None),
        default_routes=routing.default_routes,
        gateways=routing.gateways,
        routed=routing.routed,
        network_id=lasting_network(router, traffic.local_subnet_ids),
        outside=_outside(router),
    )
    # The transit is where the public port is, and goes when that goes.
    host = row.host and (moving.public_host(nb, row.router_id) or row.host)
    wanted = steering.northbound_of(row.router_id, row.revision, host, traffic.selectors, around)
    attached = {i.subnet_id for i in (router.inside if router else ())}
    return wanted, {
        **steering.limitations(traffic.by_connection, around),
        **shown.detached(traffic.local_subnets, attached),
    }


def placed(row: RouterRow, router: Router | None, agents: placement.Agents) -> Placement:
    """Return where the router's VPN should be."""
    current = Placement(row.host, row.standbys, row.pin)
    return placement.place(current, _gateway(row.router_id, router), agents)


def problem_of(router: Router | None, host: str | None, port: BoundPort | None) -> Reason | None:
    """Return what keeps a router from having a VPN, if anything does."""
    if router is None or router.gateway_network_id is None:
        return NO_GATEWAY
    if port is None or not port.addresses:
        return NO_ADDRESS
    return placement.NO_AGENT if host is None else None


def lasting_network(router: Router | None, local: Collection[str]) -> str | None:
    """Return an internal network of the router; one of the VPN's subnets, which can't leave."""
    inside = sorted(router.inside if router else (), key=lambda i: i.subnet_id not in local)
    return inside[0].network_id if inside else None


def _outside(router: Router | None) -> str | None:
    """Return the router's port on the external network, as Neutron names it in OVN."""
    return f"lrp-{router.gateway_port_id}" if router and router.gateway_port_id else None


def _gateway(router_id: RouterId, router: Router | None) -> placement.Gateway:
    """Return where OVN has the router's gateway."""
    if router is None or router.gateway_port_id is None:
        return placement.Gateway()
    ovn = driver()
    return southbound.gateway(ovn.nb_ovn, ovn.sb_ovn, router_id, router.gateway_port_id)


def _address(text: str) -> IPAddress | None:
    """Return the address; None for a name, which only the agent resolves."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
