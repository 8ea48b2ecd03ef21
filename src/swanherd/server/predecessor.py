"""What neutron-vpnaas' OVN driver made in Neutron for a router: cleared, or made again to go back.

Its row in `vpn_ext_gws` says what there is; the database empties a column with what it names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.quota import resource_registry
from neutron_lib import constants
from neutron_lib import exceptions as lib_exc
from neutron_lib.api.definitions import portbindings
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import l3 as l3_exc
from neutron_lib.plugins import constants as plugin_const
from neutron_lib.plugins import directory
from neutron_lib.plugins import utils as plugin_utils
from oslo_log import log as logging
from oslo_utils import uuidutils

from swanherd.core.model import RouterId
from swanherd.server.db.models import ExternalGatewayRow

LOG = logging.getLogger(__name__)

# As its OVN driver names and numbers them (neutron_vpnaas.services.vpn.service_drivers.ovn_ipsec).
GATEWAY, NAMESPACE, CIDR = "169.254.0.1", "169.254.0.2", "169.254.0.0/28"
_OWNER = "network:vpn_transit_network"

# What the row's status says to us.
RETURNING, RETURNED = "PENDING_UPDATE", "ACTIVE"

_ROUTES = "router_route"  # neutron.extensions.extraroute
_COLUMNS = ("transit_port_id", "transit_subnet_id", "transit_network_id")


def row_of(context: Any, router_id: RouterId) -> dict[str, Any] | None:
    """Return its row of the router as it is in the table."""
    return rows_of(context, [router_id]).get(router_id)


def rows_of(context: Any, router_ids: Collection[RouterId]) -> Mapping[RouterId, dict[str, Any]]:
    """Return its rows of those of the routers that it had, in one query."""
    query = sa.select(ExternalGatewayRow.__table__).where(
        ExternalGatewayRow.router_id.in_(router_ids)
    )
    with db_api.CONTEXT_READER.using(context) as session:
        found = session.execute(query).mappings().all()
    return {RouterId(row["router_id"]): dict(row) for row in found}


def is_returning(context: Any, router_id: RouterId) -> bool:
    """Tell whether an operator wants the router back with neutron-vpnaas."""
    row = row_of(context, router_id)
    return row is not None and row["status"] == RETURNING


def has_transit(context: Any, router_id: RouterId) -> bool:
    """Tell whether anything of its transit is there."""
    row = row_of(context, router_id)
    return row is not None and _is_transit(row)


def leaving(context: Any, router_ids: Collection[RouterId]) -> frozenset[RouterId]:
    """Return those of the routers that go from it to us or back, and aren't there yet."""
    rows = rows_of(context, router_ids)
    return frozenset(i for i, r in rows.items() if r["status"] == RETURNING or _is_transit(r))


def _is_transit(row: Mapping[str, Any]) -> bool:
    return any(row[column] for column in _COLUMNS)


def clear(context: Any, router_id: RouterId) -> bool:
    """Remove routes, interface, port, subnet and network of its transit; tell if any was there.

    The public port isn't among them: its address stays the router's.
    """
    row = row_of(context, router_id)
    if row is None or not _is_transit(row):
        return False
    LOG.info("Router %s: the transit network of neutron-vpnaas goes", router_id)
    core, l3 = directory.get_plugin(), directory.get_plugin(plugin_const.L3)
    _clear_routes(context, l3, router_id)
    if port_id := row["transit_port_id"]:
        _quietly(core.delete_port, context, port_id, l3_port_check=False)
    if subnet_id := row["transit_subnet_id"]:
        _quietly(l3.remove_router_interface, context, router_id, {"subnet_id": subnet_id})
        _quietly(core.delete_subnet, context, subnet_id)
    if network_id := row["transit_network_id"]:
        _quietly(core.delete_network, context, network_id)
    return True


def forget(context: Any, router_id: RouterId) -> None:
    """Delete the row, which would keep the router itself from being deleted."""
    with db_api.CONTEXT_WRITER.using(context) as session:
        session.execute(
            sa.delete(ExternalGatewayRow).where(ExternalGatewayRow.router_id == router_id)
        )


def restore(context: Any, router_id: RouterId, host: str | None, peers: list[str]) -> None:
    """Make the transit again, and the routes to the peers' networks; what is there stays."""
    core, l3 = directory.get_plugin(), directory.get_plugin(plugin_const.L3)
    router = l3.get_router(context, router_id)
    row = row_of(context, router_id) or {}
    network_id = row.get("transit_network_id") or _network(core, context, router_id)
    _record(context, router_id, transit_network_id=network_id)
    subnet_id = row.get("transit_subnet_id")
    if not subnet_id:
        subnet_id = _subnet(core, context, router, network_id)
        _record(context, router_id, transit_subnet_id=subnet_id)
    interface = {"network_id": [network_id], "device_id": [router_id]}
    if not core.get_ports(context, filters=interface):
        l3.add_router_interface(context, router_id, {"subnet_id": subnet_id})
    if not row.get("transit_port_id"):
        port_id = _port(core, context, router_id, (network_id, subnet_id), host)
        _record(context, router_id, transit_port_id=port_id)
    present = {r["destination"] for r in router["routes"]}
    wanted = [{"destination": cidr, "nexthop": NAMESPACE} for cidr in peers if cidr not in present]
    if wanted:
        _know_quota()
        l3.add_extraroutes(context, router_id, {"router": {"routes": wanted}})


def _network(core: Any, context: Any, router_id: RouterId) -> str:
    body = {
        "project_id": "",
        "name": f"vpn-transit-network-{router_id}",
        "admin_state_up": True,
        "shared": False,
    }
    return str(plugin_utils.create_network(core, context, {"network": body})["id"])


def _subnet(core: Any, context: Any, router: dict[str, Any], network_id: str) -> str:
    # The router's project's, as there: else its user couldn't change the router.
    body = {
        "project_id": router["project_id"],
        "name": f"vpn-transit-subnet-{router['id']}",
        "gateway_ip": GATEWAY,
        "cidr": CIDR,
        "network_id": network_id,
        "ip_version": 4,
        "enable_dhcp": False,
    }
    return str(plugin_utils.create_subnet(core, context, {"subnet": body})["id"])


def _port(
    core: Any, context: Any, router_id: RouterId, where: tuple[str, str], host: str | None
) -> str:
    network_id, subnet_id = where
    body = {
        "project_id": "",
        "name": f"vpn-ns-{router_id}",
        "network_id": network_id,
        "fixed_ips": [{"subnet_id": subnet_id, "ip_address": NAMESPACE}],
        "device_id": subnet_id,
        "device_owner": _OWNER,
        "admin_state_up": True,
        portbindings.HOST_ID: host or constants.ATTR_NOT_SPECIFIED,
    }
    return str(plugin_utils.create_port(core, context, {"port": body})["id"])


def _clear_routes(context: Any, l3: Any, router_id: RouterId) -> None:
    try:
        routes = l3.get_router(context, router_id)["routes"]
    except l3_exc.RouterNotFound:
        return
    theirs = [
        {"destination": r["destination"], "nexthop": r["nexthop"]}
        for r in routes
        if r["nexthop"] == NAMESPACE
    ]
    if theirs:
        _know_quota()
        l3.remove_extraroutes(context, router_id, {"router": {"routes": theirs}})


def _know_quota() -> None:
    """Let Neutron count routes: it does by a quota that only processes with an API register."""
    if _ROUTES not in resource_registry.get_all_resources():
        resource_registry.register_resource_by_name(_ROUTES)


def _quietly(remove: Any, *arguments: Any, **options: Any) -> None:
    """Remove what may be gone already, by a try before this one or by somebody else."""
    try:
        remove(*arguments, **options)
    except lib_exc.NotFound as error:
        LOG.debug("Gone already: %s", error)


def _record(context: Any, router_id: RouterId, **values: str) -> None:
    with db_api.CONTEXT_WRITER.using(context) as session:
        session.execute(
            sa.update(ExternalGatewayRow)
            .where(ExternalGatewayRow.router_id == router_id)
            .values(**values)
            .execution_options(synchronize_session=False)
        )


def returned(context: Any, router_id: RouterId) -> None:
    """Record that all is as neutron-vpnaas expects it."""
    _record(context, router_id, status=RETURNED)


def want_back(context: Any, router_id: RouterId, project_id: str, port_id: str | None) -> None:
    """Record that the router is to go back; one that neutron-vpnaas never had gets its row."""
    known = row_of(context, router_id)
    if known is not None:
        _record(context, router_id, status=RETURNING)
        return
    with db_api.CONTEXT_WRITER.using(context) as session:
        session.add(
            ExternalGatewayRow(
                id=uuidutils.generate_uuid(),
                project_id=project_id,
                router_id=router_id,
                status=RETURNING,
                gw_port_id=port_id,
            )
        )
