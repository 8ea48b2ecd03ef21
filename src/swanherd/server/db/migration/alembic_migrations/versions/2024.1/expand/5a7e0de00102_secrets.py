"""Keys of connections, encrypted."""

import sqlalchemy as sa
from alembic import op

revision = "5a7e0de00102"
down_revision = "5a7e0de00101"


def upgrade() -> None:
    """Create the table."""
    owner = sa.ForeignKey("ipsec_site_connections.id", ondelete="CASCADE")
    op.create_table(
        "swanherd_secrets",
        sa.Column("id", sa.String(36), owner, nullable=False, primary_key=True),
        sa.Column("token", sa.Text, nullable=False),
    )
