"""The Neutron port by which a router's VPN is on the external network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.ipam import exceptions as ipam_exc
from neutron_lib import exceptions as lib_exc
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.callbacks import exceptions as callback_exc
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from neutron_lib.plugins import utils as plugin_utils
from oslo_concurrency import lockutils
from oslo_log import log as logging

from swanherd.core.model import RouterId
from swanherd.core.steering import public_port_id
from swanherd.server import compat, pools, topology
from swanherd.server.db.models import ExternalGatewayRow, RouterStateRow
from swanherd.server.topology import BoundPort, Subnet

LOG = logging.getLogger(__name__)

OWNER = compat.VPN_GATEWAY_OWNER

# Seconds; a move takes some tenths.
_PATIENCE = 1.0

_NO_FREE_ADDRESS = (lib_exc.IpAddressGenerationFailure, ipam_exc.IpAddressGenerationFailure)
_UNBOUND = (portbindings.VIF_TYPE_UNBOUND, portbindings.VIF_TYPE_BINDING_FAILED)


class PublicPorts:
    """Makes, moves and removes these ports; they belong to no project and no quota.

    The id of a port is derived from its router's, so that a repeat finds it. A port that
    neutron-vpnaas' OVN driver made for the router is taken over, so that its address stays.
    """

    def __init__(self) -> None:
        self._locks = lockutils.Semaphores()

    def find(self, context: Any, router_id: RouterId) -> BoundPort | None:
        """Return the router's port, if it exists."""
        ours = topology.port_of(context, public_port_id(router_id))
        if ours is not None:
            return ours
        theirs = inherited_port(context, router_id)
        return topology.port_of(context, theirs) if theirs else None

    def find_all(
        self, context: Any, router_ids: Collection[RouterId]
    ) -> Mapping[RouterId, BoundPort]:
        """Return the ports of those of the routers that have one, in a few queries."""
        row = ExternalGatewayRow
        query = sa.select(row.router_id, row.gw_port_id).where(row.router_id.in_(router_ids))
        with db_api.CONTEXT_READER.using(context) as session:
            theirs = dict(session.execute(query).all())
        ours = {router_id: public_port_id(router_id) for router_id in router_ids}
        ports = topology.ports_of(context, {*ours.values(), *filter(None, theirs.values())})
        found = {i: ports.get(ours[i]) or ports.get(theirs.get(i) or "") for i in router_ids}
        return {router_id: port for router_id, port in found.items() if port is not None}

    def spare(
        self, context: Any, network_ids: Collection[str]
    ) -> Callable[[str, BoundPort | None], bool]:
        """Return what tells if a network may give its port, or a new one, an address it lacks."""
        subnets = topology.subnets_of(context, network_ids, OWNER)
        having = {s.id for s in _open(context, [s for each in subnets.values() for s in each])}
        return lambda network_id, port: any(
            subnet.id in having and (port is None or port.address(subnet.version) is None)
            for subnet in subnets.get(network_id, ())
        )

    def routers(self, context: Any) -> frozenset[RouterId]:
        """Return every router that has a port of ours, unless it went to neutron-vpnaas."""
        port = models_v2.Port
        query = sa.select(port.id, port.device_id).where(port.device_owner == OWNER)
        with db_api.CONTEXT_READER.using(context) as session:
            # Not by the core plugin, which reads all that there is of each port.
            every = session.execute(query).all()
            ours = {i: RouterId(device) for i, device in every if i == public_port_id(device)}
            theirs = set(session.scalars(sa.select(ExternalGatewayRow.gw_port_id)))
        return frozenset(router_id for port_id, router_id in ours.items() if port_id not in theirs)

    def ensure(
        self, context: Any, router_id: RouterId, network_id: str, host: str | None
    ) -> BoundPort | None:
        """Make the port be on the network and bound to the host; None if no address is free.

        It has one address of each family of which the network has one to give. One thread of
        this process after another does it for a router: Neutron takes two at once for a conflict
        and tries both again. One that waits for the message bus has recorded its move, so that
        it keeps the next waiting for a moment only.
        """
        turn = self._locks.get(router_id)
        has_turn = turn.acquire(timeout=_PATIENCE)
        try:
            return self._ensure(context, router_id, network_id, host)
        finally:
            if has_turn:
                turn.release()

    def _ensure(
        self, context: Any, router_id: RouterId, network_id: str, host: str | None
    ) -> BoundPort | None:
        port = self.find(context, router_id)
        if port is not None and port.network_id != network_id:
            self.remove(context, router_id)
            port = None
        subnets = topology.subnets_of(context, [network_id], OWNER)[network_id]
        if port is None:
            self._create(context, router_id, network_id, host, subnets)
        elif not self._update(context, port, host, subnets):
            return port
        return self.find(context, router_id)

    def remove(self, context: Any, router_id: RouterId) -> None:
        """Delete the port, if it exists."""
        port = self.find(context, router_id)
        if port is None:
            return
        try:
            _core().delete_port(context, port.id, l3_port_check=False)
        except lib_exc.PortNotFound:
            LOG.debug("The public port of router %s was gone already", router_id)

    def _create(
        self,
        context: Any,
        router_id: RouterId,
        network_id: str,
        host: str | None,
        subnets: Sequence[Subnet],
    ) -> None:
        for chosen in _choices(_open(context, subnets)):
            body = _body(router_id, network_id, host, chosen)
            try:
                plugin_utils.create_port(_core(), context, {"port": body}, check_allow_post=False)
            except _NO_FREE_ADDRESS:
                continue
            except callback_exc.CallbackFailure:
                # Another process was quicker (see `refuse_second`), or a plugin says no.
                if self.find(context, router_id) is None:
                    raise
            return

    def _update(
        self, context: Any, port: BoundPort, host: str | None, subnets: Sequence[Subnet]
    ) -> bool:
        """Move the port, bind it again, give it addresses that it lacks; tell whether any was."""
        changed = False
        if not is_bound(port, host):
            # Any update makes ML2 try again to bind a port that it couldn't bind before.
            body = {portbindings.HOST_ID: host or ""}
            _core().update_port(context, port.id, {"port": body})
            changed = True
        present = [
            {"subnet_id": a.subnet_id, "ip_address": str(a.interface.ip)} for a in port.addresses
        ]
        lacking = [s for s in subnets if port.address(s.version) is None]
        for chosen in _choices(_open(context, lacking)):
            wanted = [*present, *({"subnet_id": s.id} for s in chosen)]
            try:
                _core().update_port(context, port.id, {"port": {"fixed_ips": wanted}})
            except _NO_FREE_ADDRESS:
                continue
            return True
        return changed


def is_bound(port: BoundPort, host: str | None) -> bool:
    """Tell whether a port is where it should be, and Neutron could bind it there."""
    return port.host == (host or "") and not (host and port.vif_type in _UNBOUND)


def is_ours(port: Mapping[str, Any]) -> bool:
    """Tell our ports from those of neutron-vpnaas, which have the same owner."""
    return bool(
        port.get("device_owner") == OWNER
        and port.get("id") == public_port_id(RouterId(port.get("device_id", "")))
    )


def inherited_port(context: Any, router_id: str) -> str | None:
    """Return the port that neutron-vpnaas' OVN driver made for a router, by its row."""
    query = sa.select(ExternalGatewayRow.gw_port_id).where(
        ExternalGatewayRow.router_id == router_id
    )
    with db_api.CONTEXT_READER.using(context) as session:
        port_id: str | None = session.scalar(query)
    return port_id


def _is_taken_over(context: Any, port: Mapping[str, Any]) -> bool:
    """Tell whether a router that has a VPN has this port of neutron-vpnaas'."""
    if port.get("device_owner") != OWNER:
        return False
    router_id = port.get("device_id", "")
    with db_api.CONTEXT_READER.using(context) as session:
        known = session.get(RouterStateRow, router_id) is not None
    return known and inherited_port(context, router_id) == port.get("id")


def protect() -> None:
    """Keep our ports from being made twice, and from being taken through the ports' API."""
    registry.subscribe(refuse_second, resources.PORT, events.BEFORE_CREATE)
    registry.subscribe(refuse_deletion, resources.PORT, events.BEFORE_DELETE)
    registry.subscribe(refuse_change, resources.PORT, events.BEFORE_UPDATE)


def refuse_second(resource: str, event: str, trigger: Any, payload: Any) -> None:
    """Refuse a port of ours that exists already.

    Without this, Neutron takes the duplicate key for a race that it can win, and tries for
    minutes.
    """
    port = payload.latest_state
    if is_ours(port) and PublicPorts().find(payload.context, RouterId(port["device_id"])):
        raise lib_exc.PortInUse(
            port_id=port["id"], net_id=port["network_id"], device_id=port["device_id"]
        )


def refuse_deletion(resource: str, event: str, trigger: Any, payload: Any) -> None:
    """Refuse the deletion by a user; ours comes without the check."""
    if not (payload.metadata or {}).get("port_check"):
        return
    port = payload.metadata.get("port") or _core().get_port(payload.context, payload.resource_id)
    if is_ours(port) or _is_taken_over(payload.context, port):
        raise _in_use(payload.resource_id)


def refuse_change(resource: str, event: str, trigger: Any, payload: Any) -> None:
    """Refuse (409) what makes it another device's port.

    It is no project's: only an administrator could, and Nova for one who gives it to a server.
    """
    port, wanted = payload.states
    if all(wanted.get(key, port[key]) == port[key] for key in ("device_id", "device_owner")):
        return
    if is_ours(port) or _is_taken_over(payload.context, port):
        raise _in_use(payload.resource_id)


def _in_use(port_id: str) -> Exception:
    reason = "it is the public port of a router's VPN"
    return lib_exc.ServicePortInUse(port_id=port_id, reason=reason)


def _core() -> Any:
    return directory.get_plugin()


def _open(context: Any, subnets: Sequence[Subnet]) -> list[Subnet]:
    """Return the subnets that may have an address left."""
    if not subnets:
        return []
    with db_api.CONTEXT_READER.using(context) as session:
        full = pools.exhausted(session, [subnet.id for subnet in subnets])
    return [subnet for subnet in subnets if subnet.id not in full]


def _choices(subnets: Sequence[Subnet]) -> Iterator[list[Subnet]]:
    """Yield what to ask addresses of: one subnet of each family, then of one family only."""
    families = [[s for s in subnets if s.version == version] for version in (4, 6)]
    choices = itertools.product(*([*family, None] for family in families))
    for choice in sorted(choices, key=lambda c: c.count(None)):
        if chosen := [subnet for subnet in choice if subnet is not None]:
            yield chosen


def _body(
    router_id: RouterId, network_id: str, host: str | None, subnets: Sequence[Subnet]
) -> dict[str, Any]:
    return {
        "id": public_port_id(router_id),
        "project_id": "",
        "name": "",
        "network_id": network_id,
        "admin_state_up": True,
        "device_owner": OWNER,
        "device_id": router_id,
        "fixed_ips": [{"subnet_id": subnet.id} for subnet in subnets],
        "port_security_enabled": False,
        "security_groups": [],
        portbindings.HOST_ID: host or "",
    }
