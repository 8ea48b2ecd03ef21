"""Public addresses of a cloud: which are free, VPNs that lose theirs, and that get others."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from lab.cloud import Cloud
from lab.layout import LabError
from lab.processes import wait_for
from lab.vpn import End

Pools = dict[str, list[dict[str, str]]]  # by the subnet's id, as Neutron writes them

OWNER = "network:vpn_router_gateway"  # of the port that a VPN has beside its router's own


def narrow_pools(cloud: Cloud, addresses: Iterable[str]) -> Pools:
    """Leave one of these addresses to each public subnet's pool; return the pools as they were."""
    network, before = cloud.connect("admin").network, {}
    left = [ipaddress.ip_address(address) for address in addresses]
    for subnet in _public_subnets(network):
        cidr = ipaddress.ip_network(subnet.cidr)
        only = next((str(address) for address in left if address in cidr), None)
        if only is None:
            raise LabError(f"none of {left} is of {cidr}")
        before[subnet.id] = subnet.allocation_pools
        network.update_subnet(subnet.id, allocation_pools=[{"start": only, "end": only}])
    return before


def set_pools(cloud: Cloud, pools: Pools) -> None:
    """Let the public subnets have these pools."""
    network = cloud.connect("admin").network
    for subnet_id, allocation in pools.items():
        network.update_subnet(subnet_id, allocation_pools=allocation)


def take_address(end: End) -> tuple[str, ...]:
    """Take the end's public IPv4 address away; return what it had.

    A VPN in a router's own namespace uses that router's addresses, of which one must stay.
    """
    network = end.cloud.connect("admin").network
    if end.cloud.plan.has_ovn:
        (port,) = network.ports(device_id=end.site.router_id, device_owner=OWNER)
        network.update_port(port.id, fixed_ips=[])
        return tuple(fixed["ip_address"] for fixed in port.fixed_ips)
    addresses = end.site.router_addresses
    _set_gateway(network, end, [a for a in addresses if ipaddress.ip_address(a).version == 6])
    return addresses


def give_address(end: End, addresses: Sequence[str], limit: float = 60) -> None:
    """Let the end have its addresses again: they are the only free ones until it has them.

    Here a VPN takes them by itself; the addresses of a router are its owner's to choose.
    """
    if not end.cloud.plan.has_ovn:
        _set_gateway(end.cloud.connect("admin").network, end, addresses)
        return
    pools = narrow_pools(end.cloud, addresses)
    try:
        wait_for(lambda: end.refresh().external_v4_ip, limit, "it has an address", every=0.2)
    finally:
        set_pools(end.cloud, pools)


def move_address(end: End) -> str:
    """Give the end's router another public IPv4 address, and return it; as the admin."""
    network = end.cloud.connect("admin").network
    public = network.find_network("public", ignore_missing=False)
    taken = {f["ip_address"] for p in network.ports(network_id=public.id) for f in p.fixed_ips}
    (pool,) = (s.allocation_pools for s in _public_subnets(network) if s.ip_version == 4)
    last = ipaddress.ip_address(pool[-1]["end"])
    new = next(str(last - n) for n in range(256) if str(last - n) not in taken)
    six = [a for a in end.site.router_addresses if ipaddress.ip_address(a).version == 6]
    _set_gateway(network, end, [new, *six])
    return new


def _set_gateway(network: Any, end: End, addresses: Sequence[str]) -> None:
    router = network.get_router(end.site.router_id)
    gateway = {
        "network_id": router.external_gateway_info["network_id"],
        "external_fixed_ips": [{"ip_address": address} for address in addresses],
    }
    network.update_router(router.id, external_gateway_info=gateway)


def _public_subnets(network: Any) -> list[Any]:
    public = network.find_network("public", ignore_missing=False)
    return list(network.subnets(network_id=public.id))
