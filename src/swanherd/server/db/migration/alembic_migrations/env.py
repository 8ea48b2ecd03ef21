"""Run the subproject's migrations against Neutron's database."""

from logging import config as logging_config

import sqlalchemy as sa
from alembic import context
from oslo_db.sqlalchemy import session

from swanherd.server.db import head
from swanherd.server.db.migration.alembic_migrations import VERSION_TABLE

config = context.config
neutron_config = config.neutron_config  # type: ignore[attr-defined] # neutron-db-manage sets it
logging_config.fileConfig(config.config_file_name or "")


def run_offline() -> None:
    kwargs = {"version_table": VERSION_TABLE}
    if neutron_config.database.connection:
        kwargs["url"] = neutron_config.database.connection
    else:
        kwargs["dialect_name"] = neutron_config.database.engine
    context.configure(**kwargs)  # type: ignore[arg-type]
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    engine: sa.Engine = session.create_engine(neutron_config.database.connection)
    try:
        with engine.connect() as connection:
            context.configure(
                connection=connection,
                target_metadata=head.get_metadata(),
                version_table=VERSION_TABLE,
            )
            with context.begin_transaction():
                context.run_migrations()
    finally:
        engine.dispose()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
