"""Since when the host of a redundant router has had its address."""

import sqlalchemy as sa
from alembic import op

revision = "5a7e0de00105"
down_revision = "5a7e0de00104"


def upgrade() -> None:
    """Add the column."""
    op.add_column("swanherd_routers", sa.Column("claimed_at", sa.DateTime, nullable=True))
