"""The two shapes of a router's namespace: beside OVN's router, and an L3 agent's own."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from bench.losses.sites import SITES, Site
from bench.losses.wires import (
    WIRE,
    Bridges,
    delay_on,
    make_bridges,
    make_routes,
    make_workload,
    run,
)
from lab import router_rules
from swanherd.agent.homes import HomeNode
from swanherd.agent.node import Bridge, OvnNode
from swanherd.core.home import inside_device, key_of, public_device
from swanherd.core.model import (
    Attachment,
    DesiredRouter,
    Home,
    HomeNamespace,
    PortId,
    RouterId,
    SiteConnection,
)
from swanherd.dataplane import homes, namespace
from swanherd.reconcile.ports import Node
from swanherd.testing import builders

TRANSIT = ("169.254.0.2/30", "fd5a:4e84:d7c1::2/126")
ROUTER_SIDE = ("169.254.0.1/30", "fd5a:4e84:d7c1::1/126")
_LENGTHS = {4: 24, 6: 64}
_GATEWAYS = {"-4": "198.51.100.254", "-6": "2001:db8:1::fe"}


class Shape(Protocol):
    """What of a stage depends on whose the namespaces are."""

    @property
    def node(self) -> Node:
        """The wheel's node."""
        ...

    @property
    def spawn(self) -> Any:
        """What starts a daemon in the namespace."""
        ...

    def key(self, site: Site) -> RouterId:
        """Return by what the wheel knows the site's namespace."""
        ...

    def namespace(self, site: Site) -> str:
        """Return the namespace's name."""
        ...

    def lay(self, site: Site) -> None:
        """Make the site's workload, and what others make of its router."""
        ...

    def desired(
        self, site: Site, connections: Mapping[str, SiteConnection], revision: int, mtu: int
    ) -> DesiredRouter:
        """Return what the site's router should be."""
        ...


class BesideOvn:
    """`qvpn-`, which is ours; the workload is OVN's router as well."""

    spawn = staticmethod(namespace.spawn)

    def __init__(self, delay_ms: float, make_node: Callable[[Bridge], Node] = OvnNode) -> None:
        inside = {site.router_id: site.transit_bridge for site in SITES}
        self.node = make_node(Bridges(inside, delay_ms))

    def key(self, site: Site) -> RouterId:
        """Return the router's id."""
        return site.router_id

    def namespace(self, site: Site) -> str:
        """Return the name of the namespace that the agent makes."""
        return f"qvpn-{site.router_id}"

    def lay(self, site: Site) -> None:
        """Make the workload on the transit."""
        make_workload(site.workload, site.transit_bridge, ROUTER_SIDE, site.addresses(5))
        make_routes(site.workload, [a.partition("/")[0] for a in TRANSIT])

    def desired(
        self, site: Site, connections: Mapping[str, SiteConnection], revision: int, mtu: int
    ) -> DesiredRouter:
        """Return the router, with its transit."""
        macs = [f"02:00:00:00:0{n}:{site.number:02x}" for n in (1, 2)]
        inside = [a.partition("/")[0] for a in ROUTER_SIDE]
        return builders.desired(
            *connections.values(),
            id=site.router_id,
            revision=revision,
            public=_attachment(f"{site.name} public", macs[0], _public(site), mtu, ()),
            transit=_attachment(f"{site.name} transit", macs[1], TRANSIT, 1500, inside),
            router_addresses=tuple(map(ipaddress.ip_address, site.addresses(1))),
        )


class OfL3Agent:
    """`qrouter-`, which Neutron makes, with its devices and its rules; ours are between them."""

    spawn = staticmethod(homes.spawn)

    def __init__(self, delay_ms: float) -> None:
        make_bridges(site.transit_bridge for site in SITES)
        self._delay_ms = delay_ms
        self.node = HomeNode()

    def key(self, site: Site) -> RouterId:
        """Return the namespace's name."""
        return key_of(site.router_id, HomeNamespace.ROUTER)

    def namespace(self, site: Site) -> str:
        """Return the name of the router's own namespace."""
        return self.key(site)

    def lay(self, site: Site) -> None:
        """Make the router as the L3 agent does, and a workload in its networks."""
        name, gateways = self.namespace(site), site.addresses(1)
        make_workload(site.workload, site.transit_bridge, _long(site.addresses(5)), ())
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        for setting in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
            run("ip", "netns", "exec", name, "sysctl", "-qw", setting)
        public, inside = (public_device(_port(site, "public")), inside_device(_port(site, "in")))
        for device, bridge, addresses in (
            (public, WIRE, _public(site)),
            (inside, site.transit_bridge, _long(gateways)),
        ):
            outer = f"{device[:3]}{site.number}"
            run("ip", "link", "add", outer, "type", "veth", "peer", device, "netns", name)
            run("ip", "link", "set", outer, "master", bridge, "up")
            run("ip", "-n", name, "link", "set", device, "up")
            run("ip", "netns", "exec", name, "ethtool", "-K", device, "tx", "off")
            for address in addresses:
                nodad = ("nodad",) if ":" in address else ()
                run("ip", "-n", name, "address", "add", address, "dev", device, *nodad)
        delay_on(f"qg-{site.number}", self._delay_ms)
        # A way out for what isn't held back: nobody is there, but it is seen on the wire.
        for family, gateway in _GATEWAYS.items():
            mac = ("lladdr", "02:00:00:00:09:09", "nud", "permanent")
            run("ip", "-n", name, "neigh", "replace", gateway, "dev", public, *mac)
            run("ip", "-n", name, family, "route", "add", "default", "via", gateway)
        firsts = {":" in gateway: gateway for gateway in reversed(gateways)}
        make_routes(site.workload, list(firsts.values()))
        tables = router_rules.centralized(public, (inside,), site.public[0])
        router_rules.restore(name, tables)

    def desired(
        self, site: Site, connections: Mapping[str, SiteConnection], revision: int, mtu: int
    ) -> DesiredRouter:
        """Return the router's namespace."""
        router = builders.desired(
            *connections.values(),
            id=self.key(site),
            revision=revision,
            public=Attachment(
                _port(site, "public"),
                "",
                tuple(map(ipaddress.ip_interface, _public(site))),
                (),
                mtu,
            ),
            router_addresses=tuple(map(ipaddress.ip_address, site.addresses(1))),
        )
        connected = tuple(map(ipaddress.ip_network, site.networks))
        return builders.at_home(router, Home(HomeNamespace.ROUTER, connected=connected))


def _port(site: Site, kind: str) -> PortId:
    return PortId(builders.make_id(f"{site.name} {kind}"))


def _public(site: Site) -> Sequence[str]:
    return _long(site.public)


def _long(addresses: Iterable[str]) -> Sequence[str]:
    return [f"{a}/{_LENGTHS[ipaddress.ip_address(a).version]}" for a in addresses]


def _attachment(
    name: str, mac: str, addresses: Iterable[str], mtu: int, via: Sequence[str]
) -> Attachment:
    return Attachment(
        PortId(builders.make_id(name)),
        mac,
        tuple(map(ipaddress.ip_interface, addresses)),
        tuple(map(ipaddress.ip_address, via)),
        mtu,
    )
