"""The network of this node's VPN namespaces beside OVN: veth pairs into the integration bridge."""

from __future__ import annotations

import itertools
import logging
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from swanherd.core import network as net
from swanherd.core.failures import Temporary
from swanherd.core.model import PortId, Reason, RouterId
from swanherd.core.network import PUBLIC_DEVICE, TRANSIT_DEVICE, NetworkAction, ObservedNetwork
from swanherd.dataplane import guards, namespace, network, predecessor
from swanherd.dataplane.guards import Firewall
from swanherd.ovn.vswitch import PluggedPort

LOG = logging.getLogger(__name__)

# The outer end is named by the device, the router and a generation, in at most 15 bytes
# (linux/if.h, IFNAMSIZ). ovs-vswitchd goes on with the device that it has opened when another one
# takes the name, so a pair that is made anew has another name.
_OUTER = {TRANSIT_DEVICE: "vt", PUBLIC_DEVICE: "vp"}
_DIGITS = 11
_GENERATIONS = string.digits + string.ascii_lowercase


class Bridge(Protocol):
    """What the node needs of Open vSwitch; `swanherd.ovn.vswitch.Vswitch` fits."""

    def plug(self, port_name: str, port_id: PortId, mac: str, router_id: RouterId) -> None:
        """Make the device a port of the integration bridge; idempotent."""
        ...

    def unplug(self, port_name: str) -> None:
        """Remove the port; idempotent."""
        ...

    def evict(self, port_name: str, router_id: RouterId) -> None:
        """Remove a port that isn't ours; idempotent."""
        ...

    def ports(self) -> Mapping[str, PluggedPort]:
        """Return our ports by device name."""
        ...


class OvnNode:
    """Implements `reconcile.ports.Node` with namespaces `qvpn-<router_id>`.

    `firewall` writes the guards; None means what the kernel has. `maker` makes the namespaces.
    """

    def __init__(
        self,
        bridge: Bridge,
        firewall: Firewall | None = None,
        maker: namespace.Maker = namespace.HERE,
    ) -> None:
        self._bridge = bridge
        self._maker = maker
        self._firewall = firewall or guards.choose()
        self._generations = itertools.cycle(_GENERATIONS)

    def routers(self) -> frozenset[RouterId]:
        """Return every router that has a namespace of ours or a port in the bridge.

        A namespace of neutron-vpnaas carries its tunnels until the router is taken over, and one
        that its agent has just made will, after a router has gone back.
        """
        plugged = frozenset(port.router_id for port in self._bridge.ports().values())
        named = namespace.routers() - plugged
        return plugged | frozenset(
            r for r in named if predecessor.is_ours(r, self._firewall, _OUTER)
        )

    def observe(
        self, router_id: RouterId, known: ObservedNetwork | None = None
    ) -> ObservedNetwork:
        """Return what the namespace is; a link of which only a part is left has no port id."""
        if known is not None and (again := network.observe_transforms(router_id, known)):
            return again
        plugged = self._bridge.ports()
        ports = {device: _of(plugged, router_id, device) for device in _OUTER}
        outer = {device: list(ports[device]) for device in _OUTER}
        seen = network.observe(router_id, outer, self._firewall)
        hollow = {
            net.Link(device, PortId(""), "", 0, frozenset())
            for device in _OUTER
            if ports[device] and device not in seen.links
        }
        return ObservedNetwork(
            exists=seen.prepared and not any(map(predecessor.is_device, seen.links)),
            links=frozenset(
                _link(device, link, tuple(ports[device].values()))
                for device, link in seen.links.items()
                if device in _OUTER
            )
            | hollow,
            host_addresses=seen.host_addresses,
            routes=seen.routes,
            rules=seen.rules,
            guard=seen.guard,
            kernel_sas=seen.kernel_sas,
            kernel_policies=seen.kernel_policies,
            devices=frozenset(seen.links),
        )

    def apply(self, router_id: RouterId, action: NetworkAction) -> None:
        """Do one action; idempotent."""
        match action:
            case net.EnsureNamespace():
                self._succeed(router_id)
                namespace.ensure(router_id, self._firewall, self._maker)
            case net.RemoveNamespace():
                for device in _OUTER:
                    self._remove_link(router_id, device)
                namespace.remove(router_id, self._maker)
                network.forget(router_id, self._firewall)
            case net.EnsureGuard(net.Guard() as guard):
                network.ensure_guard(router_id, guard, self._firewall)
            case net.EnsureGuard() | net.NameNamespace() | net.AwaitAddress() | net.ClaimAgain():
                raise TypeError(f"{action!r} is for a router's own namespace")
            case net.EnsureLink(link):
                self._ensure_link(router_id, link)
            case net.RemoveLink(name):
                self._remove_link(router_id, name)
            case net.EnsureHostAddress(address):
                network.ensure_host_address(router_id, address)
            case net.RemoveHostAddress(address):
                network.remove_host_address(router_id, address)
            case _:
                network.apply(router_id, action)

    def announce(self, router_id: RouterId, device: str) -> None:
        """Tell the device's neighbours that its addresses are here now; returns at once."""
        seen = network.observe(router_id, {}, self._firewall).links.get(device)
        if seen is None:
            raise Temporary(router_id, Reason("link_failed", f"there is no device {device}"))
        network.announce(router_id, device, seen.mac, seen.addresses)

    def _succeed(self, router_id: RouterId) -> None:
        """Clear a namespace that neutron-vpnaas made: closed first, so that nothing leaks."""
        devices = predecessor.devices(router_id)
        if not devices:
            return
        namespace.ensure(router_id, self._firewall, self._maker)
        ended = predecessor.end_daemons(router_id)
        LOG.info("Router %s is taken over; processes of its old agent ended: %d", router_id, ended)
        for device in devices:
            for name in predecessor.outer_names(device):
                self._bridge.evict(name, router_id)
                network.remove_outer_end(router_id, name)
        namespace.remove(router_id, self._maker)

    def _ensure_link(self, router_id: RouterId, link: net.Link) -> None:
        plugged = self._ports_of(router_id, link.name)
        outer = network.outer_end(router_id, link.name)
        if made := outer is None or not outer.startswith(_prefix(router_id, link.name)):
            outer = next(n for n in self._names(router_id, link.name) if n not in plugged)
        network.ensure_link(router_id, outer, link)
        for other in plugged.keys() - {outer}:
            self._bridge.unplug(other)
            network.remove_outer_end(router_id, other)
        self._bridge.plug(outer, link.port_id, link.mac, router_id)
        if made:
            network.announce(router_id, link.name, link.mac, link.addresses)

    def _remove_link(self, router_id: RouterId, device: str) -> None:
        for outer in self._ports_of(router_id, device):
            self._bridge.unplug(outer)
            network.remove_outer_end(router_id, outer)
        network.remove_device(router_id, device)

    def _ports_of(self, router_id: RouterId, device: str) -> dict[str, PluggedPort]:
        """Return the ports of the device by name: one, unless something went wrong."""
        return _of(self._bridge.ports(), router_id, device)

    def _names(self, router_id: RouterId, device: str) -> Iterator[str]:
        """Yield names for an outer end; the last ones that were yielded come last."""
        return (_prefix(router_id, device) + generation for generation in self._generations)


def _of(
    ports: Mapping[str, PluggedPort], router_id: RouterId, device: str
) -> dict[str, PluggedPort]:
    return {
        name: port
        for name, port in ports.items()
        if port.router_id == router_id and name.startswith(_OUTER[device])
    }


def _prefix(router_id: RouterId, device: str) -> str:
    return _OUTER[device] + router_id.replace("-", "")[:_DIGITS]


def _link(device: str, seen: network.SeenLink, ports: Sequence[PluggedPort]) -> net.Link:
    """Return the link; one that isn't as it was made has no port id, and so differs."""
    whole = seen.sound and [port.mac for port in ports] == [seen.mac]
    port_id = ports[0].port_id if whole else PortId("")
    return net.Link(device, port_id, seen.mac, seen.mtu, seen.addresses)
