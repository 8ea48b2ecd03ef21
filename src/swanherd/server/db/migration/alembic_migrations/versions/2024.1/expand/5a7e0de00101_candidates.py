"""The hosts that may serve a router, their order, an operator's pin and their readiness."""

import sqlalchemy as sa
from alembic import op

revision = "5a7e0de00101"
down_revision = "5a7e0de00003"


def upgrade() -> None:
    """Create the table; the sweep fills it."""
    op.create_table(
        "swanherd_candidates",
        sa.Column("router_id", sa.String(36), nullable=False, primary_key=True),
        sa.Column("host", sa.String(255), nullable=False, primary_key=True, index=True),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("pinned", sa.Boolean, nullable=False),
        sa.Column("ready", sa.Boolean, nullable=True),
        sa.Column("applied_revision", sa.BigInteger, nullable=True),
    )
