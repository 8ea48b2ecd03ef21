"""The network of this node's VPN namespaces beside OVN: veth pairs into the integration bridge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, assert_never

from swanherd.core import network as net
from swanherd.core.failures import Temporary
from swanherd.core.model import PortId, Reason, RouterId
from swanherd.core.network import PUBLIC_DEVICE, TRANSIT_DEVICE, NetworkAction, ObservedNetwork
from swanherd.dataplane import namespace, network
from swanherd.ovn.vswitch import PluggedPort

# The outer end is named by the device and the router: at most 15 bytes (linux/if.h, IFNAMSIZ).
_OUTER = {TRANSIT_DEVICE: "vt", PUBLIC_DEVICE: "vp"}
_DIGITS = 11


class Bridge(Protocol):
    """What the node needs of Open vSwitch; `swanherd.ovn.vswitch.Vswitch` fits."""

    def plug(self, port_name: str, port_id: PortId, mac: str, router_id: RouterId) -> None:
        """Make the device a port of the integration bridge; idempotent."""
        ...

    def unplug(self, port_name: str) -> None:
        """Remove the port; idempotent."""
        ...

    def ports(self) -> Mapping[str, PluggedPort]:
        """Return our ports by device name."""
        ...


class OvnNode:
    """Implements `reconcile.ports.Node` with namespaces `qvpn-<router_id>`."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def routers(self) -> frozenset[RouterId]:
        """Return every router that has a namespace or a port in the bridge."""
        plugged = (port.router_id for port in self._bridge.ports().values())
        return namespace.routers() | frozenset(plugged)

    def observe(self, router_id: RouterId) -> ObservedNetwork:
        """Return what the namespace is; a link of which only a part is left has no port id."""
        outer = _outer_names(router_id)
        seen = network.observe(router_id, outer)
        ports = {n: p for n, p in self._bridge.ports().items() if p.router_id == router_id}
        hollow = {
            net.Link(device, PortId(""), "", 0, frozenset())
            for device, name in outer.items()
            if device not in seen.links and (name in ports or name in seen.outer)
        }
        return ObservedNetwork(
            exists=seen.prepared,
            links=frozenset(
                _link(device, link, ports.get(outer[device]))
                for device, link in seen.links.items()
                if device in outer
            )
            | hollow,
            host_addresses=seen.host_addresses,
            routes=seen.routes,
            rules=seen.rules,
            guard=seen.guard,
            devices=frozenset(seen.links),
        )

    def apply(  # noqa: C901 - one flat match, a line for each action
        self, router_id: RouterId, action: NetworkAction
    ) -> None:
        """Do one action; idempotent."""
        match action:
            case net.EnsureNamespace():
                namespace.ensure(router_id)
            case net.RemoveNamespace():
                for device in _OUTER:
                    self._remove_link(router_id, device)
                namespace.remove(router_id)
            case net.EnsureGuard(guard):
                network.ensure_guard(router_id, guard)
            case net.EnsureLink(link):
                self._ensure_link(router_id, link)
            case net.RemoveLink(name):
                self._remove_link(router_id, name)
            case net.EnsureHostAddress(address):
                network.ensure_host_address(router_id, address)
            case net.RemoveHostAddress(address):
                network.remove_host_address(router_id, address)
            case net.EnsureRoute(route):
                network.ensure_route(router_id, route)
            case net.RemoveRoute(route):
                network.remove_route(router_id, route)
            case net.EnsureRule(rule):
                network.ensure_rule(router_id, rule)
            case net.RemoveRule(rule):
                network.remove_rule(router_id, rule)
            case _:
                assert_never(action)

    def announce(self, router_id: RouterId, device: str) -> None:
        """Tell the device's neighbours that its addresses are here now; returns at once."""
        seen = network.observe(router_id, _outer_names(router_id)).links.get(device)
        if seen is None:
            raise Temporary(router_id, Reason("link_failed", f"there is no device {device}"))
        network.announce(router_id, device, seen.mac, seen.addresses)

    def _ensure_link(self, router_id: RouterId, link: net.Link) -> None:
        outer = _outer_names(router_id)[link.name]
        made = network.ensure_link(router_id, outer, link)
        self._bridge.plug(outer, link.port_id, link.mac, router_id)
        if made:
            network.announce(router_id, link.name, link.mac, link.addresses)

    def _remove_link(self, router_id: RouterId, device: str) -> None:
        outer = _outer_names(router_id)[device]
        self._bridge.unplug(outer)
        network.remove_link(router_id, outer, device)


def _outer_names(router_id: RouterId) -> dict[str, str]:
    """Return the names of the veth pairs' outer ends by device."""
    digits = router_id.replace("-", "")[:_DIGITS]
    return {device: prefix + digits for device, prefix in _OUTER.items()}


def _link(device: str, seen: network.SeenLink, port: PluggedPort | None) -> net.Link:
    """Return the link; one that isn't as it was made has no port id, and so differs."""
    whole = seen.sound and port is not None and port.mac == seen.mac
    port_id = port.port_id if port is not None and whole else PortId("")
    return net.Link(device, port_id, seen.mac, seen.mtu, seen.addresses)
