"""A cause that concerns one connection of a router alone."""

import sqlalchemy as sa
from alembic import op

revision = "5a7e0de00003"
down_revision = "5a7e0de00002"


def upgrade() -> None:
    """Add the columns."""
    for name, size in (("problem_code", 64), ("problem_text", 1024), ("problem_hint", 1024)):
        op.add_column("swanherd_statuses", sa.Column(name, sa.String(size), nullable=True))
