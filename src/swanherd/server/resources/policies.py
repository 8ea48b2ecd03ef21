"""IKE and IPsec policies: those in use may be updated, and each router that uses one follows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import vpn as vpn_exc

from swanherd.core import validation
from swanherd.server.checks import check_pair
from swanherd.server.db import values
from swanherd.server.db.models import (
    IkePolicyRow,
    IpsecPolicyRow,
    SiteConnectionRow,
    VpnServiceRow,
)
from swanherd.server.errors import answering
from swanherd.server.reading import IKEPOLICIES, IPSECPOLICIES, Collection
from swanherd.server.resources.room import (
    DEFAULT_LIFETIME,
    LIFETIME_UNITS,
    Room,
    lifetime,
    named,
    rename,
)

_COMMON = ("auth_algorithm", "encryption_algorithm", "pfs")
_IKE = (*_COMMON, "phase1_negotiation_mode", "ike_version")
_SHAPE = ("transform_protocol", "encapsulation_mode")
_IPSEC = (*_COMMON, *_SHAPE)


def _check(row: Any) -> None:
    if isinstance(row, IkePolicyRow):
        validation.check_ike_policy(values.ike_policy(row))
    else:
        validation.check_ipsec_policy(values.ipsec_policy(row))


def _columns(body: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {**{field: body[field] for field in fields if field in body}, **lifetime(body)}


class Policies(Room):
    """Requests for ikepolicies and ipsecpolicies."""

    def create_ikepolicy(self, context: Any, ikepolicy: dict[str, Any]) -> dict[str, Any]:
        """Create an IKE policy."""
        return self._create_policy(context, IKEPOLICIES, ikepolicy["ikepolicy"], _IKE)

    def create_ipsecpolicy(self, context: Any, ipsecpolicy: dict[str, Any]) -> dict[str, Any]:
        """Create an IPsec policy."""
        return self._create_policy(context, IPSECPOLICIES, ipsecpolicy["ipsecpolicy"], _IPSEC)

    def update_ikepolicy(
        self, context: Any, ikepolicy_id: str, ikepolicy: dict[str, Any]
    ) -> dict[str, Any]:
        """Update an IKE policy, in use or not."""
        body = ikepolicy["ikepolicy"]
        return self._update_policy(context, IKEPOLICIES, ikepolicy_id, body, _IKE)

    def update_ipsecpolicy(
        self, context: Any, ipsecpolicy_id: str, ipsecpolicy: dict[str, Any]
    ) -> dict[str, Any]:
        """Update an IPsec policy, in use or not."""
        body = ipsecpolicy["ipsecpolicy"]
        return self._update_policy(context, IPSECPOLICIES, ipsecpolicy_id, body, _IPSEC)

    def delete_ikepolicy(self, context: Any, ikepolicy_id: str) -> None:
        """Delete an IKE policy that no connection uses."""
        self._delete_policy(
            context,
            IKEPOLICIES,
            ikepolicy_id,
            lambda: vpn_exc.IKEPolicyInUse(ikepolicy_id=ikepolicy_id),
        )

    def delete_ipsecpolicy(self, context: Any, ipsecpolicy_id: str) -> None:
        """Delete an IPsec policy that no connection uses."""
        self._delete_policy(
            context,
            IPSECPOLICIES,
            ipsecpolicy_id,
            lambda: vpn_exc.IPsecPolicyInUse(ipsecpolicy_id=ipsecpolicy_id),
        )

    def _create_policy(
        self,
        context: Any,
        collection: Collection,
        body: dict[str, Any],
        fields: tuple[str, ...],
    ) -> dict[str, Any]:
        default = {"lifetime_units": LIFETIME_UNITS, "lifetime_value": DEFAULT_LIFETIME}
        with answering():
            row = collection.model(**named(body), **{**default, **_columns(body, fields)})
            _check(row)
            written = {field: getattr(row, field) for field in fields}
            self.strength.check(collection.model.resource, row.id, written)
            return self._create(context, collection, row)

    def _update_policy(
        self,
        context: Any,
        collection: Collection,
        policy_id: str,
        body: dict[str, Any],
        fields: tuple[str, ...],
    ) -> dict[str, Any]:
        routers: dict[str, list[str]] = {}
        with (
            answering(),
            db_api.CONTEXT_WRITER.using(context) as session,
            contextlib.ExitStack() as stack,
        ):
            # The policy's lock comes first: a connection that is being created with it either is
            # seen here, or is committed after this and sees the new policy.
            row = collection.locked(context, session, policy_id)
            changed = {
                column: value
                for column, value in _columns(body, fields).items()
                if getattr(row, column) != value
            }
            rename(row, body)
            self.strength.check(collection.model.resource, policy_id, _written(row, changed))
            if changed:
                routers = _apply(session, row, changed)
            if routers and changed.keys() & set(_SHAPE):
                self._check_capable(context, row)
            for router_id, connection_ids in sorted(routers.items()):
                change = stack.enter_context(self.store.changing(session, router_id))
                change.concern(connection_ids)
        self._look(*routers)
        return _repeating(body, collection.get(context, policy_id))

    @staticmethod
    def _delete_policy(
        context: Any, collection: Collection, policy_id: str, in_use: Callable[[], Exception]
    ) -> None:
        with answering(), db_api.CONTEXT_WRITER.using(context) as session:
            row = collection.locked(context, session, policy_id)
            if _users(session, row):
                raise in_use()
            session.delete(row)

    def get_ikepolicy(self, context: Any, id: str, fields: Any = None) -> dict[str, Any]:
        """Return one IKE policy."""
        return IKEPOLICIES.get(context, id, fields)

    def get_ikepolicies(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[dict[str, Any]]:
        """Return the IKE policies that the filters choose."""
        return IKEPOLICIES.list(context, filters, fields, **paging)

    def get_ikepolicies_count(self, context: Any, filters: Any = None) -> int:
        """Return how many IKE policies the filters choose."""
        return IKEPOLICIES.count(context, filters)

    def get_ipsecpolicy(self, context: Any, id: str, fields: Any = None) -> dict[str, Any]:
        """Return one IPsec policy."""
        return IPSECPOLICIES.get(context, id, fields)

    def get_ipsecpolicies(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[dict[str, Any]]:
        """Return the IPsec policies that the filters choose."""
        return IPSECPOLICIES.list(context, filters, fields, **paging)

    def get_ipsecpolicies_count(self, context: Any, filters: Any = None) -> int:
        """Return how many IPsec policies the filters choose."""
        return IPSECPOLICIES.count(context, filters)


def _repeating(body: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown, with a lifetime that came as text as text.

    neutron-vpnaas answers a PUT so, and tempest's tests compare it with what they sent.
    """
    given = (body.get("lifetime") or {}).get("value")
    if isinstance(given, str):
        shown["lifetime"] = {**shown["lifetime"], "value": given}
    return shown


def _written(row: Any, changed: dict[str, Any]) -> dict[str, Any]:
    """Return what an update writes, and what decides whether an IKE policy's mode matters."""
    if not isinstance(row, IkePolicyRow):
        return changed
    if "ike_version" in changed:
        return {"phase1_negotiation_mode": row.phase1_negotiation_mode, **changed}
    return {"ike_version": row.ike_version, **changed}


def _users(session: Any, row: IkePolicyRow | IpsecPolicyRow) -> list[tuple[str, str]]:
    """Return router and connection of each use of the policy."""
    column = (
        SiteConnectionRow.ikepolicy_id
        if isinstance(row, IkePolicyRow)
        else SiteConnectionRow.ipsecpolicy_id
    )
    query = (
        sa.select(VpnServiceRow.router_id, SiteConnectionRow.id)
        .join(SiteConnectionRow, SiteConnectionRow.vpnservice_id == VpnServiceRow.id)
        .where(column == row.id)
    )
    return [(router_id, connection_id) for router_id, connection_id in session.execute(query)]


def _apply(
    session: Any, row: IkePolicyRow | IpsecPolicyRow, changed: dict[str, Any]
) -> dict[str, list[str]]:
    """Change the policy; return the connections that use it, by router."""
    for column, value in changed.items():
        setattr(row, column, value)
    with session.no_autoflush:
        _check(row)
        routers: dict[str, list[str]] = {}
        for router_id, connection_id in _users(session, row):
            routers.setdefault(router_id, []).append(connection_id)
        for ike, ipsec in _pairs(session, row):
            check_pair(ike, ipsec)
    return routers


def _pairs(session: Any, row: IkePolicyRow | IpsecPolicyRow) -> list[tuple[Any, Any]]:
    """Return the pairs of policies that connections make with this one."""
    ours = SiteConnectionRow.ikepolicy_id, SiteConnectionRow.ipsecpolicy_id
    column = ours[0] if isinstance(row, IkePolicyRow) else ours[1]
    query = (
        sa.select(IkePolicyRow, IpsecPolicyRow)
        .join(SiteConnectionRow, SiteConnectionRow.ikepolicy_id == IkePolicyRow.id)
        .join(IpsecPolicyRow, SiteConnectionRow.ipsecpolicy_id == IpsecPolicyRow.id)
        .where(column == row.id)
    )
    return [(ike, ipsec) for ike, ipsec in session.execute(query)]
