"""Endpoint groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import vpn as vpn_exc
from neutron_lib.plugins import directory

from swanherd.core import validation
from swanherd.server import held
from swanherd.server.db.models import EndpointGroupRow, EndpointRow, SiteConnectionRow
from swanherd.server.errors import answering
from swanherd.server.reading import ENDPOINT_GROUPS
from swanherd.server.resources.room import Room, named, rename


class EndpointGroups(Room):
    """Requests for endpoint groups."""

    def create_endpoint_group(
        self, context: Any, endpoint_group: dict[str, Any]
    ) -> dict[str, Any]:
        """Create an endpoint group."""
        body = endpoint_group["endpoint_group"]
        group_type = body["type"]
        with answering():
            endpoints = validation.check_endpoints(body["name"], group_type, body["endpoints"])
            if group_type == "subnet":
                _check_subnets(context, endpoints)
            row = EndpointGroupRow(
                **named(body),
                endpoint_type=group_type,
                endpoints=[EndpointRow(endpoint=endpoint) for endpoint in endpoints],
            )
            with db_api.CONTEXT_WRITER.using(context) as session:
                if group_type == "subnet":
                    held.subnets(session, endpoints)
                return self._create(context, ENDPOINT_GROUPS, row)

    def update_endpoint_group(
        self, context: Any, endpoint_group_id: str, endpoint_group: dict[str, Any]
    ) -> dict[str, Any]:
        """Update name or description; the endpoints of a group don't change in VPNaaS v2.0."""
        with answering(), db_api.CONTEXT_WRITER.using(context):
            row = ENDPOINT_GROUPS.row(context, endpoint_group_id)
            rename(row, endpoint_group["endpoint_group"])
        return ENDPOINT_GROUPS.get(context, endpoint_group_id)

    def delete_endpoint_group(self, context: Any, endpoint_group_id: str) -> None:
        """Delete an endpoint group that no connection uses."""
        with answering(), db_api.CONTEXT_WRITER.using(context) as session:
            row = ENDPOINT_GROUPS.locked(context, session, endpoint_group_id)
            users = sa.select(SiteConnectionRow.id).where(
                (SiteConnectionRow.local_ep_group_id == endpoint_group_id)
                | (SiteConnectionRow.peer_ep_group_id == endpoint_group_id)
            )
            if session.scalars(users).first() is not None:
                raise vpn_exc.EndpointGroupInUse(group_id=endpoint_group_id)
            session.delete(row)

    def get_endpoint_group(self, context: Any, id: str, fields: Any = None) -> dict[str, Any]:
        """Return one endpoint group."""
        return ENDPOINT_GROUPS.get(context, id, fields)

    def get_endpoint_groups(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[dict[str, Any]]:
        """Return the endpoint groups that the filters choose."""
        return ENDPOINT_GROUPS.list(context, filters, fields, **paging)

    def get_endpoint_groups_count(self, context: Any, filters: Any = None) -> int:
        """Return how many endpoint groups the filters choose."""
        return ENDPOINT_GROUPS.count(context, filters)


def _check_subnets(context: Any, subnet_ids: Iterable[str]) -> None:
    wanted = list(subnet_ids)
    subnets = directory.get_plugin().get_subnets(context, filters={"id": wanted}, fields=["id"])
    known = {subnet["id"] for subnet in subnets}
    for subnet_id in wanted:
        if subnet_id not in known:
            raise vpn_exc.NonExistingSubnetInEndpointGroup(subnet=subnet_id)
