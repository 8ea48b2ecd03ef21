"""The contract branch begins; nothing contracts yet."""

from neutron.db.migration import cli

revision = "5a7c0de00001"
down_revision = "start_swanherd"
branch_labels = (cli.CONTRACT_BRANCH,)


def upgrade() -> None:
    """Nothing yet."""
