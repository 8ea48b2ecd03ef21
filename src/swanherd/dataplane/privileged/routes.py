"""Routes and routing rules of a router's namespace; ours carry a protocol number of their own."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Mapping
from typing import Any

from swanherd.dataplane.privileged import (
    default,
    dumps,
    inside,
    links,
    listings,
    namespaces,
    removals,
)

# Nobody's in iproute2's rt_protos.
PROTOCOL = 0x5A

# linux/rtnetlink.h: 1 << RTAX_MTU in RTAX_LOCK
_LOCK_MTU = 1 << 2
_RTNH_F_ONLINK = 4

# linux/fib_rules.h: a rule that looks nothing up but answers "unreachable". Its table is 0.
_FR_ACT_UNREACHABLE = 7


@default.entrypoint
def ensure_route(namespace: str, route: Mapping[str, Any]) -> None:
    """Add or replace a route: destination, device, gateway or None, table, mtu (0: none)."""
    inside.within(namespace, lambda: _change_route("replace", route))


@default.entrypoint
def remove_route(namespace: str, route: Mapping[str, Any]) -> None:
    """Remove exactly this route; idempotent."""
    ignoring = inside.ignoring(errno.ESRCH, errno.ENODEV, errno.ENOENT)
    with ignoring, removals.by_us(namespace):
        inside.within(namespace, lambda: _change_route("del", route))


@default.entrypoint
def ensure_rule(namespace: str, rule: Mapping[str, Any]) -> None:
    """Add a rule: source, destination, table, priority, device or ""; idempotent."""
    with inside.ignoring(errno.EEXIST):
        inside.within(namespace, lambda: _change_rule("add", rule))


@default.entrypoint
def remove_rule(namespace: str, rule: Mapping[str, Any]) -> None:
    """Remove exactly this rule; idempotent."""
    with inside.ignoring(errno.ENOENT), removals.by_us(namespace):
        inside.within(namespace, lambda: _change_rule("del", rule))


@default.entrypoint
def remove_ours(namespace: str) -> None:
    """Remove every rule and route of ours; FileNotFoundError if the namespace isn't there."""

    def work() -> None:
        with listings.listing() as listing:
            names = {link["index"]: name for name, link in listing.links().items()}
            ours, theirs = listing.routing(PROTOCOL)
        routes = list(listings.parse_routes(ours, PROTOCOL, names))
        rules = list(listings.parse_rules(theirs, PROTOCOL))
        for rule in rules:
            with inside.ignoring(errno.ENOENT):
                _change_rule("del", rule)
        for route in routes:
            with inside.ignoring(errno.ESRCH, errno.ENODEV, errno.ENOENT):
                _change_route("del", route)

    inside.within(namespace, work)


@default.entrypoint
def observe(namespace: str, known: str = "") -> dict[str, Any]:
    """Return links, addresses, and our routes and rules; FileNotFoundError if it isn't there.

    `state` is of the routes and rules; they are left out if it is what is `known` already.
    """
    return inside.within(namespace, lambda: _observe(known))


def _observe(known: str) -> dict[str, Any]:
    with listings.listing() as listing:
        found = listing.links()
        addresses, refused = listing.addresses_by_use()
        routes, rules = listing.routing(PROTOCOL)
    names = {link["index"]: name for name, link in found.items()}
    for name, link in found.items():
        link["refused"] = refused.get(link["index"], [])
        link["addresses"] = addresses.get(link["index"], []) + link["refused"]
        link["tx_checksum"] = link["up"] and links.has_tx_checksum(name)
    # Routes tell their device by its index. What changes while we read is another state.
    state = f"{dumps.digest((routes, rules))} {sorted(names.items())}"
    seen = {"prepared": namespaces.is_prepared(), "links": found, "state": state}
    if state == known:
        return seen
    return seen | {
        "routes": list(listings.parse_routes(routes, PROTOCOL, names)),
        "rules": list(listings.parse_rules(rules, PROTOCOL)),
    }


def _family(network: str) -> int:
    version = ipaddress.ip_network(network).version
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _change_route(command: str, route: Mapping[str, Any]) -> None:
    device = listings.link(route["device"])
    if device is None:
        raise OSError(errno.ENODEV, f"there is no device {route['device']}")
    with inside.netlink() as ip:
        arguments: dict[str, Any] = {
            "dst": route["destination"],
            "family": _family(route["destination"]),
            "oif": device["index"],
            "table": route["table"],
            "proto": PROTOCOL,
        }
        if route["gateway"]:
            # Neutron allows a gateway outside of the subnet.
            arguments |= {"gateway": route["gateway"], "flags": _RTNH_F_ONLINK}
        if route["mtu"] and command != "del":
            arguments["metrics"] = {"mtu": route["mtu"]}
            # IPv6 forwarding heeds a route's MTU only if it is locked (ip6_dst_mtu_maybe_forward).
            if arguments["family"] == socket.AF_INET6:
                arguments["metrics"]["lock"] = _LOCK_MTU
        ip.route(command, **arguments)


def _change_rule(command: str, rule: Mapping[str, Any]) -> None:
    source = ipaddress.ip_network(rule["source"])
    destination = ipaddress.ip_network(rule["destination"])
    arguments: dict[str, Any] = {
        "family": _family(rule["source"]),
        "priority": rule["priority"],
        "protocol": PROTOCOL,
    }
    for name, network in (("src", source), ("dst", destination)):
        if network.prefixlen:  # pyroute2 0.8 has no words for any address
            arguments |= {name: str(network.network_address), f"{name}_len": network.prefixlen}
    if rule["table"] == listings.BLACKHOLE:
        arguments["action"] = listings.FR_ACT_BLACKHOLE
    elif rule["table"]:
        arguments["table"] = rule["table"]
    else:
        arguments["action"] = _FR_ACT_UNREACHABLE
    if rule["device"]:
        arguments["iifname"] = rule["device"]
    with inside.netlink() as ip:
        ip.rule(command, **arguments)
