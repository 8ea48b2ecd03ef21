"""Builders of values for tests: valid by default, each field changeable."""

from __future__ import annotations

import dataclasses
import ipaddress
import uuid
from typing import Any

from swanherd.core.model import (
    Attachment,
    ConnectionId,
    DesiredRouter,
    Detour,
    Dpd,
    DpdAction,
    Encapsulation,
    Home,
    HomeNamespace,
    IkePolicy,
    IkeVersion,
    Initiator,
    IpsecPolicy,
    Phase1Mode,
    PortId,
    RouterId,
    Secret,
    Service,
    ServiceId,
    SiteConnection,
    TrafficSelector,
    Transform,
)

_SPACE = uuid.UUID("5a5a5a5a-0000-4000-8000-000000000000")


def make_id(name: str) -> str:
    """Return a UUID that depends on the name alone."""
    return str(uuid.uuid5(_SPACE, name))


ROUTER = RouterId(make_id("router"))
SERVICE = ServiceId(make_id("service"))


def selector(local: str, remote: str) -> TrafficSelector:
    """Return the pair of two CIDRs."""
    return TrafficSelector(ipaddress.ip_network(local), ipaddress.ip_network(remote))


def ike_policy(**changes: Any) -> IkePolicy:
    """Return an IKEv2 policy of the API's strong values."""
    fields: dict[str, Any] = {
        "version": IkeVersion.V2,
        "mode": Phase1Mode.MAIN,
        "encryption": "aes-256",
        "integrity": "sha256",
        "dh_group": "group19",
        "lifetime": 3600,
    }
    return IkePolicy(**(fields | changes))


def ipsec_policy(**changes: Any) -> IpsecPolicy:
    """Return an ESP tunnel policy of the API's strong values."""
    fields: dict[str, Any] = {
        "transform": Transform.ESP,
        "mode": Encapsulation.TUNNEL,
        "encryption": "aes-256",
        "integrity": "sha256",
        "dh_group": "group19",
        "lifetime": 3600,
    }
    return IpsecPolicy(**(fields | changes))


def connection(name: str = "c", **changes: Any) -> SiteConnection:
    """Return a connection from 203.0.113.2 to 198.51.100.2 that protects one pair."""
    fields: dict[str, Any] = {
        "id": ConnectionId(make_id(name)),
        "service_id": SERVICE,
        "up": True,
        "local_address": ipaddress.ip_address("203.0.113.2"),
        "local_id": "",
        "peer_address": "198.51.100.2",
        "peer_id": "198.51.100.2",
        "psk": Secret("correct horse battery staple"),
        "initiator": Initiator.BI_DIRECTIONAL,
        "mtu": 1500,
        "dpd": Dpd(DpdAction.HOLD, 30, 120),
        "ike": ike_policy(),
        "ipsec": ipsec_policy(),
        "selectors": (selector("10.1.0.0/24", "10.2.0.0/24"),),
    }
    return SiteConnection(**(fields | changes))


def attachment(name: str, *addresses: str, gateways: tuple[str, ...] = ()) -> Attachment:
    """Return a port of br-int with these addresses (CIDR notation)."""
    return Attachment(
        PortId(make_id(name)),
        "02:00:00:00:00:01",
        tuple(ipaddress.ip_interface(a) for a in addresses),
        tuple(ipaddress.ip_address(g) for g in gateways),
        1500,
    )


def desired(*connections: SiteConnection, **changes: Any) -> DesiredRouter:
    """Return a router with one service and these connections."""
    fields: dict[str, Any] = {
        "id": ROUTER,
        "revision": 1,
        "epoch": 1,
        "naming_key": Secret("k" * 64),
        "public": attachment(
            "public",
            "203.0.113.2/24",
            "2001:db8:a::2/64",
            gateways=("203.0.113.1", "2001:db8:a::1"),
        ),
        "transit": attachment(
            "transit",
            "169.254.0.2/30",
            "fd5a:4e84:d7c1::2/126",
            gateways=("169.254.0.1", "fd5a:4e84:d7c1::1"),
        ),
        "router_addresses": tuple(ipaddress.ip_address(a) for a in ("10.1.0.1", "fd00:1::1")),
        "services": (Service(SERVICE, up=True),),
        "connections": connections,
    }
    return DesiredRouter(**(fields | changes))


def home(namespace: HomeNamespace | None = HomeNamespace.ROUTER, **changes: Any) -> Home:
    """Return a router's home with the networks 10.1.0.0/24 and fd00:1::/64."""
    fields: dict[str, Any] = {
        "namespace": namespace,
        "connected": tuple(map(ipaddress.ip_network, ("10.1.0.0/24", "fd00:1::/64"))),
    }
    return Home(**(fields | changes))


def distributed_home(namespace: HomeNamespace | None = None) -> Home:
    """Return the home of a distributed router, with a detour for each of its networks."""
    detours = (
        Detour(
            ipaddress.ip_network("10.1.0.0/24"),
            PortId(make_id("inside")),
            ipaddress.ip_address("10.1.0.9"),
        ),
        Detour(
            ipaddress.ip_network("fd00:1::/64"),
            PortId(make_id("inside6")),
            ipaddress.ip_address("fd00:1::9"),
        ),
    )
    return home(namespace, distributed=True, detours=detours)


def at_home(desired_router: DesiredRouter, where: Home) -> DesiredRouter:
    """Return the router as an L3 agent has it: its own gateway port, no transit."""
    return dataclasses.replace(desired_router, home=where, transit=None)
