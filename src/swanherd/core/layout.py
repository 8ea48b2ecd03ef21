"""From what a router's VPN should be to what its namespace's network should be."""

from __future__ import annotations

import dataclasses
import ipaddress
import weakref
from collections.abc import Callable, Iterable

from swanherd.core.memo import remember, remember_each
from swanherd.core.model import (
    Attachment,
    ConnectionId,
    DataPlane,
    DesiredRouter,
    IPAddress,
    IPNetwork,
    Role,
    RouterId,
    SiteConnection,
    TrafficSelector,
)
from swanherd.core.network import (
    BLACKHOLE,
    PUBLIC_DEVICE,
    TRANSIT_DEVICE,
    TUNNEL_DEVICE,
    Guard,
    GuardPair,
    Link,
    Network,
    Route,
    Rule,
)
from swanherd.core.overhead import largest_inner

# Routing tables of ours: this plus the MTU, so that connections of one MTU share a table.
TABLE_BASE = 20000

# kernel-libipsec reads its TUN device with a buffer of this many bytes (tun_device.c, 5.9.8).
USERSPACE_MTU = 1400

# What the path is taken for while there is no public port to tell (RFC 894).
_ETHERNET_MTU = 1500

# A TCP segment's headers without options, on top of which the MSS counts (RFC 9293 §3.7.1).
_HEADERS = {4: 40, 6: 60}

# The least MTU that a family's links must have (RFC 791, RFC 8200 §5).
_LEAST_MTU = {4: 68, 6: 1280}

DEFAULT_ROUTE: dict[int, IPNetwork] = {
    4: ipaddress.ip_network("0.0.0.0/0"),
    6: ipaddress.ip_network("::/0"),
}


# Before all rules that lead anywhere, and after the kernel's own of what is for the namespace (0).
_LOCK_PRIORITY = 100


@remember
def tunnel_mtu(connection: SiteConnection, plane: DataPlane, path_mtu: int) -> int:
    """Return the largest inner packet in bytes: min(API's mtu, path − the suite's overhead)."""
    if connection.local_address is None:
        return connection.mtu or path_mtu
    fits = largest_inner(
        path_mtu,
        connection.ipsec.transform,
        connection.ipsec.mode,
        connection.ipsec.encryption,
        connection.ipsec.integrity,
        connection.local_address.version,
        # Userspace ESP is always in UDP; in the kernel a NAT may show up at any time.
        udp=True if plane is DataPlane.USERSPACE else _nat_is_possible(connection),
    )
    limits: tuple[int, ...] = (fits, connection.mtu or fits)
    if plane is DataPlane.USERSPACE:
        limits = (*limits, USERSPACE_MTU)
    return min(limits)


def _nat_is_possible(connection: SiteConnection) -> bool:
    return connection.local_address is not None and connection.local_address.version == 4


def effective_mtus(desired: DesiredRouter, plane: DataPlane) -> dict[ConnectionId, int]:
    """Return the largest inner packet of each connection, in bytes."""
    path_mtu = desired.public.mtu if desired.public else _ETHERNET_MTU
    return {c.id: tunnel_mtu(c, plane, path_mtu) for c in desired.connections}


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
class _Made:
    """A network and all that it was made of."""

    inputs: tuple[object, ...]
    network: Network


# The last network of each router, as long as anyone has the desired state that it is of: most
# changes of a connection concern charon alone, and to make a thousand routes anew and to compare
# them costs more than all else of such a change.
_LATEST: weakref.WeakValueDictionary[tuple[RouterId, DataPlane], _Made] = (
    weakref.WeakValueDictionary()
)


def network_of(desired: DesiredRouter, plane: DataPlane) -> Network:
    """Return the namespace's network for the desired state; the same object while it is equal."""
    return made(desired, plane, _network, _nothing_else)


def _nothing_else(_: DesiredRouter) -> tuple[object, ...]:
    return ()


def made(
    desired: DesiredRouter,
    plane: DataPlane,
    make: Callable[[DesiredRouter, DataPlane], Network],
    around: Callable[[DesiredRouter], tuple[object, ...]],
) -> Network:
    """Return what `make` does, which depends on `around` too; the same object while equal."""
    return _made(desired, plane, make, around).network


@remember
def _made(
    desired: DesiredRouter,
    plane: DataPlane,
    make: Callable[[DesiredRouter, DataPlane], Network],
    around: Callable[[DesiredRouter], tuple[object, ...]],
) -> _Made:
    path_mtu = desired.public.mtu if desired.public else _ETHERNET_MTU
    inputs = (
        *(desired.public, desired.transit, desired.router_addresses, desired.role),
        *around(desired),
        tuple(_each_share(desired.connections, rest=(plane, path_mtu))),
    )
    before = _LATEST.get((desired.id, plane))
    if before is not None and before.inputs == inputs:
        return before
    new = _LATEST[desired.id, plane] = _Made(inputs, make(desired, plane))
    return new


@remember_each
def _each_share(connection: SiteConnection, plane: DataPlane, path_mtu: int) -> tuple[object, ...]:
    """Return what of a connection the network depends on."""
    return connection.selectors, tunnel_mtu(connection, plane, path_mtu)


def _network(desired: DesiredRouter, plane: DataPlane) -> Network:
    mtus = effective_mtus(desired, plane)
    return Network(
        links=frozenset(_links(desired)),
        host_addresses=frozenset(_host_addresses(desired)),
        routes=frozenset(_main_routes(desired))
        | frozenset(tunnel_routes(desired, plane, mtus, PUBLIC_DEVICE)),
        rules=frozenset(tunnel_rules(desired.connections, mtus))
        | frozenset(_locks(desired.connections, plane)),
        guard=Guard(
            transit=TRANSIT_DEVICE,
            public=PUBLIC_DEVICE,
            tunnel=TUNNEL_DEVICE if plane is DataPlane.USERSPACE else None,
            pairs=frozenset(guard_pairs(desired.connections, mtus)),
            silent=desired.role is Role.STANDBY,
        ),
    )


def _links(desired: DesiredRouter) -> Iterable[Link]:
    for name, attachment in ((PUBLIC_DEVICE, desired.public), (TRANSIT_DEVICE, desired.transit)):
        if attachment is not None:
            yield Link(
                name,
                attachment.port_id,
                attachment.mac,
                attachment.mtu,
                frozenset(attachment.addresses),
            )


def _host_addresses(desired: DesiredRouter) -> Iterable[IPAddress]:
    """Yield the router's own addresses inside local selectors: userspace ESP needs one there."""
    locals_ = [s.local for c in desired.connections for s in c.selectors]
    return (a for a in desired.router_addresses if any(a in network for network in locals_))


def gateway(attachment: Attachment | None, version: int) -> IPAddress | None:
    """Return the attachment's gateway of the family, if it has one."""
    gateways = attachment.gateways if attachment else ()
    return next((g for g in gateways if g.version == version), None)


def _main_routes(desired: DesiredRouter) -> Iterable[Route]:
    for version, everything in DEFAULT_ROUTE.items():
        if via := gateway(desired.public, version):
            yield Route(everything, PUBLIC_DEVICE, via)
    for network in {s.local for c in desired.connections for s in c.selectors}:
        if via := gateway(desired.transit, network.version):
            yield Route(network, TRANSIT_DEVICE, via)


def tunnel_routes(
    desired: DesiredRouter, plane: DataPlane, mtus: dict[ConnectionId, int], public_device: str
) -> Iterable[Route]:
    """Yield the routes to the peers' networks, in a table for each MTU."""
    for connection in desired.connections:
        mtu = mtus[connection.id]
        for remote in {s.remote for s in connection.selectors}:
            if plane is DataPlane.USERSPACE:
                yield Route(remote, TUNNEL_DEVICE, None, TABLE_BASE + mtu, mtu)
            elif desired.public is not None:
                # XFRM takes the packet before the next hop matters; a gateway of the family
                # keeps the neighbour table quiet.
                via = gateway(desired.public, remote.version)
                yield Route(remote, public_device, via, TABLE_BASE + mtu, mtu)


def tunnel_rules(
    connections: Iterable[SiteConnection], mtus: dict[ConnectionId, int]
) -> Iterable[Rule]:
    """Return the rules that send each pair to its MTU's table."""
    return (Rule(s, TABLE_BASE + mtus[c.id]) for c in connections for s in c.selectors)


def lock(version: int) -> Rule:
    """Return the rule by which nothing of a family goes on that came by the public device.

    Userspace ESP is for the namespace itself, and what was in it comes by charon's device. An
    answer could go to a workload, which the sender says to be.
    """
    everything = DEFAULT_ROUTE[version]
    selector = TrafficSelector(everything, everything)
    return Rule(selector, BLACKHOLE, _LOCK_PRIORITY, PUBLIC_DEVICE)


def _locks(connections: Iterable[SiteConnection], plane: DataPlane) -> Iterable[Rule]:
    """Yield what keeps clear packets out even where somebody has taken the guard away.

    What the kernel has decrypted goes on as come by the public device: there it can't be told so.
    """
    if plane is DataPlane.USERSPACE:
        yield from map(lock, {s.local.version for c in connections for s in c.selectors})


def guard_pairs(
    connections: Iterable[SiteConnection], mtus: dict[ConnectionId, int]
) -> Iterable[GuardPair]:
    """Yield each pair with the segment size that fits its tunnel."""
    for connection in connections:
        for selector in connection.selectors:
            version = selector.local.version
            mtu = max(mtus[connection.id], _LEAST_MTU[version])
            yield GuardPair(selector, mtu - _HEADERS[version])
