"""neutron-vpnaas' OVN agent has namespaces of the same name as ours: told apart, and cleared.

Which of its devices is in a namespace says whose it is (its `vg` and `vr` have a port's id behind
them, where ours are `ex0` and `tr0`), also while its daemons are down.
"""

from __future__ import annotations

import re

from swanherd.core.model import RouterId
from swanherd.dataplane.failing import failing
from swanherd.dataplane.namespace import name_of
from swanherd.dataplane.privileged import predecessor

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


def outer_names(device: str) -> tuple[str, ...]:
    """Return what the port of such a device may be called in the integration bridge."""
    return device, _DEVICE.sub(r"tap\1", device)


def end_daemons(router_id: RouterId) -> int:
    """Kill what runs in the namespace; return how many processes it was."""
    with failing(router_id, _CODE):
        return len(predecessor.end_processes(name_of(router_id)))
