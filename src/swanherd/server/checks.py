"""What a request must meet in the cloud around it: routers, subnets, names."""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import context as n_context
from neutron_lib.exceptions import l3 as l3_exc
from neutron_lib.exceptions import vpn as vpn_exc
from neutron_lib.plugins import constants as plugin_const
from neutron_lib.plugins import directory

from swanherd.core import validation
from swanherd.core.model import IPNetwork, TrafficSelector
from swanherd.server import held
from swanherd.server.db import protected, succession, values
from swanherd.server.db.models import (
    EndpointGroupRow,
    IkePolicyRow,
    IpsecPolicyRow,
    SiteConnectionRow,
    StatusRow,
    VpnServiceRow,
)
from swanherd.server.errors import SelectorInUse, VPNPeerAddressNotResolved
from swanherd.server.reading import ENDPOINT_GROUPS


@dataclasses.dataclass(frozen=True, slots=True)
class Home:
    """Where a connection belongs: its service's router, subnet and public addresses."""

    router_id: str
    subnet_id: str | None
    addresses: frozenset[str]


def home_of(service: VpnServiceRow) -> Home:
    """Return what a service says of its connections' home."""
    addresses = (service.external_v4_ip, service.external_v6_ip)
    return Home(service.router_id, service.subnet_id, frozenset(filter(None, addresses)))


def check_router(context: Any, router_id: str) -> None:
    """Refuse a router that the context can't see (404) or that has no external gateway."""
    router = directory.get_plugin(plugin_const.L3).get_router(context, router_id)
    if router["id"] != router_id:  # see `reading.Collection.row`
        raise l3_exc.RouterNotFound(router_id=router_id)
    if not router.get("external_gateway_info"):
        raise vpn_exc.RouterIsNotExternal(router_id=router_id)


def peer_family(home: Home, peer_address: str) -> int:
    """Return the family to reach the peer by; refuse a name that doesn't resolve (400).

    The router's external network must have a subnet of that family, since the VPN's public
    address is taken from it.
    """
    family = validation.peer_ip(peer_address)
    candidates = _families_of_name(peer_address) if family is None else (family,)
    if family is not None and str(ipaddress.ip_address(peer_address)) in home.addresses:
        why = "it is the VPN service's own address"
        raise VPNPeerAddressNotResolved(peer_address=peer_address, why=why)
    available = _external_families(home.router_id)
    for candidate in candidates:
        if candidate in available:
            return candidate
    raise vpn_exc.ExternalNetworkHasNoSubnet(
        router_id=home.router_id, ip_version="IPv6" if candidates[0] == 6 else "IPv4"
    )


def _families_of_name(name: str) -> tuple[int, ...]:
    families = {socket.AF_INET: 4, socket.AF_INET6: 6}
    try:
        found = socket.getaddrinfo(name, None)
    except (OSError, UnicodeError):
        raise vpn_exc.VPNPeerAddressNotResolved(peer_address=name) from None
    return tuple(dict.fromkeys(families[info[0]] for info in found if info[0] in families))


def _external_families(router_id: str) -> frozenset[int]:
    admin = n_context.get_admin_context()
    router = directory.get_plugin(plugin_const.L3).get_router(admin, router_id)
    gateway = router.get("external_gateway_info")
    if not gateway:
        raise vpn_exc.RouterIsNotExternal(router_id=router_id)
    subnets = directory.get_plugin().get_subnets(
        admin, filters={"network_id": [gateway["network_id"]]}, fields=["ip_version"]
    )
    return frozenset(subnet["ip_version"] for subnet in subnets)


def check_scalars(row: SiteConnectionRow) -> None:
    """Refuse values of a connection that are wrong whatever else is there."""
    for field in ("name", "description"):
        validation.check_text(field, getattr(row, field))
    validation.check_identity("peer_id", row.peer_id, required=True)
    validation.check_identity("local_id", row.local_id or "", required=False)
    validation.check_dpd(row.dpd_interval, row.dpd_timeout)


def check_connection(
    context: Any, session: Any, home: Home, row: SiteConnectionRow, named: Collection[str]
) -> tuple[str, ...]:
    """Refuse a connection that can't be honoured; return those whose networks it takes over.

    `named`: the attributes that the request names, which must be what the context may see. Call
    it under the router's lock.
    """
    cidrs = [peer.cidr for peer in row.peer_cidrs]
    validation.check_sides(
        has_subnet=home.subnet_id is not None,
        peer_cidrs=cidrs,
        local_group=row.local_ep_group_id,
        peer_group=row.peer_ep_group_id,
    )
    if home.subnet_id is not None:
        remote = _peer_networks(cidrs)
        family = validation.family_of_cidrs(remote)
        local = _networks(session, [home.subnet_id])
    else:
        groups = {
            field: ENDPOINT_GROUPS.named(context, session, getattr(row, field), field in named)
            for field in ("local_ep_group_id", "peer_ep_group_id")
        }
        local, remote, family = _group_sides(session, home.router_id, *groups.values())
    validation.check_families(next(iter(local.values())).version, family)
    validation.check_mtu(row.mtu, family)
    return _overtaken(
        session, home.router_id, row, validation.make_selectors(local.values(), remote)
    )


def _group_sides(
    session: Any, router_id: str, here: EndpointGroupRow, there: EndpointGroupRow
) -> tuple[Mapping[str, IPNetwork], tuple[IPNetwork, ...], int]:
    validation.check_group_type(here.id, here.endpoint_type, "subnet")
    validation.check_group_type(there.id, there.endpoint_type, "cidr")
    subnet_ids = [endpoint.endpoint for endpoint in here.endpoints]
    held.interfaces(session, router_id, subnet_ids)
    local = _networks(session, subnet_ids)
    remote = _peer_networks(endpoint.endpoint for endpoint in there.endpoints)
    validation.check_families(
        validation.family_of_group(here.id, (network.version for network in local.values())),
        family := validation.family_of_group(there.id, (network.version for network in remote)),
    )
    return local, remote, family


def _peer_networks(texts: Iterable[str]) -> tuple[IPNetwork, ...]:
    """Return the peer's networks of rows, each once.

    Rows of neutron-vpnaas may have one in two spellings; what requests name is checked before.
    """
    return tuple(dict.fromkeys(map(validation.parse_network, texts)))


def _networks(session: Any, subnet_ids: Collection[str]) -> Mapping[str, IPNetwork]:
    query = sa.select(models_v2.Subnet.id, models_v2.Subnet.cidr).where(
        models_v2.Subnet.id.in_(subnet_ids)
    )
    return {row_id: validation.parse_network(str(cidr)) for row_id, cidr in session.execute(query)}


def _overtaken(
    session: Any, router_id: str, row: SiteConnectionRow, wanted: Collection[TrafficSelector]
) -> tuple[str, ...]:
    query = sa.select(StatusRow.id).where(
        StatusRow.router_id == router_id, StatusRow.superseded_by.is_not(None)
    )
    superseded = frozenset(session.scalars(query))
    loaded = protected.load(session, router_id)
    overtaken, found = succession.overtaken(loaded, superseded, row, wanted)
    if found is not None:
        other, selector = found
        raise SelectorInUse(connection_id=other, local=selector.local, remote=selector.remote)
    return overtaken


def check_pair(ike: IkePolicyRow, ipsec: IpsecPolicyRow) -> None:
    """Refuse an IPsec policy that the IKE policy's version can't negotiate."""
    validation.check_policy_pair(values.ike_policy(ike), values.ipsec_policy(ipsec))
