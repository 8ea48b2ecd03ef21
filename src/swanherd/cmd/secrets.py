"""`swanherdctl secrets rotate`: encrypt every pre-shared key with the first of the keys."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from swanherd.cmd.servers import settle

# Connections of one transaction: few enough that the API doesn't wait for it.
BATCH = 100


def rotate(config_files: Sequence[str]) -> int:
    """Store every key anew with the first of the keys; exit status 1 if one can't be decrypted."""
    conf = settle(config_files)
    import sqlalchemy as sa
    from neutron_lib import context as n_context
    from neutron_lib.db import api as db_api

    from swanherd.server import keys
    from swanherd.server.db import vault
    from swanherd.server.db.models import SiteConnectionRow

    context, done = n_context.get_admin_context(), 0
    try:
        keyring = keys.keyring(conf)
        with db_api.CONTEXT_READER.using(context) as session:
            ids = list(session.scalars(sa.select(SiteConnectionRow.id)))
        for start in range(0, len(ids), BATCH):
            with db_api.CONTEXT_WRITER.using(context) as session:
                done += keyring.rewrite(session, ids[start : start + BATCH])
    except vault.Unreadable as error:
        print(f"swanherdctl: {error}; {done} of them are done", file=sys.stderr)
        return 1
    print(f"{done} keys are {'encrypted with the first key' if keyring.encrypts else 'in clear'}.")
    return 0
