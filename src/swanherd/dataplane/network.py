"""Links, addresses, routes, rules and the guard of a router's namespace, as the core's values."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, assert_never

from swanherd.core import network as net
from swanherd.core.model import IPAddress, IPInterface, RouterId, TrafficSelector
from swanherd.core.network import (
    Guard,
    KernelPolicy,
    KernelSa,
    Link,
    ObservedNetwork,
    Route,
    Rule,
)
from swanherd.dataplane import frames, transforms
from swanherd.dataplane.failing import failing
from swanherd.dataplane.guards import Firewall
from swanherd.dataplane.namespace import name_of
from swanherd.dataplane.privileged import links, packets, routes

# Pauses in seconds: OVN's switch may take a moment to let a port speak, and a frame may be lost.
_ANNOUNCEMENTS = (0.02,) * 60 + (0.25,) * 16

_LOOPBACK = "lo"

# From here on a rule's priority is the one that the core gave it; below, it follows from the
# selector.
FIXED_PRIORITIES = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class SeenLink:
    """The inner end of a veth pair; `sound` if the pair is whole, up and as we make it."""

    mac: str
    mtu: int
    addresses: frozenset[IPInterface]
    sound: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What is in the namespace; `prepared` if forwarding, lo and all else are as we make them."""

    prepared: bool
    links: Mapping[str, SeenLink] = dataclasses.field(default_factory=dict)
    host_addresses: frozenset[IPAddress] = frozenset()
    routes: frozenset[Route] = frozenset()
    rules: frozenset[Rule] = frozenset()
    guard: Guard | None = None
    kernel_sas: frozenset[KernelSa] = frozenset()
    kernel_policies: frozenset[KernelPolicy] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class _Routing:
    """The routes and rules of a namespace, and the state of the kernel's in which they are so."""

    state: str
    routes: frozenset[Route] = frozenset()
    rules: frozenset[Rule] = frozenset()


_NOTHING = _Routing("")
# By the namespace's name: what was read last.
_ROUTING: dict[str, _Routing] = {}


def observe(router_id: RouterId, outer: Mapping[str, Sequence[str]], firewall: Firewall) -> Seen:
    """Return what is in the namespace; `outer` tells which outer ends each device should have.

    A link is sound only with exactly one.
    """
    name = name_of(router_id)
    with failing(router_id, "namespace_failed"):
        ours: dict[str, Any] = links.outer_links([n for names in outer.values() for n in names])
        try:
            known = _ROUTING.get(name, _NOTHING)
            seen: dict[str, Any] = routes.observe(name, known.state)
            guard = firewall.observe(name)
            sas, policies = transforms.observe(name)
        except FileNotFoundError:
            forget(router_id, firewall)
            return Seen(prepared=False)
    if seen["state"] != known.state:
        known = _Routing(
            seen["state"],
            frozenset(map(parse_route, seen["routes"])),
            frozenset(parse_rules(seen["rules"])),
        )
        _ROUTING[name] = known
    theirs = seen["links"]
    loopback = theirs.get(_LOOPBACK, {"up": False, "addresses": ()})
    return Seen(
        prepared=seen["prepared"] and loopback["up"],
        links={
            device: _link(link, [ours.get(name) for name in outer.get(device, ())])
            for device, link in theirs.items()
            if device != _LOOPBACK
        },
        host_addresses=frozenset(
            i.ip for i in map(ipaddress.ip_interface, loopback["addresses"]) if _is_host(i)
        ),
        routes=known.routes,
        rules=known.rules,
        guard=guard,
        kernel_sas=sas,
        kernel_policies=policies,
    )


def observe_transforms(router_id: RouterId, known: ObservedNetwork) -> ObservedNetwork | None:
    """Return a network that is known with what charon has in the kernel now, itself if as before.

    None if the namespace isn't there.
    """
    with failing(router_id, "namespace_failed"):
        try:
            sas, policies = transforms.observe(name_of(router_id))
        except FileNotFoundError:
            return None
    if sas is known.kernel_sas and policies is known.kernel_policies:
        return known
    return dataclasses.replace(known, kernel_sas=sas, kernel_policies=policies)


class Remembering(Protocol):
    """Who knows by a namespace what was read of it: a packet filter."""

    def forget(self, namespace: str) -> None:
        """Forget what was read of a namespace that isn't there any more."""
        ...


def forget(router_id: RouterId, firewall: Remembering) -> None:
    """Forget what was read of a router's namespace that isn't there any more, or not ours."""
    name = name_of(router_id)
    firewall.forget(name)
    _ROUTING.pop(name, None)
    transforms.forget(name)


def outer_end(router_id: RouterId, device: str) -> str | None:
    """Return the name of the device's other end; None unless the veth pair is whole."""
    with failing(router_id, "link_failed"):
        name: str | None = links.outer_end(name_of(router_id), device)
        return name


def ensure_link(router_id: RouterId, outer: str, link: Link) -> None:
    """Bring the pair of these two ends to the link's shape, or make it."""
    name = name_of(router_id)
    with failing(router_id, "link_failed"):
        links.ensure_link(name, outer, link.name, link.mac, link.mtu)
        links.set_addresses(name, link.name, sorted(map(str, link.addresses)))


def remove_outer_end(router_id: RouterId, outer: str) -> None:
    """Remove an outer end, and with it the pair; idempotent."""
    with failing(router_id, "link_failed"):
        links.remove_outer_end(outer)


def remove_device(router_id: RouterId, device: str) -> None:
    """Remove a device of the namespace; idempotent."""
    with failing(router_id, "link_failed"):
        links.remove_device(name_of(router_id), device)


def announce(
    router_id: RouterId,
    device: str,
    mac: str,
    addresses: Iterable[IPInterface],
    pauses: Sequence[float] = _ANNOUNCEMENTS,
) -> None:
    """Tell the neighbours where the addresses are now, again after each pause; returns at once."""
    messages = [frames.announcement(mac, interface.ip) for interface in sorted(addresses, key=str)]
    with failing(router_id, "link_failed"):
        packets.send(name_of(router_id), device, messages, pauses)


def tell(router_id: RouterId, device: str, mac: str, notice: bytes) -> None:
    """Tell the other agents on the device's network something, once; returns at once."""
    with failing(router_id, "link_failed"):
        packets.send(name_of(router_id), device, [frames.notice(mac, router_id, notice)], ())


def apply(router_id: RouterId, action: net.InsideAction) -> None:
    """Do one action on routes, rules or the kernel's ESP; idempotent."""
    match action:
        case net.EnsureRoute(route):
            ensure_route(router_id, route)
        case net.RemoveRoute(route):
            remove_route(router_id, route)
        case net.EnsureRule(rule):
            ensure_rule(router_id, rule)
        case net.RemoveRule(rule):
            remove_rule(router_id, rule)
        case net.RemoveKernelSa(sa):
            transforms.remove_sa(router_id, sa)
        case net.EnsureKernelPolicy(policy):
            transforms.ensure_policy(router_id, policy)
        case net.RemoveKernelPolicy(policy):
            transforms.remove_policy(router_id, policy)
        case _:
            assert_never(action)


def ensure_host_address(router_id: RouterId, address: IPAddress) -> None:
    """Put an address on lo; idempotent."""
    with failing(router_id, "link_failed"):
        links.add_address(name_of(router_id), _LOOPBACK, _host(address))


def remove_host_address(router_id: RouterId, address: IPAddress) -> None:
    """Take an address from lo; idempotent."""
    with failing(router_id, "link_failed"):
        links.remove_address(name_of(router_id), _LOOPBACK, _host(address))


def ensure_route(router_id: RouterId, route: Route) -> None:
    """Add or replace a route; Temporary while its device isn't there."""
    with failing(router_id, "link_failed"):
        routes.ensure_route(name_of(router_id), _render_route(route))


def remove_route(router_id: RouterId, route: Route) -> None:
    """Remove a route; idempotent."""
    with failing(router_id, "link_failed"):
        routes.remove_route(name_of(router_id), _render_route(route))


def ensure_rule(router_id: RouterId, rule: Rule) -> None:
    """Add a rule; idempotent."""
    with failing(router_id, "link_failed"):
        routes.ensure_rule(name_of(router_id), _render_rule(rule))


def remove_rule(router_id: RouterId, rule: Rule) -> None:
    """Remove a rule; idempotent."""
    with failing(router_id, "link_failed"):
        routes.remove_rule(name_of(router_id), _render_rule(rule))


def ensure_guard(router_id: RouterId, guard: Guard, firewall: Firewall) -> None:
    """Make it the namespace's guard; what it has in common with the old one isn't touched."""
    with failing(router_id, "guard_failed"):
        firewall.ensure(name_of(router_id), guard)


def priority(selector: TrafficSelector) -> int:
    """Return the rule's priority, below charon's 220: the narrower selector is asked first."""
    narrowness = selector.local.prefixlen + selector.remote.prefixlen
    return 219 - narrowness * 64 // (2 * selector.local.max_prefixlen)


def _is_host(interface: IPInterface) -> bool:
    return interface.network.prefixlen == interface.max_prefixlen


def _host(address: IPAddress) -> str:
    return f"{address}/{address.max_prefixlen}"


def _link(link: Mapping[str, Any], outer: Sequence[dict[str, Any] | None]) -> SeenLink:
    ours = outer[0] if len(outer) == 1 else None
    sound = (
        ours is not None
        and links.is_pair(ours, dict(link))
        and ours["up"]
        and link["up"]
        and ours["mtu"] == link["mtu"]
        and not link["tx_checksum"]
    )
    addresses = frozenset(map(ipaddress.ip_interface, link["addresses"]))
    return SeenLink(link["mac"], link["mtu"], addresses, sound)


def _render_route(route: Route) -> dict[str, Any]:
    return {
        "destination": str(route.destination),
        "device": route.device,
        "gateway": str(route.gateway) if route.gateway else None,
        "table": route.table,
        "mtu": route.mtu,
    }


def parse_route(message: Mapping[str, Any]) -> Route:
    """Return the route of ours that the kernel told of."""
    gateway = message["gateway"]
    return Route(
        ipaddress.ip_network(message["destination"]),
        message["device"],
        ipaddress.ip_address(gateway) if gateway else None,
        message["table"],
        message["mtu"],
    )


def _render_rule(rule: Rule) -> dict[str, Any]:
    return {
        "source": str(rule.selector.local),
        "destination": str(rule.selector.remote),
        "table": rule.table,
        "priority": rule.priority or priority(rule.selector),
        "device": rule.device,
    }


def parse_rules(messages: Iterable[Mapping[str, Any]]) -> Iterable[Rule]:
    """Yield the rules of ours that the kernel told of."""
    for message in messages:
        source = ipaddress.ip_network(message["source"])
        destination = ipaddress.ip_network(message["destination"])
        selector = TrafficSelector(source, destination)
        device = message["device"]
        if device:
            yield Rule(selector, message["table"], message["priority"], device)
        elif message["priority"] == priority(selector):
            yield Rule(selector, message["table"])
        elif message["priority"] >= FIXED_PRIORITIES:
            yield Rule(selector, message["table"], message["priority"])
