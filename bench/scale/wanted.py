"""What the routers of the scale benchmark should be, and what their peers have."""

from __future__ import annotations

import dataclasses
import ipaddress

from swanherd.core.model import (
    Attachment,
    DesiredRouter,
    Dpd,
    DpdAction,
    IPAddress,
    RouterId,
    Secret,
    SiteConnection,
    TrafficSelector,
)
from swanherd.core.steering import public_port_id, transit_attachment
from swanherd.testing import builders

KEY = Secret("k" * 64)
LOCAL_NET = "10.1.0.0/24"
ROUTER_ADDRESS, WORKLOAD = "10.1.0.1", "10.1.0.5"
GATEWAY = "10.50.255.254"
PUBLIC_MTU = TRANSIT_MTU = 1500


def router_id(number: int) -> RouterId:
    """Return the id of the nth router."""
    return RouterId(builders.make_id(f"router {number}"))


def public_address(number: int) -> str:
    """Return the public address of the nth router."""
    return f"10.50.{number // 250}.{number % 250 + 1}"


def peer_address(number: int) -> str:
    """Return the address of the nth peer."""
    return f"10.60.{number // 250}.{number % 250 + 1}"


def remote_net(number: int) -> str:
    """Return the network behind the nth peer."""
    return f"10.{128 + number // 250}.{number % 250}.0/24"


def remote_host(number: int) -> str:
    """Return the host behind the nth peer that answers pings."""
    return remote_net(number).replace("0/24", "1")


def connection(number: int, router: int, edits: int = 0) -> SiteConnection:
    """Return the nth connection, of the numbered router, edited so many times."""
    return builders.connection(
        f"connection {number}",
        local_address=ipaddress.ip_address(public_address(router)),
        peer_address=peer_address(number),
        peer_id=peer_address(number),
        psk=Secret(f"key of {number}"),
        dpd=Dpd(DpdAction.RESTART, 60 + edits, 240),
        selectors=(builders.selector(LOCAL_NET, remote_net(number)),),
    )


def mirrored(connection: SiteConnection) -> SiteConnection:
    """Return the peer's view of a connection."""
    peer = ipaddress.ip_address(connection.peer_address)
    return dataclasses.replace(
        connection,
        local_address=peer,
        local_id=str(peer),
        peer_address=str(connection.local_address),
        peer_id=str(connection.local_address),
        selectors=tuple(TrafficSelector(s.remote, s.local) for s in connection.selectors),
    )


def router(number: int, revision: int, connections: tuple[SiteConnection, ...]) -> DesiredRouter:
    """Return the nth router with these connections."""
    name = router_id(number)
    gateway: IPAddress = ipaddress.ip_address(GATEWAY)
    public = Attachment(
        public_port_id(name),
        f"02:50:00:00:{number // 256:02x}:{number % 256:02x}",
        (ipaddress.ip_interface(f"{public_address(number)}/16"),),
        (gateway,),
        PUBLIC_MTU,
    )
    return builders.desired(
        *connections,
        id=name,
        revision=revision,
        naming_key=KEY,
        public=public,
        transit=transit_attachment(name, TRANSIT_MTU),
        router_addresses=(ipaddress.ip_address(ROUTER_ADDRESS),),
    )
