"""What of Neutron a new VPN stands on, held until its transaction ends (see `server.guards`).

Whoever would take it away waits, and is refused; if he was first, this waits and sees that it has
gone. A locking read tells what is committed now, whatever the transaction has read before.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3 as l3_models
from neutron_lib import constants
from neutron_lib.exceptions import vpn as vpn_exc


def gateway(session: Any, router_id: str) -> None:
    """Hold a router's gateway; refuse a router that has none."""
    router = l3_models.Router
    query = sa.select(router.gw_port_id).where(router.id == router_id)
    if session.scalar(query.with_for_update(read=True)) is None:
        raise vpn_exc.RouterIsNotExternal(router_id=router_id)


def interfaces(session: Any, router_id: str, subnet_ids: Collection[str]) -> None:
    """Hold a router's interfaces in the subnets; refuse one in which it has none."""
    port, ip = models_v2.Port, models_v2.IPAllocation
    query = (
        sa.select(ip.subnet_id)
        .join(port, port.id == ip.port_id)
        .where(
            port.device_id == router_id, port.device_owner.in_(constants.ROUTER_INTERFACE_OWNERS)
        )
    )
    connected = frozenset(session.scalars(query.with_for_update(read=True)))
    for subnet_id in subnet_ids:
        if subnet_id not in connected:
            raise vpn_exc.SubnetIsNotConnectedToRouter(subnet_id=subnet_id, router_id=router_id)


def subnets(session: Any, subnet_ids: Collection[str]) -> None:
    """Hold the subnets of an endpoint group; refuse one that there isn't."""
    subnet = models_v2.Subnet
    query = sa.select(subnet.id).where(subnet.id.in_(subnet_ids))
    known = frozenset(session.scalars(query.with_for_update(read=True)))
    for subnet_id in subnet_ids:
        if subnet_id not in known:
            raise vpn_exc.NonExistingSubnetInEndpointGroup(subnet=subnet_id)
