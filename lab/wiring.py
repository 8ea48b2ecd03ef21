"""Whether Neutron is done with the ports of a router that its L3 agents serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.layout import LabError
from lab.processes import wait_for
from lab.vpn import End

# Ports that are where the router is served. A port of VRRP's network stays on its own node, and a
# distributed router's are on many at once.
_MOVING = (
    "network:router_interface",
    "network:router_gateway",
    "network:router_centralized_snat",
    "network:ha_router_replicated_interface",
)


def unwired(ports: Sequence[Any], states: Mapping[str, str]) -> list[str]:
    """Return what Neutron's agents still have to do for a router's ports.

    `states`: of a redundant router the hosts of its agents, and what each says that it is.
    """
    left = [f"{p.device_owner} {p.id} is {p.status}" for p in ports if p.status != "ACTIVE"]
    if not states:
        return left
    active = sorted(host for host, state in states.items() if state == "active")
    if len(active) != 1:
        return [*left, f"agents say {dict(states)}"]
    return left + [
        f"{p.device_owner} {p.id} is bound to {p.binding_host_id}, not {active[0]}"
        for p in ports
        if p.device_owner in _MOVING and p.binding_host_id != active[0]
    ]


def wait_wired(end: End, limit: float) -> None:
    """Wait until Neutron has bound and wired the ports of the end's router. Nothing on OVN.

    neutron-openvswitch-agent asks no second time for a port that was bound to no node when its
    device came: it waits to be told. Who ends Neutron's servers at that moment leaves the port in
    the dead VLAN (4095), until somebody changes the port.
    """
    if end.cloud.plan.has_ovn:
        return
    network = end.cloud.connect("admin").network
    router = end.site.router_id
    redundant = "ha" in end.site.kind

    def is_wired() -> bool:
        agents = network.routers_hosting_l3_agents(router) if redundant else ()
        states = {agent.host: agent.ha_state for agent in agents}
        seen[:] = unwired(list(network.ports(device_id=router)), states)
        return not seen

    seen: list[str] = []
    try:
        wait_for(is_wired, limit, f"the ports of {end.site.name}'s router", every=0.5)
    except LabError as error:
        raise LabError(f"{error}: {seen}") from None
