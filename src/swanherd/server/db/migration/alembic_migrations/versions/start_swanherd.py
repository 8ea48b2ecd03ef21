"""The common root of both branches."""

revision = "start_swanherd"
down_revision = None


def upgrade() -> None:
    """Nothing yet."""
