"""Long lists as columns: an object of the ORM for each row costs more than all else we do."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from swanherd.server.db.models import PeerCidrRow, SecretRow, SiteConnectionRow, StatusRow

# What the API shows of a connection's state: half of its columns.
_SHOWN = (
    *(StatusRow.id, StatusRow.revision, StatusRow.applied_revision, StatusRow.since),
    *(StatusRow.code, StatusRow.text, StatusRow.hint, StatusRow.events),
    *(StatusRow.tunnel, StatusRow.told_at, StatusRow.effective_mtu),
)


def connections(session: Any, query: Any) -> Iterator[tuple[Any, Any, str | None, list[str]]]:
    """Yield columns, state, encrypted key and peer CIDRs of each connection that a query has.

    Two queries, however many there are.
    """
    rows = session.execute(
        query.statement.with_only_columns(
            *_columns(SiteConnectionRow),
            orm.Bundle("state", *_SHOWN),
            SecretRow.token,
            maintain_column_froms=True,
        )
        .outerjoin(StatusRow, StatusRow.id == SiteConnectionRow.id)
        .outerjoin(SecretRow, SecretRow.id == SiteConnectionRow.id)
        .set_label_style(sa.LABEL_STYLE_DISAMBIGUATE_ONLY)
    ).all()
    cidrs = _peer_cidrs(session, [row.id for row in rows])
    for row in rows:
        state = row.state if row.state.id is not None else None
        yield row, state, row.token, cidrs[row.id]


def _columns(model: Any) -> list[Any]:
    return [getattr(model, attribute.key) for attribute in sa.inspect(model).column_attrs]


def _peer_cidrs(session: Any, connection_ids: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = collections.defaultdict(list)
    query = sa.select(PeerCidrRow.ipsec_site_connection_id, PeerCidrRow.cidr).where(
        PeerCidrRow.ipsec_site_connection_id.in_(connection_ids)
    )
    for connection_id, cidr in session.execute(query):
        found[connection_id].append(cidr)
    return found
