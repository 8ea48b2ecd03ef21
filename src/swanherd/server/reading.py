"""Get, list and count, the same for every resource."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from neutron_lib.db import api as db_api
from neutron_lib.db import model_query
from neutron_lib.db import utils as db_utils
from neutron_lib.exceptions import vpn as vpn_exc
from sqlalchemy import exc as sa_exc
from sqlalchemy import orm

from swanherd.server.api import views
from swanherd.server.db import flat, vault
from swanherd.server.db.models import (
    EndpointGroupRow,
    IkePolicyRow,
    IpsecPolicyRow,
    SiteConnectionRow,
    VpnServiceRow,
)

# MariaDB takes no LIMIT beyond 64 bits.
_LIMIT = 2**31 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Collection:
    """One resource: its rows, how the API shows one, and what it answers for none."""

    model: Any
    view: Callable[[Any], dict[str, Any]]
    not_found: Callable[[str], Exception]
    # How a list reads what belongs to its rows: in as many queries for many rows as for one.
    loads: tuple[Any, ...] = ()
    # How a list reads and shows the rows of a query, if objects would cost too much.
    flat: Callable[[Any, Any], Iterable[dict[str, Any]]] | None = None

    def row(self, context: Any, row_id: str) -> Any:
        """Return the row that the context may see; call within a transaction."""
        try:
            found = model_query.get_by_id(context, self.model, row_id)
        except sa_exc.NoResultFound:
            raise self.not_found(row_id) from None
        # MariaDB compares text loosely: it finds an id in capitals, or with a space behind it too.
        # Stored or compared elsewhere that is another one.
        if found.id != row_id:
            raise self.not_found(row_id)
        return found

    def locked(self, context: Any, session: Any, row_id: str) -> Any:
        """Return the row, which nobody changes or newly refers to until the transaction ends.

        It must come before the transaction's other reads: MariaDB answers them all as of the
        first, so that what is committed while this waits would stay unseen.
        """
        session.get(self.model, row_id, with_for_update=True, populate_existing=True)
        return self.row(context, row_id)

    def named(self, context: Any, session: Any, row_id: str, by_request: bool) -> Any:
        """Return a row that another one refers to: whosever it is, unless a request names it.

        It is as it is now, and nobody changes it until the transaction ends.
        """
        as_it_is = {"with_for_update": {"read": True}, "populate_existing": True}
        found = session.get(self.model, row_id, **as_it_is)
        if by_request or found is None:
            found = self.row(context, row_id)
        return found

    def get(self, context: Any, row_id: str, fields: Any = None) -> dict[str, Any]:
        """Return one resource."""
        with db_api.CONTEXT_READER.using(context):
            shown = self.view(self.row(context, row_id))
        chosen: dict[str, Any] = db_utils.resource_fields(shown, fields)
        return chosen

    def list(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[dict[str, Any]]:
        """Return what the context may see and the filters choose."""
        limit, marker = paging.get("limit"), paging.get("marker")
        limit = min(limit, _LIMIT) if limit else limit
        reverse = paging.get("page_reverse", False)
        with db_api.CONTEXT_READER.using(context) as session:
            query = model_query.get_collection_query(
                context,
                self.model,
                filters=_searchable(filters),
                sorts=paging.get("sorts"),
                limit=limit,
                marker_obj=self.row(context, marker) if limit and marker else None,
                page_reverse=reverse,
            )
            if self.flat is not None:
                rows = list(self.flat(session, query))
            else:
                rows = [self.view(row) for row in query.options(*self.loads)]
        if limit and reverse:
            rows.reverse()
        return [db_utils.resource_fields(row, fields) for row in rows]

    def count(self, context: Any, filters: Any = None) -> int:
        """Return how many the filters choose; quotas ask."""
        with db_api.CONTEXT_READER.using(context):
            count: int = model_query.get_collection_count(
                context, self.model, filters=_searchable(filters)
            )
        return count


def _searchable(filters: Any) -> dict[str, Any]:
    """Return the filters by column: the API says `type`, and a psk isn't searched for."""
    columns = {"type": "endpoint_type"}
    return {columns.get(k, k): v for k, v in (filters or {}).items() if k != "psk"}


def _connections(session: Any, query: Any) -> Iterator[dict[str, Any]]:
    keys = vault.current()
    for row, state, token, cidrs in flat.connections(session, query):
        yield views.connection_of(row, state, keys.shown(row.id, row.psk, token), cidrs)


VPNSERVICES = Collection(
    VpnServiceRow,
    views.vpnservice,
    lambda i: vpn_exc.VPNServiceNotFound(vpnservice_id=i),
    (orm.joinedload(VpnServiceRow.state),),
)
CONNECTIONS = Collection(
    SiteConnectionRow,
    views.connection,
    lambda i: vpn_exc.IPsecSiteConnectionNotFound(ipsec_site_conn_id=i),
    flat=_connections,
)
IKEPOLICIES = Collection(
    IkePolicyRow, views.ikepolicy, lambda i: vpn_exc.IKEPolicyNotFound(ikepolicy_id=i)
)
IPSECPOLICIES = Collection(
    IpsecPolicyRow, views.ipsecpolicy, lambda i: vpn_exc.IPsecPolicyNotFound(ipsecpolicy_id=i)
)
ENDPOINT_GROUPS = Collection(
    EndpointGroupRow,
    views.endpoint_group,
    lambda i: vpn_exc.VPNEndpointGroupNotFound(endpoint_group_id=i),
    (orm.subqueryload(EndpointGroupRow.endpoints),),
)
