"""A router's own namespaces on an L3 agent's node: their names, and what of them is ours.

The wheel of an L3 agent turns for namespaces, not for routers: a distributed router has two on
the node of its gateway, `snat-` with charon and `qrouter-` that only steers. The key of one is
its name.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import zlib
from collections.abc import Iterable, Iterator

from swanherd.core import layout
from swanherd.core.model import (
    DataPlane,
    DesiredRouter,
    Detour,
    Home,
    HomeNamespace,
    IPAddress,
    IPNetwork,
    PortId,
    Role,
    RouterId,
    ScopeMark,
    TrafficSelector,
)
from swanherd.core.network import (
    MAIN_TABLE,
    UNREACHABLE,
    GuardPair,
    Nameless,
    NameNamespace,
    Network,
    Route,
    RouterGuard,
    Rule,
    Way,
)
from swanherd.core.steering import Surroundings, exempt

# Neutron's device names have at most so many characters (neutron_lib.constants.DEVICE_NAME_MAX_LEN
# less the terminator).
_DEVICE_NAME = 14
_PUBLIC = "qg-"

# Before the rules of floating IPs (from 32768, neutron's dvr_fip_ns.py) and before main.
_EXEMPT_PRIORITY, DETOUR_PRIORITY, CLOSED_PRIORITY = 2999, 3000, 3001
_DETOUR_TABLES = 0x5A000000

# The scope of networks that are in none: 1024 << 16 (neutron.agent.l3.router_info).
DEFAULT_SCOPE_MARK = 0x4000000


def key_of(router_id: RouterId, namespace: HomeNamespace) -> RouterId:
    """Return the wheel's key of a router's namespace, which is the namespace's name."""
    return RouterId(f"{namespace}-{router_id}")


def parse_key(key: RouterId) -> tuple[HomeNamespace | None, RouterId]:
    """Return which namespace of which router it is; None if the key is a router's id."""
    for namespace in HomeNamespace:
        if key.startswith(f"{namespace}-"):
            return namespace, RouterId(key.removeprefix(f"{namespace}-"))
    return None, key


def site_of(desired: DesiredRouter, namespace: HomeNamespace) -> DesiredRouter | None:
    """Return what one namespace of the router should be; None if nothing of ours is in it."""
    home = desired.home
    if home is None:
        return None
    key = key_of(desired.id, namespace)
    if home.namespace is namespace:
        return dataclasses.replace(desired, id=key)
    if namespace is HomeNamespace.ROUTER and home.distributed:
        steers = dataclasses.replace(home, namespace=None)
        return dataclasses.replace(desired, id=key, home=steers)
    return None


def runs_charon(desired: DesiredRouter) -> bool:
    """Tell whether charon is to run in this namespace."""
    return desired.home is None or desired.home.namespace is not None


def public_device(port_id: PortId) -> str:
    """Return the name of the router's device on the external network."""
    return f"{_PUBLIC}{port_id}"[:_DEVICE_NAME]


def inside_device(port_id: PortId) -> str:
    """Return the name of the router's device on an internal network."""
    return f"qr-{port_id}"[:_DEVICE_NAME]


def named_again(lost: Nameless | None) -> tuple[NameNamespace, ...]:
    """Return how a namespace that still carries traffic gets its name back; () if it doesn't.

    Neutron takes the device on the external network out of a namespace that it removes
    (`RouterNamespace.delete`, `SnatNamespace.delete`): where that is left somebody else took the
    name, and nothing but the name.
    """
    if lost is None or not any(name.startswith(_PUBLIC) for name in lost.devices):
        return ()
    return (NameNamespace(lost.pid, lost.inode),)


def network_of(desired: DesiredRouter, plane: DataPlane) -> Network:
    """Return what the namespace's network should be, whoever's namespace it is."""
    if desired.home is None:
        return layout.network_of(desired, plane)
    return layout.made(desired, plane, _home_network, _around)


def _around(desired: DesiredRouter) -> tuple[object, ...]:
    """Return what a guest's network depends on beside what each network does."""
    home = desired.home and dataclasses.replace(desired.home, doubted=None)
    return home, tuple([c.peer_address for c in desired.connections])


def _home_network(desired: DesiredRouter, plane: DataPlane) -> Network:
    home = desired.home or Home(None)
    if home.namespace is None:
        return _detour_network(desired, home)
    return _tunnel_network(desired, home, plane)


def _tunnel_network(desired: DesiredRouter, home: Home, plane: DataPlane) -> Network:
    mtus = layout.effective_mtus(desired, plane)
    device = public_device(desired.public.port_id) if desired.public else ""
    around = frozenset(_exempt(desired, home))
    rules = layout.tunnel_rules(desired.connections, mtus)
    guard = RouterGuard(
        way=Way.TUNNEL if plane is DataPlane.USERSPACE else Way.XFRM,
        public=device,
        addresses=frozenset(_public_addresses(desired)),
        pairs=frozenset(layout.guard_pairs(desired.connections, mtus)),
        exempt=around,
        marks=frozenset(_marks(desired, home)),
        silent=desired.role is Role.STANDBY,
    )
    return Network(
        links=frozenset(),
        host_addresses=frozenset(),
        routes=frozenset(layout.tunnel_routes(desired, plane, mtus, device)),
        rules=frozenset(rules) | frozenset(Rule(s, MAIN_TABLE) for s in around),
        guard=guard,
    )


def _detour_network(desired: DesiredRouter, home: Home) -> Network:
    """Return what sends a pair's packets to the central part, before all other ways, or nowhere.

    Neutron's own table of that way can't be used: where the subnet and the external network are
    of one address scope there is none. What others remove of it is closed by the second rule.
    """
    selectors = _selectors(desired)
    around = frozenset(_exempt(desired, home))
    detours = {s: d for s in selectors for d in home.detours if s.local == d.network}
    guard = RouterGuard(
        way=Way.DETOUR,
        public="",
        addresses=frozenset(),
        pairs=frozenset(GuardPair(s, 0) for s in selectors),
        exempt=around,
    )
    return Network(
        links=frozenset(),
        host_addresses=frozenset(),
        routes=frozenset(map(_detour_route, detours.values())),
        rules=frozenset(
            [
                *(Rule(s, MAIN_TABLE, _EXEMPT_PRIORITY) for s in around),
                *(Rule(s, detour_table(d), DETOUR_PRIORITY) for s, d in detours.items()),
                *(Rule(s, UNREACHABLE, CLOSED_PRIORITY) for s in selectors),
            ]
        ),
        guard=guard,
    )


def detour_table(detour: Detour) -> int:
    """Return the routing table of a detour: of the 32 bits there are, 24 tell it from others."""
    return _DETOUR_TABLES + (zlib.crc32(f"{detour.port_id} {detour.gateway}".encode()) & 0xFFFFFF)


def _detour_route(detour: Detour) -> Route:
    everything = layout.DEFAULT_ROUTE[detour.network.version]
    device = inside_device(detour.port_id)
    return Route(everything, device, detour.gateway, detour_table(detour))


def _selectors(desired: DesiredRouter) -> frozenset[TrafficSelector]:
    return frozenset(s for c in desired.connections for s in c.selectors)


def _public_addresses(desired: DesiredRouter) -> Iterable[IPAddress]:
    return (i.ip for i in desired.public.addresses) if desired.public else ()


def _exempt(desired: DesiredRouter, home: Home) -> Iterator[TrafficSelector]:
    selectors = _selectors(desired)
    around = Surroundings(connected=frozenset(home.connected), peers=frozenset(_peers(desired)))
    meant = frozenset(s.remote for s in selectors if s.remote.prefixlen)
    for selector in selectors:
        for network in exempt(selector.remote, meant, around):
            yield TrafficSelector(selector.local, network)


def _peers(desired: DesiredRouter) -> Iterator[IPAddress]:
    for connection in desired.connections:
        try:
            yield ipaddress.ip_address(connection.peer_address)
        except ValueError:
            continue  # a name that can't be resolved now


def _marks(desired: DesiredRouter, home: Home) -> Iterator[ScopeMark]:
    known = {mark.network: mark.mark for mark in home.marks}
    locals_: set[IPNetwork] = {s.local for s in _selectors(desired)}
    for network in locals_:
        yield ScopeMark(network, known.get(network, DEFAULT_SCOPE_MARK))
