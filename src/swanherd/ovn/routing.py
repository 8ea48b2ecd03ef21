"""Where a router's own routes lead, by OVN's northbound database."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

from swanherd.core.model import IPAddress, IPNetwork, RouterId
from swanherd.ovn import raw
from swanherd.ovn.database import held
from swanherd.ovn.northbound import router_of

_EVERYWHERE = {"0.0.0.0/0": 4, "::/0": 6}


@dataclasses.dataclass(frozen=True, slots=True)
class Routing:
    """A router's routes that aren't ours; the fields are those of `Surroundings`."""

    default_routes: frozenset[int] = frozenset()
    gateways: frozenset[IPAddress] = frozenset()
    routed: frozenset[IPNetwork] = frozenset()


def routing_of(nb: Any, router_id: RouterId) -> Routing:
    """Return where the router's own routes lead."""
    with held(nb, router_id):
        router = nb.lookup("Logical_Router", f"neutron-{router_id}", default=None)
        if router is None:
            return Routing()
        foreign = (r for r in raw.referred(router, "static_routes") if not router_of(r))
        main = [r for r in foreign if not getattr(r, "route_table", "")]
        ports = (p for p in raw.referred(router, "ports") if not router_of(p))
        connected = [ipaddress.ip_interface(n).network for p in ports for n in p.networks]
    defaults = [r for r in main if r.ip_prefix in _EVERYWHERE]
    versions = [_EVERYWHERE[r.ip_prefix] for r in defaults]
    nexthops = [_parse_address(r.nexthop) for r in defaults]
    return Routing(
        default_routes=frozenset(versions),
        gateways=frozenset(
            nexthop
            for nexthop in nexthops
            # ovn-northd omits a reroute to what no port of the router is connected to.
            if nexthop is not None
            and versions.count(nexthop.version) == 1
            and any(nexthop in network for network in connected)
        ),
        routed=frozenset(
            (*connected, *(_parse_network(r.ip_prefix) for r in main if r not in defaults))
        ),
    )


def _parse_address(text: str) -> IPAddress | None:
    """Return the address; None for what is none (`discard`)."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _parse_network(text: str) -> IPNetwork:
    return ipaddress.ip_network(text, strict=False)
