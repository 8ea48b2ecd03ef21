"""`swanherdctl db release`: back to neutron-vpnaas, with every row that it can hold."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from swanherd.cmd.servers import settle


def release(config_files: Sequence[str], number: str, *, check: bool) -> int:
    """Give the tables back; exit status 1, and nothing changed, if something can't be held."""
    conf = settle(config_files)
    import sqlalchemy as sa
    from neutron_lib import context as n_context
    from neutron_lib.db import api as db_api

    from swanherd.server import keys
    from swanherd.server.db import inherited, vault
    from swanherd.server.db import release as back
    from swanherd.server.db.migration.alembic_migrations import VERSION_TABLE

    context, wanted = n_context.get_admin_context(), inherited.RELEASES[number]
    engine = db_api.CONTEXT_WRITER.get_engine()
    if VERSION_TABLE not in sa.inspect(engine).get_table_names():
        print("swanherdctl: these aren't Swanherd's tables", file=sys.stderr)
        return 1
    try:
        keyring = keys.keyring(conf)
        with db_api.CONTEXT_READER.using(context) as session:
            found = back.obstacles(session, wanted, keyring)
    except vault.Unreadable as error:
        print(f"swanherdctl: {error}", file=sys.stderr)
        return 1
    for obstacle in found:
        print(obstacle)
    if found:
        print(f"neutron-vpnaas {number} can't hold this; nothing was changed.", file=sys.stderr)
        return 1
    if check:
        print(f"neutron-vpnaas {number} can hold every row.")
        return 0
    with db_api.CONTEXT_WRITER.using(context) as session:
        clear = back.decrypt(session, keyring)
        back.give_back(session)
    with engine.connect() as connection:
        back.tables(connection, wanted)
    print(f"The tables are neutron-vpnaas {number}'s; {clear} keys were decrypted.")
    return 0
