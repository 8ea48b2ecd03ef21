"""The tables: those of neutron-vpnaas by name and column, and three of our own.

Enumerations are strings: what the API may store is the API's matter, so that a new algorithm, or
a default that goes out of fashion, needs no migration.
"""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import constants as db_const
from neutron_lib.db import model_base
from sqlalchemy import orm
from sqlalchemy.dialects import mysql

from swanherd.server.compat import column

STATUS_SIZE = 16
REASON_CODE_SIZE = 64
REASON_TEXT_SIZE = 1024
HOST_SIZE = 255
CIDR_SIZE = 64  # the longest IPv6 CIDR in text has 43 characters
DEFAULT_LIFETIME = 3600  # seconds
# MariaDB's TEXT ends at 64 KiB, which a tunnel with many pairs of networks exceeds.
JSON_TEXT = (
    sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql").with_variant(mysql.MEDIUMTEXT(), "mariadb")
)


class _HiddenText(str):
    """Text that an error message of the database layer, which prints parameters, can't show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class HiddenString(sa.types.TypeDecorator):  # type: ignore[type-arg]  # 1.4 has no argument
    """A string column whose values appear in no repr on their way to the database."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Hide the value."""
        return None if value is None else _HiddenText(value)


class _Named:
    """Columns that every VPN resource has."""

    name: orm.Mapped[str | None] = column(sa.String(db_const.NAME_FIELD_SIZE))
    description: orm.Mapped[str | None] = column(sa.String(db_const.DESCRIPTION_FIELD_SIZE))


def _state(owner: str) -> Any:
    return orm.relationship(
        "StatusRow",
        primaryjoin=f"foreign({owner}.id) == StatusRow.id",
        uselist=False,
        viewonly=True,
        lazy="selectin",
    )


class _Proposal:
    """Columns that IKE and IPsec policies share; lifetime in seconds."""

    auth_algorithm: orm.Mapped[str] = column(sa.String(16), nullable=False)
    encryption_algorithm: orm.Mapped[str] = column(sa.String(16), nullable=False)
    lifetime_units: orm.Mapped[str] = column(sa.String(16), nullable=False)
    lifetime_value: orm.Mapped[int] = column(sa.Integer, nullable=False)
    pfs: orm.Mapped[str] = column(sa.String(16), nullable=False)


class IkePolicyRow(model_base.BASEV2, model_base.HasId, model_base.HasProject, _Named, _Proposal):
    """An IKE policy."""

    __tablename__ = "ikepolicies"
    resource = "ikepolicy"
    phase1_negotiation_mode: orm.Mapped[str] = column(sa.String(16), nullable=False)
    ike_version: orm.Mapped[str] = column(sa.String(16), nullable=False)


class IpsecPolicyRow(
    model_base.BASEV2, model_base.HasId, model_base.HasProject, _Named, _Proposal
):
    """An IPsec policy."""

    __tablename__ = "ipsecpolicies"
    resource = "ipsecpolicy"
    transform_protocol: orm.Mapped[str] = column(sa.String(16), nullable=False)
    encapsulation_mode: orm.Mapped[str] = column(sa.String(16), nullable=False)


class EndpointRow(model_base.BASEV2):
    """One endpoint of a group."""

    __tablename__ = "vpn_endpoints"
    endpoint: orm.Mapped[str] = column(sa.String(255), nullable=False, primary_key=True)
    endpoint_group_id: orm.Mapped[str] = column(
        sa.String(36),
        sa.ForeignKey("vpn_endpoint_groups.id", ondelete="CASCADE"),
        nullable=False,
        primary_key=True,
    )


class EndpointGroupRow(model_base.BASEV2, model_base.HasId, model_base.HasProject, _Named):
    """An endpoint group."""

    __tablename__ = "vpn_endpoint_groups"
    endpoint_type: orm.Mapped[str] = column(sa.String(16), nullable=False)
    endpoints: orm.Mapped[list[EndpointRow]] = orm.relationship(
        EndpointRow, cascade="all, delete-orphan", passive_deletes=True, lazy="selectin"
    )


class VpnServiceRow(model_base.BASEV2, model_base.HasId, model_base.HasProject, _Named):
    """A vpnservice."""

    __tablename__ = "vpnservices"
    status: orm.Mapped[str] = column(sa.String(STATUS_SIZE), nullable=False)
    admin_state_up: orm.Mapped[bool] = column(sa.Boolean, nullable=False)
    external_v4_ip: orm.Mapped[str | None] = column(sa.String(16))
    external_v6_ip: orm.Mapped[str | None] = column(sa.String(64))
    subnet_id: orm.Mapped[str | None] = column(sa.String(36), sa.ForeignKey("subnets.id"))
    router_id: orm.Mapped[str] = column(sa.String(36), sa.ForeignKey("routers.id"), nullable=False)
    flavor_id: orm.Mapped[str | None] = column(sa.String(36), sa.ForeignKey("flavors.id"))
    state: orm.Mapped[StatusRow | None] = _state("VpnServiceRow")


class PeerCidrRow(model_base.BASEV2):
    """One peer CIDR of a connection."""

    __tablename__ = "ipsecpeercidrs"
    cidr: orm.Mapped[str] = column(sa.String(CIDR_SIZE), nullable=False, primary_key=True)
    ipsec_site_connection_id: orm.Mapped[str] = column(
        sa.String(36),
        sa.ForeignKey("ipsec_site_connections.id", ondelete="CASCADE"),
        nullable=False,
        primary_key=True,
    )


class SecretRow(model_base.BASEV2):
    """A connection's key, encrypted (server.db.vault)."""

    __tablename__ = "swanherd_secrets"
    id: orm.Mapped[str] = column(
        sa.String(36),
        sa.ForeignKey("ipsec_site_connections.id", ondelete="CASCADE"),
        primary_key=True,
    )
    token: orm.Mapped[str] = column(sa.Text, nullable=False)


class SiteConnectionRow(model_base.BASEV2, model_base.HasId, model_base.HasProject, _Named):
    """An IPsec site connection; the psk is never in a repr (model_base prints every column)."""

    __tablename__ = "ipsec_site_connections"
    peer_address: orm.Mapped[str] = column(sa.String(255), nullable=False)
    peer_id: orm.Mapped[str] = column(sa.String(255), nullable=False)
    local_id: orm.Mapped[str | None] = column(sa.String(255))
    route_mode: orm.Mapped[str] = column(sa.String(8), nullable=False)
    mtu: orm.Mapped[int] = column(sa.Integer, nullable=False)
    initiator: orm.Mapped[str] = column(sa.String(16), nullable=False)
    auth_mode: orm.Mapped[str] = column(sa.String(16), nullable=False)
    psk: orm.Mapped[str] = column(HiddenString(255), nullable=False)
    dpd_action: orm.Mapped[str] = column(sa.String(16), nullable=False)
    dpd_interval: orm.Mapped[int] = column(sa.Integer, nullable=False)
    dpd_timeout: orm.Mapped[int] = column(sa.Integer, nullable=False)
    status: orm.Mapped[str] = column(sa.String(STATUS_SIZE), nullable=False)
    admin_state_up: orm.Mapped[bool] = column(sa.Boolean, nullable=False)
    vpnservice_id: orm.Mapped[str] = column(
        sa.String(36), sa.ForeignKey("vpnservices.id"), nullable=False
    )
    ipsecpolicy_id: orm.Mapped[str] = column(
        sa.String(36), sa.ForeignKey("ipsecpolicies.id"), nullable=False
    )
    ikepolicy_id: orm.Mapped[str] = column(
        sa.String(36), sa.ForeignKey("ikepolicies.id"), nullable=False
    )
    local_ep_group_id: orm.Mapped[str | None] = column(
        sa.String(36), sa.ForeignKey("vpn_endpoint_groups.id")
    )
    peer_ep_group_id: orm.Mapped[str | None] = column(
        sa.String(36), sa.ForeignKey("vpn_endpoint_groups.id")
    )
    peer_cidrs: orm.Mapped[list[PeerCidrRow]] = orm.relationship(
        PeerCidrRow, cascade="all, delete-orphan", passive_deletes=True, lazy="selectin"
    )
    state: orm.Mapped[StatusRow | None] = _state("SiteConnectionRow")
    sealed: orm.Mapped[SecretRow | None] = orm.relationship(
        SecretRow, uselist=False, viewonly=True, lazy="selectin"
    )

    def __repr__(self) -> str:
        return f"<SiteConnectionRow {self.id}>"


class ExternalGatewayRow(model_base.BASEV2, model_base.HasId, model_base.HasProject):
    """A gateway of neutron-vpnaas' OVN driver: kept for the way back, never written."""

    __tablename__ = "vpn_ext_gws"
    router_id: orm.Mapped[str] = column(
        sa.String(36), sa.ForeignKey("routers.id"), nullable=False, unique=True
    )
    status: orm.Mapped[str] = column(sa.String(STATUS_SIZE), nullable=False)
    gw_port_id: orm.Mapped[str | None] = column(
        sa.String(36), sa.ForeignKey("ports.id", ondelete="SET NULL")
    )
    transit_port_id: orm.Mapped[str | None] = column(
        sa.String(36), sa.ForeignKey("ports.id", ondelete="SET NULL")
    )
    transit_network_id: orm.Mapped[str | None] = column(
        sa.String(36), sa.ForeignKey("networks.id", ondelete="SET NULL")
    )
    transit_subnet_id: orm.Mapped[str | None] = column(
        sa.String(36), sa.ForeignKey("subnets.id", ondelete="SET NULL")
    )


class AgentBindingRow(model_base.BASEV2):
    """A placement of neutron-vpnaas' OVN driver: kept for the way back, never written."""

    __tablename__ = "routervpnagentbindings"
    __table_args__ = (sa.UniqueConstraint("router_id"), model_base.BASEV2.__table_args__)
    router_id: orm.Mapped[str] = column(
        sa.String(36), sa.ForeignKey("routers.id", ondelete="CASCADE"), primary_key=True
    )
    vpn_agent_id: orm.Mapped[str] = column(sa.String(36), primary_key=True)


class RouterStateRow(model_base.BASEV2):
    """One router with a VPN; no foreign key, since it outlives the router until all is removed.

    `claimed_at`: since when `host` has had the address of a redundant router, as its agent says.
    """

    __tablename__ = "swanherd_routers"
    router_id: orm.Mapped[str] = column(sa.String(36), primary_key=True)
    revision: orm.Mapped[int] = column(sa.BigInteger, nullable=False)
    northbound_revision: orm.Mapped[int] = column(sa.BigInteger, nullable=False)
    host: orm.Mapped[str | None] = column(sa.String(HOST_SIZE), index=True)
    epoch: orm.Mapped[int] = column(sa.Integer, nullable=False)
    claimed_at: orm.Mapped[datetime.datetime | None] = column(sa.DateTime)
    naming_key: orm.Mapped[str] = column(sa.String(64), nullable=False)
    problem_code: orm.Mapped[str | None] = column(sa.String(REASON_CODE_SIZE))
    problem_text: orm.Mapped[str | None] = column(sa.String(REASON_TEXT_SIZE))
    problem_hint: orm.Mapped[str | None] = column(sa.String(REASON_TEXT_SIZE))

    def __repr__(self) -> str:
        return f"<RouterStateRow {self.router_id} revision {self.revision}>"


class StatusRow(model_base.BASEV2):
    """What is known of one vpnservice or connection beside its row.

    `revision` is the router's when it last changed, `applied_revision` the last that the agent
    reported; `peer_family` is 4 or 6 for a connection whose peer_address is a name. As JSON
    (server.db.history): `tunnel`, which an agent told at `told_at`, and `events`, the last
    changes of the status. `superseded_by`: a newer connection that has its networks.
    """

    __tablename__ = "swanherd_statuses"
    id: orm.Mapped[str] = column(sa.String(36), primary_key=True)
    router_id: orm.Mapped[str] = column(sa.String(36), nullable=False, index=True)
    revision: orm.Mapped[int] = column(sa.BigInteger, nullable=False)
    applied_revision: orm.Mapped[int] = column(sa.BigInteger, nullable=False)
    code: orm.Mapped[str | None] = column(sa.String(REASON_CODE_SIZE))
    text: orm.Mapped[str | None] = column(sa.String(REASON_TEXT_SIZE))
    hint: orm.Mapped[str | None] = column(sa.String(REASON_TEXT_SIZE))
    since: orm.Mapped[datetime.datetime] = column(sa.DateTime, nullable=False)
    was_up: orm.Mapped[bool] = column(sa.Boolean, nullable=False)
    created_at: orm.Mapped[datetime.datetime] = column(sa.DateTime, nullable=False)
    peer_family: orm.Mapped[int | None] = column(sa.Integer)
    problem_code: orm.Mapped[str | None] = column(sa.String(REASON_CODE_SIZE))
    problem_text: orm.Mapped[str | None] = column(sa.String(REASON_TEXT_SIZE))
    problem_hint: orm.Mapped[str | None] = column(sa.String(REASON_TEXT_SIZE))
    superseded_by: orm.Mapped[str | None] = column(sa.String(36))
    told_at: orm.Mapped[datetime.datetime | None] = column(sa.DateTime)
    effective_mtu: orm.Mapped[int | None] = column(sa.Integer)
    tunnel: orm.Mapped[str | None] = column(JSON_TEXT)
    events: orm.Mapped[str | None] = column(JSON_TEXT)


class CandidateRow(model_base.BASEV2):
    """A host that may serve a router: the one that does, or one that stands by.

    `rank` orders them, 0 comes next. `pinned`: an operator wants the router there. `ready` and
    `applied_revision` are what the host's agent last said; None before it has said anything.
    """

    __tablename__ = "swanherd_candidates"
    router_id: orm.Mapped[str] = column(sa.String(36), primary_key=True)
    host: orm.Mapped[str] = column(sa.String(HOST_SIZE), primary_key=True, index=True)
    rank: orm.Mapped[int] = column(sa.Integer, nullable=False)
    pinned: orm.Mapped[bool] = column(sa.Boolean, nullable=False)
    ready: orm.Mapped[bool | None] = column(sa.Boolean)
    applied_revision: orm.Mapped[int | None] = column(sa.BigInteger)
