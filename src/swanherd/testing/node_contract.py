"""What every Node must do; the fake one and the real one pass it alike."""

# ruff: noqa: S101 - a contract is made of assertions

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable
from typing import Protocol

from swanherd.core import network as net
from swanherd.core.failures import Temporary
from swanherd.core.model import PortId, RouterId, TrafficSelector
from swanherd.core.network import (
    BLACKHOLE,
    PUBLIC_DEVICE,
    TRANSIT_DEVICE,
    TUNNEL_DEVICE,
    Guard,
    GuardPair,
    Link,
    NetworkAction,
    ObservedNetwork,
    Route,
    Rule,
)
from swanherd.reconcile.ports import Node

ROUTER = RouterId("5aa4e7d0-0000-4000-8000-000000000001")
OTHER = RouterId("5aa4e7d1-0000-4000-8000-000000000002")

_ip = ipaddress.ip_address
_interface = ipaddress.ip_interface
_network = ipaddress.ip_network

TRANSIT = Link(
    TRANSIT_DEVICE,
    PortId("transit-port"),
    "fa:16:3e:00:00:01",
    1442,
    frozenset({_interface("169.254.0.2/30"), _interface("fd99::2/126")}),
)
PUBLIC = Link(
    PUBLIC_DEVICE,
    PortId("public-port"),
    "fa:16:3e:00:00:02",
    1500,
    frozenset({_interface("203.0.113.20/24"), _interface("2001:db8:f::20/64")}),
)
SELECTORS = (
    TrafficSelector(_network("10.1.0.0/24"), _network("10.9.0.0/24")),
    TrafficSelector(_network("fd01::/64"), _network("fd09::/64")),
)
HOST_ADDRESSES = (_ip("10.1.0.1"), _ip("fd01::1"))
LINK_ROUTES = (
    Route(_network("0.0.0.0/0"), PUBLIC_DEVICE, _ip("203.0.113.1")),
    # Neutron allows a gateway that isn't in the subnet.
    Route(_network("::/0"), PUBLIC_DEVICE, _ip("2001:db8:e::1")),
    Route(_network("10.1.0.0/24"), TRANSIT_DEVICE, _ip("169.254.0.1")),
    Route(_network("fd01::/64"), TRANSIT_DEVICE, _ip("fd99::1")),
)
TUNNEL_ROUTES = (
    Route(_network("10.9.0.0/24"), TUNNEL_DEVICE, None, 21360, 1360),
    Route(_network("fd09::/64"), TUNNEL_DEVICE, None, 21360, 1360),
)
EVERYTHING = tuple(TrafficSelector(n, n) for n in map(_network, ("0.0.0.0/0", "::/0")))
RULES = tuple(Rule(selector, 21360) for selector in SELECTORS)
GUARD = Guard(
    TRANSIT_DEVICE,
    PUBLIC_DEVICE,
    TUNNEL_DEVICE,
    frozenset(GuardPair(selector, 1300) for selector in SELECTORS),
)


class Hands(Protocol):
    """What somebody does to the node by hand, or charon by starting and dying."""

    def lose_namespace(self, router_id: RouterId) -> None:
        """Delete the namespace."""
        ...

    def lose_guard(self, router_id: RouterId) -> None:
        """Remove a rule of the guard."""
        ...

    def lose_link(self, router_id: RouterId, name: str) -> None:
        """Delete the device."""
        ...

    def lose_route(self, router_id: RouterId, route: Route) -> None:
        """Delete the route."""
        ...

    def lose_rule(self, router_id: RouterId, rule: Rule) -> None:
        """Delete the routing rule."""
        ...

    def lose_address(self, router_id: RouterId, name: str, address: str) -> None:
        """Delete an address, given without its length, from the device."""
        ...

    def make_tunnel(self, router_id: RouterId) -> None:
        """Make the tunnel device and set it up."""
        ...

    def remove_tunnel(self, router_id: RouterId) -> None:
        """Remove the tunnel device."""
        ...


def early_actions() -> list[NetworkAction]:
    """Return what is done before charon runs."""
    return [
        net.EnsureNamespace(),
        net.EnsureGuard(GUARD),
        net.EnsureLink(PUBLIC),
        net.EnsureLink(TRANSIT),
        *map(net.EnsureHostAddress, HOST_ADDRESSES),
        *map(net.EnsureRoute, LINK_ROUTES),
    ]


def late_actions() -> list[NetworkAction]:
    """Return what is done once the tunnel device is there."""
    return [*map(net.EnsureRoute, TUNNEL_ROUTES), *map(net.EnsureRule, RULES)]


def apply_all(node: Node, router_id: RouterId, actions: Iterable[NetworkAction]) -> None:
    """Do the actions in their order."""
    for action in actions:
        node.apply(router_id, action)


def build(node: Node, hands: Hands, router_id: RouterId = ROUTER) -> None:
    """Make everything, the tunnel device too."""
    apply_all(node, router_id, early_actions())
    hands.make_tunnel(router_id)
    apply_all(node, router_id, late_actions())


def assert_whole(seen: ObservedNetwork) -> None:
    """Check that everything that `build` makes is there, and nothing else of ours."""
    devices = frozenset({PUBLIC_DEVICE, TRANSIT_DEVICE, TUNNEL_DEVICE})
    expected = ObservedNetwork(
        exists=True,
        links=frozenset({PUBLIC, TRANSIT}),
        host_addresses=frozenset(HOST_ADDRESSES),
        routes=frozenset(LINK_ROUTES + TUNNEL_ROUTES),
        rules=frozenset(RULES),
        guard=GUARD,
        devices=devices,
    )
    assert expected == seen


class NodeContract:
    """The laws. A subclass in a test module provides the fixtures `node` and `hands`."""

    def test_nothing_is_nothing(self, node: Node) -> None:
        """Of a router that isn't on the node nothing is observed, and removing it is no error."""
        assert ObservedNetwork(exists=False) == node.observe(ROUTER)
        assert ROUTER not in node.routers()
        removals: list[NetworkAction] = [
            net.RemoveHostAddress(HOST_ADDRESSES[0]),
            net.RemoveRoute(LINK_ROUTES[0]),
            net.RemoveRule(RULES[0]),
            net.RemoveLink(TRANSIT_DEVICE),
            net.RemoveNamespace(),
        ]
        apply_all(node, ROUTER, removals)
        assert ROUTER not in node.routers()

    def test_a_new_namespace_is_empty(self, node: Node) -> None:
        """A namespace that was just made has nothing of ours but itself."""
        node.apply(ROUTER, net.EnsureNamespace())
        assert ObservedNetwork(exists=True) == node.observe(ROUTER)
        assert ROUTER in node.routers()

    def test_what_was_applied_is_observed(self, node: Node, hands: Hands) -> None:
        """After all actions exactly what they asked for is observed."""
        build(node, hands)
        assert_whole(node.observe(ROUTER))

    def test_actions_are_idempotent(self, node: Node, hands: Hands) -> None:
        """Everything done twice is as everything done once."""
        build(node, hands)
        apply_all(node, ROUTER, [*early_actions(), *late_actions()])
        assert_whole(node.observe(ROUTER))

    def test_removals_undo(self, node: Node, hands: Hands) -> None:
        """Each removal removes its own, twice as well as once, and nothing else of that kind."""
        build(node, hands)
        removals: list[NetworkAction] = [
            net.RemoveRule(RULES[0]),
            net.RemoveRoute(TUNNEL_ROUTES[0]),
            net.RemoveHostAddress(HOST_ADDRESSES[0]),
        ]
        apply_all(node, ROUTER, [*removals, *removals])
        seen = node.observe(ROUTER)
        assert frozenset(RULES[1:]) == seen.rules
        assert frozenset(LINK_ROUTES + TUNNEL_ROUTES[1:]) == seen.routes
        assert frozenset(HOST_ADDRESSES[1:]) == seen.host_addresses
        apply_all(node, ROUTER, [net.RemoveLink(TRANSIT_DEVICE), net.RemoveLink(TRANSIT_DEVICE)])
        seen = node.observe(ROUTER)
        assert frozenset({PUBLIC}) == seen.links
        assert TRANSIT_DEVICE not in {route.device for route in seen.routes}

    def test_removing_the_namespace_leaves_nothing(self, node: Node, hands: Hands) -> None:
        """After RemoveNamespace the router isn't on the node any more; it may come again."""
        build(node, hands)
        hands.remove_tunnel(ROUTER)
        node.apply(ROUTER, net.RemoveNamespace())
        assert ObservedNetwork(exists=False) == node.observe(ROUTER)
        assert ROUTER not in node.routers()
        build(node, hands)
        assert_whole(node.observe(ROUTER))

    def test_a_router_has_no_effect_on_another(self, node: Node, hands: Hands) -> None:
        """What is done to one router isn't seen in another."""
        build(node, hands)
        other = dataclasses.replace(TRANSIT, port_id=PortId("other-port"))
        apply_all(node, OTHER, [net.EnsureNamespace(), net.EnsureLink(other)])
        assert_whole(node.observe(ROUTER))
        node.apply(OTHER, net.RemoveNamespace())
        assert_whole(node.observe(ROUTER))

    def test_a_link_changes_its_shape(self, node: Node, hands: Hands) -> None:
        """A link with another address, MTU, MAC or port is observed as that after EnsureLink."""
        build(node, hands)
        changed = Link(
            PUBLIC_DEVICE,
            PortId("another-port"),
            "fa:16:3e:00:00:03",
            1400,
            frozenset({_interface("203.0.113.21/24")}),
        )
        node.apply(ROUTER, net.EnsureLink(changed))
        assert frozenset({changed, TRANSIT}) == node.observe(ROUTER).links
        apply_all(node, ROUTER, [*early_actions(), *late_actions()])
        assert_whole(node.observe(ROUTER))

    def test_a_guard_replaces_another(self, node: Node, hands: Hands) -> None:
        """The last guard is the one that is observed, whatever was there before."""
        build(node, hands)
        pair = GuardPair(TrafficSelector(_network("0.0.0.0/0"), _network("10.0.0.0/8")), 1200)
        guards = [
            dataclasses.replace(GUARD, pairs=GUARD.pairs | {pair}),
            dataclasses.replace(GUARD, pairs=frozenset({pair})),
            dataclasses.replace(GUARD, silent=True),
            dataclasses.replace(GUARD, tunnel=None),
            dataclasses.replace(GUARD, pairs=frozenset()),
            GUARD,
        ]
        for guard in guards:
            node.apply(ROUTER, net.EnsureGuard(guard))
            assert guard == node.observe(ROUTER).guard

    def test_a_route_is_replaced(self, node: Node, hands: Hands) -> None:
        """A route of the same table and destination takes the other's place."""
        build(node, hands)
        for old in TUNNEL_ROUTES:
            node.apply(ROUTER, net.EnsureRoute(dataclasses.replace(old, mtu=1300)))
        expected = {dataclasses.replace(old, mtu=1300) for old in TUNNEL_ROUTES}
        assert expected | set(LINK_ROUTES) == node.observe(ROUTER).routes

    def test_a_rule_of_a_device_is_another(self, node: Node, hands: Hands) -> None:
        """It is told from the same rule for everybody; its device needn't be there."""
        build(node, hands)
        closed = Rule(SELECTORS[0], BLACKHOLE, 1000)
        for_one = dataclasses.replace(closed, device="another0")
        all_of_one = {Rule(s, BLACKHOLE, 100, "another0") for s in EVERYTHING}
        made = (closed, for_one, *all_of_one)
        for rule in made:
            apply_all(node, ROUTER, [net.EnsureRule(rule), net.EnsureRule(rule)])
        assert {*made, *RULES} == node.observe(ROUTER).rules
        apply_all(node, ROUTER, map(net.RemoveRule, (for_one, *all_of_one)))
        assert {closed, *RULES} == node.observe(ROUTER).rules
        node.apply(ROUTER, net.RemoveRule(closed))
        assert_whole(node.observe(ROUTER))

    def test_without_a_namespace_it_is_temporary(self, node: Node) -> None:
        """What needs a namespace or a device that isn't there can be tried again."""
        needing: list[NetworkAction] = [
            net.EnsureGuard(GUARD),
            net.EnsureLink(TRANSIT),
            net.EnsureHostAddress(HOST_ADDRESSES[0]),
            net.EnsureRoute(LINK_ROUTES[0]),
            net.EnsureRule(RULES[0]),
        ]
        for action in needing:
            assert _is_temporary(node, action)
        node.apply(ROUTER, net.EnsureNamespace())
        assert _is_temporary(node, net.EnsureRoute(TUNNEL_ROUTES[0]))

    def test_every_loss_is_seen_and_healed(self, node: Node, hands: Hands) -> None:
        """Whatever is removed by hand isn't observed any more, until it is applied again."""
        build(node, hands)
        hands.lose_guard(ROUTER)
        assert node.observe(ROUTER).guard is None
        hands.lose_route(ROUTER, LINK_ROUTES[0])
        hands.lose_route(ROUTER, TUNNEL_ROUTES[1])
        lost = {LINK_ROUTES[0], TUNNEL_ROUTES[1]}
        assert not lost & node.observe(ROUTER).routes
        hands.lose_rule(ROUTER, RULES[0])
        assert frozenset(RULES[1:]) == node.observe(ROUTER).rules
        hands.lose_address(ROUTER, "lo", str(HOST_ADDRESSES[1]))
        assert frozenset(HOST_ADDRESSES[:1]) == node.observe(ROUTER).host_addresses
        hands.lose_address(ROUTER, PUBLIC_DEVICE, "203.0.113.20")
        assert PUBLIC not in node.observe(ROUTER).links
        hands.lose_link(ROUTER, TRANSIT_DEVICE)
        seen = node.observe(ROUTER)
        assert TRANSIT not in seen.links
        assert TRANSIT_DEVICE not in {r.device for r in seen.routes}
        # By now only a part of it is left; it can be removed nevertheless.
        node.apply(ROUTER, net.RemoveLink(TRANSIT_DEVICE))
        apply_all(node, ROUTER, [*early_actions(), *late_actions()])
        assert_whole(node.observe(ROUTER))

    def test_a_lost_namespace_is_seen_and_healed(self, node: Node, hands: Hands) -> None:
        """A namespace that was deleted by hand is observed as gone, and comes back whole."""
        build(node, hands)
        hands.lose_namespace(ROUTER)
        seen = node.observe(ROUTER)
        assert not seen.exists
        assert not seen.links & {PUBLIC, TRANSIT}
        assert (frozenset(), None) == (seen.routes, seen.guard)
        assert ROUTER in node.routers()
        build(node, hands)
        assert_whole(node.observe(ROUTER))

    def test_leftovers_of_a_lost_namespace_are_removed(self, node: Node, hands: Hands) -> None:
        """What a namespace that was deleted by hand left behind goes with RemoveNamespace."""
        build(node, hands)
        hands.lose_namespace(ROUTER)
        node.apply(ROUTER, net.RemoveNamespace())
        assert ObservedNetwork(exists=False) == node.observe(ROUTER)
        assert ROUTER not in node.routers()

    def test_policies_of_ours_are_replaced_and_removed(self, node: Node) -> None:
        """One of each selector and direction; one that isn't there can be removed, too."""
        node.apply(ROUTER, net.EnsureNamespace())
        one = net.Welcome(((50, 1 << 31 | 5),), (1 << 31) - 1)
        # What goes out has to name one tunnel, and its ends.
        ends = ipaddress.ip_address("2001:db8::1"), ipaddress.ip_address("2001:db8::2")
        ways = {
            net.Direction.IN: net.Welcome(((50, 1 << 31 | 5), (51, 6)), 9),
            net.Direction.FORWARD: net.Welcome(((50, 6), (51, 6)), 9),
            net.Direction.OUT: net.Welcome(((51, 6),), 9, ends),
        }
        first = {net.KernelPolicy(s, d, way) for s in SELECTORS for d, way in ways.items()}
        other = {p if p.direction == "out" else dataclasses.replace(p, welcome=one) for p in first}
        apply_all(node, ROUTER, map(net.EnsureKernelPolicy, (*other, *first, *first)))
        assert first == node.observe(ROUTER).kernel_policies
        known = ObservedNetwork(exists=True)
        first_seen = dataclasses.replace(known, kernel_policies=frozenset(first))
        assert first_seen == node.observe(ROUTER, known), "of what is known nothing else is read"
        gone = {policy for policy in first if policy.direction is not net.Direction.FORWARD}
        apply_all(node, ROUTER, map(net.RemoveKernelPolicy, (*gone, *gone)))
        assert first - gone == node.observe(ROUTER).kernel_policies

    def test_routes_die_with_the_tunnel(self, node: Node, hands: Hands) -> None:
        """When the tunnel device is gone so are its routes; they come back with it."""
        build(node, hands)
        hands.remove_tunnel(ROUTER)
        seen = node.observe(ROUTER)
        assert frozenset(LINK_ROUTES) == seen.routes
        assert TUNNEL_DEVICE not in seen.devices
        hands.make_tunnel(ROUTER)
        apply_all(node, ROUTER, late_actions())
        assert_whole(node.observe(ROUTER))


def _is_temporary(node: Node, action: NetworkAction) -> bool:
    try:
        node.apply(ROUTER, action)
    except Temporary as failure:
        return failure.router_id == ROUTER
    return False
