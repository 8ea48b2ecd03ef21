"""The way back: the tables as a release of neutron-vpnaas makes them, with every row."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa
from neutron.db.models import servicetype as servicetype_models

from swanherd.server.db import inherited
from swanherd.server.db.inherited import Release
from swanherd.server.db.migration.alembic_migrations import VERSION_TABLE
from swanherd.server.db.models import PeerCidrRow, SiteConnectionRow, VpnServiceRow
from swanherd.server.db.vault import Keyring, Unreadable

# Children before what they refer to.
OUR_TABLES = (
    *("swanherd_secrets", "swanherd_candidates", "swanherd_statuses", "swanherd_routers"),
    VERSION_TABLE,
)
OUR_PROVIDER = "swanherd"
_BATCH = 100


def obstacles(session: sa.orm.Session, release: Release, keyring: Keyring) -> list[str]:
    """Return what the release can't hold, a sentence for each row; changes nothing."""
    return [
        *_values(session, release),
        *_cidrs(session),
        *_names(session),
        *_keys(session, keyring),
    ]


def _values(session: sa.orm.Session, release: Release) -> Iterator[str]:
    for (table, column), values in sorted(release.enumerations.items()):
        rows = sa.table(table, sa.column("id"), sa.column(column))
        query = sa.select(rows.c.id, rows.c[column]).where(rows.c[column].not_in(values))
        for row_id, value in session.execute(query.order_by(rows.c.id)):
            yield f"{table} {row_id}: {column} {value} doesn't exist there"


def _cidrs(session: sa.orm.Session) -> Iterator[str]:
    query = sa.select(PeerCidrRow.ipsec_site_connection_id, PeerCidrRow.cidr).where(
        sa.func.length(PeerCidrRow.cidr) > inherited.CIDR_SIZE
    )
    for connection_id, cidr in session.execute(query):
        yield (
            f"ipsec_site_connections {connection_id}: the peer CIDR {cidr} is longer than "
            f"{inherited.CIDR_SIZE} characters"
        )


def _names(session: sa.orm.Session) -> Iterator[str]:
    query = sa.select(SiteConnectionRow.id, SiteConnectionRow.peer_address)
    for connection_id, peer in session.execute(query.order_by(SiteConnectionRow.id)):
        try:
            ipaddress.ip_address(peer)
        except ValueError:
            yield (
                f"ipsec_site_connections {connection_id}: peer_address {peer} is a name; "
                "an address is needed there"
            )


def _keys(session: sa.orm.Session, keyring: Keyring) -> Iterator[str]:
    for row in session.scalars(sa.select(SiteConnectionRow)):
        try:
            keyring.read(row)
        except Unreadable as error:
            yield str(error)


def decrypt(session: sa.orm.Session, keyring: Keyring) -> int:
    """Put every key in clear into neutron-vpnaas' column; return how many were encrypted."""
    rows = session.scalars(sa.select(SiteConnectionRow)).all()
    sealed = [(row, keyring.read(row)) for row in rows if row.sealed is not None]
    in_clear = Keyring()
    for row, key in sealed:
        in_clear.write(session, row, key)
    return len(sealed)


def give_back(session: sa.orm.Session) -> None:
    """Forget associations with our own provider: one that isn't configured ends the server."""
    association = servicetype_models.ProviderResourceAssociation
    ours = sa.select(VpnServiceRow.id)
    session.execute(
        sa.delete(association).where(
            association.provider_name == OUR_PROVIDER, association.resource_id.in_(ours)
        )
    )


def tables(connection: sa.Connection, release: Release) -> None:
    """Make columns, version table and the absence of ours; MariaDB can't take this back.

    Each step may be repeated, so that an interrupted run is finished by another one.
    """
    quote = connection.dialect.identifier_preparer.quote
    for table in sorted({table for table, _ in release.enumerations}):
        changes = ", ".join(
            f"MODIFY {quote(column)} ENUM({_literals(values)}) NOT NULL"
            for (of, column), values in release.enumerations.items()
            if of == table
        )
        connection.execute(sa.text(f"ALTER TABLE {quote(table)} {changes}"))
    size = inherited.CIDR_SIZE
    connection.execute(sa.text(f"ALTER TABLE ipsecpeercidrs MODIFY cidr VARCHAR({size}) NOT NULL"))
    _set_version(connection, (inherited.CONTRACT_HEAD, release.expand_head))
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {', '.join(map(quote, OUR_TABLES))}"))


def _literals(values: Iterable[str]) -> str:
    # Constants of ours (server.db.inherited), letters, digits and hyphens only.
    return ", ".join(f"'{value}'" for value in values)


def _set_version(connection: sa.Connection, heads: Sequence[str]) -> None:
    name = inherited.VERSION_TABLE
    connection.execute(
        sa.text(f"CREATE TABLE IF NOT EXISTS {name} (version_num VARCHAR(32) PRIMARY KEY)")
    )
    version = sa.table(name, sa.column("version_num"))
    connection.execute(sa.delete(version))
    connection.execute(sa.insert(version), [{"version_num": head} for head in heads])
    connection.commit()
