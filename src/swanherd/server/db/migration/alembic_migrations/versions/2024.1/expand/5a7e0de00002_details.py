"""What is shown of a service or connection beside its status."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "5a7e0de00002"
down_revision = "5a7e0de00001"


def upgrade() -> None:
    """Add the columns."""
    large = mysql.MEDIUMTEXT()
    json = sa.Text().with_variant(large, "mysql").with_variant(large, "mariadb")
    for name, kind in (
        ("told_at", sa.DateTime()),
        ("effective_mtu", sa.Integer()),
        ("tunnel", json),
        ("events", json),
    ):
        op.add_column("swanherd_statuses", sa.Column(name, kind, nullable=True))
