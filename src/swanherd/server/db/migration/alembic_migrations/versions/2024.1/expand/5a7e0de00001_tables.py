"""Every table that isn't there: neutron-vpnaas' are taken over with their rows where they are."""

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op
from neutron.db.migration import cli

from swanherd.server.db import inherited

revision = "5a7e0de00001"
down_revision = "start_swanherd"
branch_labels = (cli.EXPAND_BRANCH,)


def _text(name: str, size: int, *, nullable: bool = False, primary: bool = False) -> sa.Column:
    return sa.Column(name, sa.String(size), nullable=nullable, primary_key=primary)


def _resource() -> Iterable[sa.Column]:
    return (
        _text("id", 36, primary=True),
        sa.Column("project_id", sa.String(255), nullable=True, index=True),
        _text("name", 255, nullable=True),
        _text("description", 255, nullable=True),
    )


def _proposal() -> Iterable[sa.Column]:
    return (
        _text("auth_algorithm", 16),
        _text("encryption_algorithm", 16),
        _text("lifetime_units", 16),
        sa.Column("lifetime_value", sa.Integer, nullable=False),
        _text("pfs", 16),
    )


def _reference(name: str, target: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.String(36), sa.ForeignKey(target), nullable=nullable)


def _child_of(name: str, target: str) -> sa.Column:
    key = sa.ForeignKey(target, ondelete="CASCADE")
    return sa.Column(name, sa.String(36), key, nullable=False, primary_key=True)


def _kept(name: str, target: str) -> sa.Column:
    return sa.Column(name, sa.String(36), sa.ForeignKey(target, ondelete="SET NULL"))


def _policies() -> dict[str, Iterable[sa.Column]]:
    return {
        "ikepolicies": (
            *_resource(),
            *_proposal(),
            _text("phase1_negotiation_mode", 16),
            _text("ike_version", 16),
        ),
        "ipsecpolicies": (
            *_resource(),
            *_proposal(),
            _text("transform_protocol", 16),
            _text("encapsulation_mode", 16),
        ),
        "vpn_endpoint_groups": (*_resource(), _text("endpoint_type", 16)),
        "vpn_endpoints": (
            _text("endpoint", 255, primary=True),
            _child_of("endpoint_group_id", "vpn_endpoint_groups.id"),
        ),
    }


def _services() -> dict[str, Iterable[sa.Column]]:
    return {
        "vpnservices": (
            *_resource(),
            _text("status", 16),
            sa.Column("admin_state_up", sa.Boolean, nullable=False),
            _text("external_v4_ip", 16, nullable=True),
            _text("external_v6_ip", 64, nullable=True),
            _reference("subnet_id", "subnets.id", nullable=True),
            _reference("router_id", "routers.id"),
            _reference("flavor_id", "flavors.id", nullable=True),
        ),
        "ipsec_site_connections": (
            *_resource(),
            _text("peer_address", 255),
            _text("peer_id", 255),
            _text("local_id", 255, nullable=True),
            _text("route_mode", 8),
            sa.Column("mtu", sa.Integer, nullable=False),
            _text("initiator", 16),
            _text("auth_mode", 16),
            _text("psk", 255),
            _text("dpd_action", 16),
            sa.Column("dpd_interval", sa.Integer, nullable=False),
            sa.Column("dpd_timeout", sa.Integer, nullable=False),
            _text("status", 16),
            sa.Column("admin_state_up", sa.Boolean, nullable=False),
            _reference("vpnservice_id", "vpnservices.id"),
            _reference("ipsecpolicy_id", "ipsecpolicies.id"),
            _reference("ikepolicy_id", "ikepolicies.id"),
            _reference("local_ep_group_id", "vpn_endpoint_groups.id", nullable=True),
            _reference("peer_ep_group_id", "vpn_endpoint_groups.id", nullable=True),
        ),
        "ipsecpeercidrs": (
            _text("cidr", 64, primary=True),
            _child_of("ipsec_site_connection_id", "ipsec_site_connections.id"),
        ),
    }


def _gateways() -> dict[str, Iterable[sa.Column | sa.Constraint]]:
    return {
        "vpn_ext_gws": (
            _text("id", 36, primary=True),
            sa.Column("project_id", sa.String(255), nullable=True, index=True),
            _reference("router_id", "routers.id"),
            _text("status", 16),
            _kept("gw_port_id", "ports.id"),
            _kept("transit_port_id", "ports.id"),
            _kept("transit_network_id", "networks.id"),
            _kept("transit_subnet_id", "subnets.id"),
            sa.UniqueConstraint("router_id"),
        ),
        "routervpnagentbindings": (
            _child_of("router_id", "routers.id"),
            _text("vpn_agent_id", 36, primary=True),
            sa.UniqueConstraint("router_id"),
        ),
    }


def _ours() -> dict[str, Iterable[sa.Column]]:
    return {
        "swanherd_routers": (
            _text("router_id", 36, primary=True),
            sa.Column("revision", sa.BigInteger, nullable=False),
            sa.Column("northbound_revision", sa.BigInteger, nullable=False),
            sa.Column("host", sa.String(255), nullable=True, index=True),
            sa.Column("epoch", sa.Integer, nullable=False),
            _text("naming_key", 64),
            _text("problem_code", 64, nullable=True),
            _text("problem_text", 1024, nullable=True),
            _text("problem_hint", 1024, nullable=True),
        ),
        "swanherd_statuses": (
            _text("id", 36, primary=True),
            sa.Column("router_id", sa.String(36), nullable=False, index=True),
            sa.Column("revision", sa.BigInteger, nullable=False),
            sa.Column("applied_revision", sa.BigInteger, nullable=False),
            _text("code", 64, nullable=True),
            _text("text", 1024, nullable=True),
            _text("hint", 1024, nullable=True),
            sa.Column("since", sa.DateTime, nullable=False),
            sa.Column("was_up", sa.Boolean, nullable=False),
            sa.Column("created_at", sa.DateTime, nullable=False),
            sa.Column("peer_family", sa.Integer, nullable=True),
        ),
    }


def upgrade() -> None:
    """Create what is missing, once it is clear that what is there can be taken over."""
    theirs = {**_policies(), **_services(), **_gateways()}
    there = set()
    if not op.get_context().as_sql:
        names = sa.inspect(op.get_bind()).get_table_names()
        for name in inherited.never_used(op.get_bind(), names):
            op.drop_table(name)
        # One of its own, since an inspector remembers.
        inspector = sa.inspect(op.get_bind())
        inherited.check(inspector, theirs)
        there = set(inspector.get_table_names())
    tables = {**theirs, **_ours()}
    for name, parts in tables.items():
        if name not in there:
            op.create_table(name, *parts)
