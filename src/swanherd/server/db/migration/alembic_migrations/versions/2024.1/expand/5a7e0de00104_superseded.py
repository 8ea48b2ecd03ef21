"""A connection whose networks a newer one has."""

import sqlalchemy as sa
from alembic import op

revision = "5a7e0de00104"
down_revision = "5a7e0de00103"


def upgrade() -> None:
    """Add the column."""
    op.add_column("swanherd_statuses", sa.Column("superseded_by", sa.String(36), nullable=True))
