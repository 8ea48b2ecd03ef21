"""Columns of tables that neutron-vpnaas made: no enumerations, and room for any IPv6 CIDR."""

import sqlalchemy as sa
from alembic import op

revision = "5a7e0de00103"
down_revision = "5a7e0de00102"

_SIZE = 16
_POLICIES = ("auth_algorithm", "encryption_algorithm", "lifetime_units", "pfs")
_STRINGS = {
    "ikepolicies": (*_POLICIES, "phase1_negotiation_mode", "ike_version"),
    "ipsecpolicies": (*_POLICIES, "transform_protocol", "encapsulation_mode"),
    "vpn_endpoint_groups": ("endpoint_type",),
    "ipsec_site_connections": ("initiator", "dpd_action"),
}


def upgrade() -> None:
    """Change what isn't as we make it; rows keep their values."""
    if op.get_context().as_sql:
        return
    inspector = sa.inspect(op.get_bind())
    for table, names in _STRINGS.items():
        types = {column["name"]: column["type"] for column in inspector.get_columns(table)}
        for name in names:
            if isinstance(types[name], sa.Enum) or getattr(types[name], "enums", None):
                _widen(table, name, _SIZE)
    columns = inspector.get_columns("ipsecpeercidrs")
    if any(c["name"] == "cidr" and c["type"].length < 64 for c in columns):
        _widen("ipsecpeercidrs", "cidr", 64)


def _widen(table: str, name: str, size: int) -> None:
    op.alter_column(table, name, type_=sa.String(size), existing_nullable=False, nullable=False)
