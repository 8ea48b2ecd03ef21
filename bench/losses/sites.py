"""The sites of the stage: their addresses, and the connections that every row begins with."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping

from swanherd.core.model import IkeVersion, RouterId, SiteConnection
from swanherd.testing import builders


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """One router: `number` makes its addresses, `networks` are those behind it."""

    name: str
    number: int
    networks: tuple[str, ...]

    @property
    def router_id(self) -> RouterId:
        """The router's id."""
        return RouterId(builders.make_id(self.name))

    @property
    def public(self) -> tuple[str, ...]:
        """Its public addresses: the one that it uses, the one that it moves to; both of IPv6."""
        return (
            f"198.51.100.{self.number}",
            f"198.51.100.{self.number + 100}",
            f"2001:db8:1::{self.number}",
            f"2001:db8:1::{self.number + 100}",
        )

    @property
    def workload(self) -> str:
        """The namespace of its workload."""
        return f"work{self.number}"

    @property
    def transit_bridge(self) -> str:
        """The bridge between the workload and the namespace under test."""
        return f"inside{self.number}"

    def addresses(self, host: int) -> tuple[str, ...]:
        """Return one address in each of its networks."""
        return tuple(str(ipaddress.ip_network(n)[host]) for n in self.networks)


WEST = Site("west", 1, ("10.1.0.0/24", "10.4.0.0/24", "fd01::/64"))
EAST = Site("east", 2, ("10.2.0.0/24", "10.3.0.0/24", "10.8.0.0/24", "fd02::/64"))
FAR_WEST = Site("far west", 3, ("10.6.0.0/24",))
FAR_EAST = Site("far east", 4, ("10.7.0.0/24",))
SOUTH = Site("south", 5, ("10.5.0.0/24",))
SITES = (WEST, EAST, SOUTH, FAR_WEST, FAR_EAST)

# The connections by the name that rows use: from, to, pairs of networks.
_PAIRS: Mapping[str, tuple[Site, Site, tuple[tuple[str, str], ...]]] = {
    "own": (WEST, EAST, (("10.1.0.0/24", "10.2.0.0/24"), ("10.1.0.0/24", "10.3.0.0/24"))),
    "beside": (WEST, SOUTH, (("10.4.0.0/24", "10.5.0.0/24"),)),
    "other": (FAR_WEST, FAR_EAST, (("10.6.0.0/24", "10.7.0.0/24"),)),
}


def connections_of(site: Site, version: IkeVersion) -> dict[str, SiteConnection]:
    """Return the site's connections as every row begins with them, by name."""
    found = {}
    for name, (west, east, pairs) in _PAIRS.items():
        if site not in (west, east):
            continue
        here, there = (west, east) if site is west else (east, west)
        selectors = tuple(builders.selector(*(p if site is west else p[::-1])) for p in pairs)
        found[name] = builders.connection(
            f"{site.name} {name}",
            local_address=ipaddress.ip_address(here.public[0]),
            peer_address=there.public[0],
            peer_id=there.public[0],
            ike=builders.ike_policy(version=version),
            selectors=selectors,
        )
    return found
