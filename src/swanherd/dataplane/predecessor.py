"""What neutron-vpnaas left on this node: told apart from ours, and cleared.

Its OVN agent has namespaces of the same name as ours. Which of its devices is in one says whose it
is (its `vg` and `vr` have a port's id behind them, where ours are `ex0` and `tr0`), also while its
daemons are down. In a router's own namespace its daemons are told by their names.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection

from swanherd.core.failures import Temporary
from swanherd.core.model import Reason, RouterId
from swanherd.dataplane.failing import failing
from swanherd.dataplane.guards import Firewall
from swanherd.dataplane.namespace import name_of
from swanherd.dataplane.privileged import namespaces, predecessor

LOG = logging.getLogger(__name__)

# Its interface driver cuts the name at 14 characters; with `ovs_use_veth` the outer end is `tap…`.
_DEVICE = re.compile(r"v[gr]([0-9a-f]{8}-[0-9a-f]{3})")
_CODE = "namespace_failed"

_IKE = 500  # RFC 7296 §2

NO_ROOM = Reason(
    "ike_port_taken",
    "Another process listens on UDP port 500 in the router's namespace.",
    "The operator must end it: `ip netns pids` and `ss -ulnp` in the namespace tell what it is.",
)

# The starter would start charon again. Ours is `charon-systemd`, so it isn't among them.
_DAEMONS = ("starter", "charon", "pluto", "_plutorun")


def is_device(name: str) -> bool:
    """Tell whether neutron-vpnaas would call a device of its so."""
    return _DEVICE.fullmatch(name) is not None


def devices(router_id: RouterId) -> tuple[str, ...]:
    """Return neutron-vpnaas' devices in the router's namespace; none if the namespace is ours."""
    with failing(router_id, _CODE):
        return tuple(filter(is_device, predecessor.devices(name_of(router_id))))


def is_ours(router_id: RouterId, firewall: Firewall, ours: Collection[str]) -> bool:
    """Tell whether the namespace is one that we made, of which a part may be lost.

    A new one of ours has a guard before it has its name. So a bare one is another agent's, which
    hasn't put its devices in yet. The file of one that is gone is nobody's, and can go.
    """
    name = name_of(router_id)
    with failing(router_id, _CODE):
        found = predecessor.devices(name)
        if any(map(is_device, found)):
            return False
        if not found or not set(ours).isdisjoint(found):
            return True
        try:
            return bool(namespaces.has_guard(name, firewall.kind))
        except FileNotFoundError:
            return True


def outer_names(device: str) -> tuple[str, ...]:
    """Return what the port of such a device may be called in the integration bridge."""
    return device, _DEVICE.sub(r"tap\1", device)


def end_daemons(router_id: RouterId) -> int:
    """Kill what runs in the namespace; return how many processes it was."""
    with failing(router_id, _CODE):
        return len(predecessor.end_processes(name_of(router_id)))


def succeed(key: RouterId) -> None:
    """Kill its daemons in a router's own namespace, which stays, and remove their routes.

    Not asked to end: so the peer notices nothing until it is spoken to anew, and on kernel ESP
    the SAs go on until others take their place (`core.leftovers`).
    """
    with failing(key, _CODE):
        if ended := predecessor.end_processes(key, _DAEMONS):
            LOG.info("%s is taken over; processes of its old agent ended: %d", key, len(ended))
        if predecessor.is_listened_to(key, _IKE):
            raise Temporary(key, NO_ROOM)
        predecessor.forget_routes(key)
