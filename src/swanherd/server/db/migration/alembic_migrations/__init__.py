"""Alembic's environment of the subproject `swanherd`."""

VERSION_TABLE = "alembic_version_swanherd"
