"""IPsec site connections."""

from __future__ import annotations

from typing import Any

from neutron_lib.db import api as db_api

from swanherd.core import validation
from swanherd.core.model import Status
from swanherd.server import checks
from swanherd.server.checks import Home, home_of
from swanherd.server.db import vault
from swanherd.server.db.models import (
    IkePolicyRow,
    IpsecPolicyRow,
    PeerCidrRow,
    SiteConnectionRow,
    VpnServiceRow,
)
from swanherd.server.errors import answering
from swanherd.server.reading import CONNECTIONS, IKEPOLICIES, IPSECPOLICIES, VPNSERVICES
from swanherd.server.resources.room import Room, named, rename

_FIELDS = (
    "local_id",
    "peer_address",
    "peer_id",
    "local_ep_group_id",
    "peer_ep_group_id",
    "mtu",
    "initiator",
    "admin_state_up",
)
_DPD = {"action": "dpd_action", "interval": "dpd_interval", "timeout": "dpd_timeout"}
_DPD_DEFAULT = {"dpd_action": "hold", "dpd_interval": 30, "dpd_timeout": 120}
_POLICIES = ("ikepolicy_id", "ipsecpolicy_id")
_PARENTS = ("vpnservice_id", *_POLICIES)


class Connections(Room):
    """Requests for ipsec_site_connections."""

    def create_ipsec_site_connection(
        self, context: Any, ipsec_site_connection: dict[str, Any]
    ) -> dict[str, Any]:
        """Create a connection."""
        body = ipsec_site_connection["ipsec_site_connection"]
        with answering():
            validation.check_psk(body["psk"])
            row = _new_row(body)
            checks.check_scalars(row)
            home = self._parents(context, row)
            family = checks.peer_family(home, row.peer_address)
            connection_id = row.id
            with (
                db_api.CONTEXT_WRITER.using(context) as session,
                self.store.changing(session, home.router_id) as change,
            ):
                checks.check_pair(*_policies(context, session, row, body))
                older = checks.check_connection(context, session, home, row, body)
                session.add(row)
                session.flush()
                vault.current().write(session, row, body["psk"])
                change.peer_family(connection_id, family)
                change.concern([connection_id])
                change.supersede({each: connection_id for each in older})
        self._look(home.router_id)
        return CONNECTIONS.get(context, connection_id)

    def update_ipsec_site_connection(
        self, context: Any, ipsec_site_connection_id: str, ipsec_site_connection: dict[str, Any]
    ) -> dict[str, Any]:
        """Update a connection in every status: what doesn't come up must be correctable."""
        body = ipsec_site_connection["ipsec_site_connection"]
        connection_id = ipsec_site_connection_id
        home = self._home(context, connection_id)
        with answering():
            family = (
                checks.peer_family(home, body["peer_address"]) if "peer_address" in body else None
            )
            with (
                db_api.CONTEXT_WRITER.using(context) as session,
                self.store.changing(session, home.router_id) as change,
                session.no_autoflush,
            ):
                row = CONNECTIONS.row(context, connection_id)
                before = _effect(row)
                rename(row, body)
                _write(row, body)
                self._move(context, session, row, body)
                checks.check_scalars(row)
                if _rekeyed(session, row, body) or _effect(row) != before:
                    checks.check_connection(context, session, home, row, body)
                    change.concern([connection_id])
                if family is not None:
                    change.peer_family(connection_id, family)
        if change.needed:
            self._look(home.router_id)
        return CONNECTIONS.get(context, connection_id)

    def delete_ipsec_site_connection(self, context: Any, ipsec_site_connection_id: str) -> None:
        """Delete a connection at once; what is left of it elsewhere is planned away."""
        router_id = self._home(context, ipsec_site_connection_id).router_id
        with (
            answering(),
            db_api.CONTEXT_WRITER.using(context) as session,
            self.store.changing(session, router_id) as change,
        ):
            change.remove(CONNECTIONS.row(context, ipsec_site_connection_id))
        self._look(router_id)

    def get_ipsec_site_connection(
        self,
        context: Any,
        id: str,
        fields: Any = None,
    ) -> dict[str, Any]:
        """Return one connection."""
        return CONNECTIONS.get(context, id, fields)

    def get_ipsec_site_connections(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[dict[str, Any]]:
        """Return the connections that the filters choose."""
        return CONNECTIONS.list(context, filters, fields, **paging)

    def get_ipsec_site_connections_count(self, context: Any, filters: Any = None) -> int:
        """Return how many connections the filters choose."""
        return CONNECTIONS.count(context, filters)

    def _parents(self, context: Any, row: SiteConnectionRow) -> Home:
        """Return the connection's home; refuse parents that the context can't see."""
        with db_api.CONTEXT_READER.using(context):
            service = VPNSERVICES.row(context, row.vpnservice_id)
            ike = IKEPOLICIES.row(context, row.ikepolicy_id)
            ipsec = IPSECPOLICIES.row(context, row.ipsecpolicy_id)
            checks.check_pair(ike, ipsec)
            self._check_capable(context, ipsec)
            return home_of(service)

    def _move(
        self, context: Any, session: Any, row: SiteConnectionRow, body: dict[str, Any]
    ) -> None:
        """Change to other policies; refuse those that the context can't see or that don't fit."""
        if not any(field in body for field in _POLICIES):
            return
        for field in _POLICIES:
            setattr(row, field, body.get(field, getattr(row, field)))
        ike, ipsec = _policies(context, session, row, body)
        checks.check_pair(ike, ipsec)
        if "ipsecpolicy_id" in body:
            self._check_capable(context, ipsec)

    @staticmethod
    def _home(context: Any, connection_id: str) -> Home:
        """Return the home of a connection that the context can see, whosever its service is."""
        with db_api.CONTEXT_READER.using(context) as session:
            row = CONNECTIONS.row(context, connection_id)
            return home_of(session.get(VpnServiceRow, row.vpnservice_id))


def _policies(
    context: Any, session: Any, row: SiteConnectionRow, body: dict[str, Any]
) -> tuple[IkePolicyRow, IpsecPolicyRow]:
    """Return a connection's policies; those that a request names must be the context's to see."""
    return (
        IKEPOLICIES.named(context, session, row.ikepolicy_id, "ikepolicy_id" in body),
        IPSECPOLICIES.named(context, session, row.ipsecpolicy_id, "ipsecpolicy_id" in body),
    )


def _new_row(body: dict[str, Any]) -> SiteConnectionRow:
    row = SiteConnectionRow(
        **named(body),
        **{field: body[field] for field in _PARENTS},
        **_DPD_DEFAULT,
        psk=vault.current().column(body["psk"]),
        route_mode="static",
        auth_mode="psk",
        status=Status.PENDING_CREATE,
    )
    _write(row, body)
    return row


def _write(row: SiteConnectionRow, body: dict[str, Any]) -> None:
    """Write what the body names; of dpd, what it leaves out stays."""
    for field in _FIELDS:
        if field in body:
            setattr(row, field, body[field])
    for key, value in _dpd(body).items():
        number = key != "action"
        setattr(row, _DPD[key], validation.whole_number(f"dpd {key}", value) if number else value)
    if "peer_cidrs" in body:
        # The database compares text loosely, so a network that stays keeps its row.
        kept = {validation.parse_network(peer.cidr): peer for peer in row.peer_cidrs}
        networks = [(cidr, validation.parse_network(cidr)) for cidr in body["peer_cidrs"] or []]
        validation.parse_peer_cidrs([cidr for cidr, _ in networks])
        row.peer_cidrs = [
            kept.get(network) or PeerCidrRow(cidr=cidr) for cidr, network in networks
        ]


def _rekeyed(session: Any, row: SiteConnectionRow, body: dict[str, Any]) -> bool:
    """Store the key that the body names; return whether it is another one."""
    if "psk" not in body:
        return False
    validation.check_psk(body["psk"])
    if vault.current().show(row) == body["psk"]:
        return False
    vault.current().write(session, row, body["psk"])
    return True


def _dpd(body: dict[str, Any]) -> dict[str, Any]:
    """Return what the body says of dpd; Heat says `actions` for `action`."""
    given = dict(body.get("dpd") or {})
    alias = given.pop("actions", None)
    if alias is not None and given.setdefault("action", alias) != alias:
        raise validation.Invalid(validation.Rule.VALUE, "dpd action and actions must be the same")
    return given


def _effect(row: SiteConnectionRow) -> tuple[Any, ...]:
    """Return everything of a connection that the data plane follows, its policies too."""
    cidrs = frozenset(validation.parse_network(peer.cidr) for peer in row.peer_cidrs)
    return (
        *(getattr(row, field) for field in (*_FIELDS, *_POLICIES)),
        *(getattr(row, field) for field in _DPD.values()),
        cidrs,
    )
