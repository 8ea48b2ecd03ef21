"""vpnservices."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import vpn as vpn_exc

from swanherd.core.model import Status
from swanherd.server import checks, held
from swanherd.server.db.models import SiteConnectionRow, VpnServiceRow
from swanherd.server.errors import answering
from swanherd.server.reading import VPNSERVICES
from swanherd.server.resources.room import Room, named, rename


class VpnServices(Room):
    """Requests for vpnservices."""

    def create_vpnservice(self, context: Any, vpnservice: dict[str, Any]) -> dict[str, Any]:
        """Create a vpnservice; several of one router work together."""
        body = vpnservice["vpnservice"]
        router_id, subnet_id = body["router_id"], body["subnet_id"]
        with answering():
            row = VpnServiceRow(
                **named(body),
                router_id=router_id,
                subnet_id=subnet_id,
                flavor_id=body.get("flavor_id"),
                admin_state_up=body["admin_state_up"],
                status=Status.PENDING_CREATE,
            )
            checks.check_router(context, router_id)
            provider = self.providers.of_flavor(context, row.flavor_id)
            service_id = row.id
            with (
                db_api.CONTEXT_WRITER.using(context) as session,
                self.store.changing(session, router_id) as change,
            ):
                held.gateway(session, router_id)
                if subnet_id is not None:
                    held.interfaces(session, router_id, [subnet_id])
                session.add(row)
                change.concern([service_id])
                self.providers.associate(context, service_id, provider)
        self._look(router_id)
        return VPNSERVICES.get(context, service_id)

    def update_vpnservice(
        self, context: Any, vpnservice_id: str, vpnservice: dict[str, Any]
    ) -> dict[str, Any]:
        """Update name, description or administrative state, in every status."""
        body = vpnservice["vpnservice"]
        router_id = VPNSERVICES.get(context, vpnservice_id)["router_id"]
        with (
            answering(),
            db_api.CONTEXT_WRITER.using(context) as session,
            self.store.changing(session, router_id) as change,
        ):
            row = VPNSERVICES.row(context, vpnservice_id)
            rename(row, body)
            if body.get("admin_state_up", row.admin_state_up) != row.admin_state_up:
                row.admin_state_up = body["admin_state_up"]
                change.concern([vpnservice_id, *_connection_ids(session, vpnservice_id)])
        if change.needed:
            self._look(router_id)
        return VPNSERVICES.get(context, vpnservice_id)

    def delete_vpnservice(self, context: Any, vpnservice_id: str) -> None:
        """Delete a vpnservice that has no connections."""
        router_id = VPNSERVICES.get(context, vpnservice_id)["router_id"]
        with (
            answering(),
            db_api.CONTEXT_WRITER.using(context) as session,
            self.store.changing(session, router_id) as change,
        ):
            if _connection_ids(session, vpnservice_id):
                raise vpn_exc.VPNServiceInUse(vpnservice_id=vpnservice_id)
            change.remove(VPNSERVICES.row(context, vpnservice_id))
            self.providers.dissociate(context, vpnservice_id)
        self._look(router_id)

    def get_vpnservice(self, context: Any, id: str, fields: Any = None) -> dict[str, Any]:
        """Return one vpnservice."""
        return VPNSERVICES.get(context, id, fields)

    def get_vpnservices(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[dict[str, Any]]:
        """Return the vpnservices that the filters choose."""
        return VPNSERVICES.list(context, filters, fields, **paging)

    def get_vpnservices_count(self, context: Any, filters: Any = None) -> int:
        """Return how many vpnservices the filters choose."""
        return VPNSERVICES.count(context, filters)


def _connection_ids(session: Any, vpnservice_id: str) -> list[str]:
    return list(
        session.scalars(
            sa.select(SiteConnectionRow.id).where(SiteConnectionRow.vpnservice_id == vpnservice_id)
        )
    )
