"""A node's network in memory, with faults to inject and things to lose."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable
from typing import Any

from swanherd.core import network as net
from swanherd.core.failures import Failure, Temporary
from swanherd.core.model import IPAddress, PortId, Reason, RouterId
from swanherd.core.network import NetworkAction, ObservedNetwork


class FakeNode:
    """Implements `reconcile.ports.Node`; passes the same contract as the real one.

    `applied` is every action that took effect, in order, with its router. `devices` and
    `addresses` are in every namespace from its beginning, as in one that Neutron made.
    """

    def __init__(self, devices: Iterable[str] = (), addresses: Iterable[IPAddress] = ()) -> None:
        self._beginning = ObservedNetwork(
            exists=True, devices=frozenset(devices), addresses=frozenset(addresses)
        )
        self.applied: list[tuple[RouterId, NetworkAction]] = []
        self._networks: dict[RouterId, ObservedNetwork] = {}
        self._faults: dict[int, type[Failure]] = {}
        self._calls = 0
        self._lock = threading.RLock()

    def routers(self) -> frozenset[RouterId]:
        """Return every router that has a namespace, or leftovers of one."""
        with self._lock:
            return frozenset(self._networks)

    def observe(
        self, router_id: RouterId, known: ObservedNetwork | None = None
    ) -> ObservedNetwork:
        """Return what the router's namespace is, or what is `known` with what XFRM has."""
        with self._lock:
            now = self._networks.get(router_id, ObservedNetwork(exists=False))
        if known is None or not now.exists:
            return now
        sas, policies = now.kernel_sas, now.kernel_policies
        return dataclasses.replace(known, kernel_sas=sas, kernel_policies=policies)

    def apply(self, router_id: RouterId, action: NetworkAction) -> None:
        """Do one action, or raise the failure that was injected for this call."""
        with self._lock:
            self._calls += 1
            if kind := self._faults.pop(self._calls, None):
                raise kind(router_id, Reason("injected", f"call {self._calls} was to fail"))
            before = self.observe(router_id)
            after = _after(router_id, before, action)
            if after is None:
                self._networks.pop(router_id, None)
            elif isinstance(action, net.EnsureNamespace) and not before.exists:
                self._networks[router_id] = self._beginning
            else:
                self._networks[router_id] = after
            self.applied.append((router_id, action))

    # What a test does to the node

    def fail(self, kind: type[Failure], calls: Iterable[int] = (1,)) -> None:
        """Let the nth next applies raise this kind of failure; 1 is the very next."""
        with self._lock:
            self._faults |= {self._calls + n: kind for n in calls}

    def drift(self, router_id: RouterId, **changes: Any) -> None:
        """Change fields of what is observed behind everyone's back."""
        with self._lock:
            observed = self._networks[router_id]
            self._networks[router_id] = dataclasses.replace(observed, **changes)

    def lose_namespace(self, router_id: RouterId) -> None:
        """Delete the namespace by hand; the ports in the bridge stay."""
        with self._lock:
            left = frozenset(_hollow(link.name) for link in self._networks[router_id].links)
            if left:
                self._networks[router_id] = ObservedNetwork(exists=False, links=left)
            else:
                del self._networks[router_id]

    def lose_link(self, router_id: RouterId, name: str) -> None:
        """Delete a link by hand; its routes go with it, its port in the bridge stays."""
        with self._lock:
            rest = _without_link(self._networks[router_id], name)
            self._networks[router_id] = dataclasses.replace(
                rest, links=rest.links | {_hollow(name)}
            )

    def add_device(self, router_id: RouterId, name: str) -> None:
        """Make a device that isn't ours, such as the one that charon makes; idempotent."""
        with self._lock:
            if observed := self._networks.get(router_id):
                self.drift(router_id, devices=observed.devices | {name})

    def remove_device(self, router_id: RouterId, name: str) -> None:
        """Remove such a device, if it is there; its routes go with it."""
        with self._lock:
            if router_id in self._networks:
                self._networks[router_id] = _without_device(self._networks[router_id], name)


def _after(
    router_id: RouterId, observed: ObservedNetwork, action: NetworkAction
) -> ObservedNetwork | None:
    """Return what the network is after the action; None if nothing is left."""
    if isinstance(action, net.RemoveNamespace):
        return None
    if isinstance(action, net.EnsureNamespace):
        return observed if observed.exists else ObservedNetwork(exists=True)
    if not observed.exists:
        if isinstance(action, _REMOVALS):
            return _after_removal_of_leftover(observed, action)
        raise Temporary(router_id, Reason("namespace_failed", "there is no such namespace"))
    if isinstance(action, net.EnsureRoute) and action.route.device not in observed.devices:
        text = f"there is no device {action.route.device}"
        raise Temporary(router_id, Reason("link_failed", text))
    if isinstance(action, net.AwaitAddress) and action.address not in observed.addresses:
        raise Temporary(router_id, Reason("router_address_missing", f"no {action.address}"))
    if isinstance(action, net.ClaimAgain):
        raise Temporary(router_id, Reason("router_address_duplicate", f"{action.duplicate}"))
    return _EFFECTS[type(action)](observed, action)


def _after_removal_of_leftover(
    observed: ObservedNetwork, action: NetworkAction
) -> ObservedNetwork | None:
    if not isinstance(action, net.RemoveLink):
        return observed if observed.links else None
    left = observed.links - {_hollow(action.name)}
    return dataclasses.replace(observed, links=left) if left else None


def _hollow(name: str) -> net.Link:
    """Return what is observed of a link of which only the port in the bridge is left."""
    return net.Link(name, PortId(""), "", 0, frozenset())


def _without_device(observed: ObservedNetwork, name: str) -> ObservedNetwork:
    return dataclasses.replace(
        observed,
        devices=observed.devices - {name},
        routes=frozenset(r for r in observed.routes if r.device != name),
    )


def _without_link(observed: ObservedNetwork, name: str) -> ObservedNetwork:
    links = frozenset(link for link in observed.links if link.name != name)
    return dataclasses.replace(_without_device(observed, name), links=links)


def _with_link(observed: ObservedNetwork, link: net.Link) -> ObservedNetwork:
    if link in observed.links:
        return observed
    observed = _without_link(observed, link.name)
    return dataclasses.replace(
        observed, links=observed.links | {link}, devices=observed.devices | {link.name}
    )


def _with_route(observed: ObservedNetwork, route: net.Route) -> ObservedNetwork:
    """Replace the route of the same table and destination, as the kernel does."""
    key = (route.table, route.destination)
    others = {r for r in observed.routes if (r.table, r.destination) != key}
    return dataclasses.replace(observed, routes=frozenset(others | {route}))


def _with_policy(observed: ObservedNetwork, policy: net.KernelPolicy) -> ObservedNetwork:
    """Replace the one of ours with the same selector and direction, as the kernel does."""
    others = {
        p
        for p in observed.kernel_policies
        if p.welcome is None or (p.selector, p.direction) != (policy.selector, policy.direction)
    }
    return dataclasses.replace(observed, kernel_policies=frozenset(others | {policy}))


_REMOVALS = (
    net.RemoveLink,
    net.RemoveHostAddress,
    net.RemoveRoute,
    net.RemoveRule,
    net.RemoveKernelSa,
    net.RemoveKernelPolicy,
)

_EFFECTS: dict[type, Callable[[ObservedNetwork, Any], ObservedNetwork]] = {
    net.AwaitAddress: lambda o, _: o,
    net.EnsureGuard: lambda o, a: dataclasses.replace(o, guard=a.guard),
    net.EnsureLink: lambda o, a: _with_link(o, a.link),
    net.RemoveLink: lambda o, a: _without_link(o, a.name),
    net.EnsureHostAddress: lambda o, a: dataclasses.replace(
        o, host_addresses=o.host_addresses | {a.address}
    ),
    net.RemoveHostAddress: lambda o, a: dataclasses.replace(
        o, host_addresses=o.host_addresses - {a.address}
    ),
    net.EnsureRoute: lambda o, a: _with_route(o, a.route),
    net.RemoveRoute: lambda o, a: dataclasses.replace(o, routes=o.routes - {a.route}),
    net.EnsureRule: lambda o, a: dataclasses.replace(o, rules=o.rules | {a.rule}),
    net.RemoveRule: lambda o, a: dataclasses.replace(o, rules=o.rules - {a.rule}),
    net.RemoveKernelSa: lambda o, a: dataclasses.replace(o, kernel_sas=o.kernel_sas - {a.sa}),
    net.EnsureKernelPolicy: lambda o, a: _with_policy(o, a.policy),
    net.RemoveKernelPolicy: lambda o, a: dataclasses.replace(
        o, kernel_policies=o.kernel_policies - {a.policy}
    ),
}
