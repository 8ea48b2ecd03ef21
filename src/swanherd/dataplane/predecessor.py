"""neutron-vpnaas' OVN agent has namespaces of the same name as ours: told apart, and cleared.

Which of its devices is in a namespace says whose it is (its `vg` and `vr` have a port's id behind
them, where ours are `ex0` and `tr0`), also while its daemons are down.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from swanherd.core.model import RouterId
from swanherd.dataplane.failing import failing
from swanherd.dataplane.guards import Firewall
from swanherd.dataplane.namespace import name_of
from swanherd.dataplane.privileged import namespaces, predecessor

# Its interface driver cuts the name at 14 characters; with `ovs_use_veth` the outer end is `tap…`.
_DEVICE = re.compile(r"v[gr]([0-9a-f]{8}-[0-9a-f]{3})")
_CODE = "namespace_failed"


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
