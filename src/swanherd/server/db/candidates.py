"""Which hosts may serve a router: read and written inside the caller's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from swanherd.core.model import RouterReport
from swanherd.server.db.models import CandidateRow


def of_routers(session: Any, router_ids: Collection[str]) -> Mapping[str, list[CandidateRow]]:
    """Return the candidates of each router, the next one first, in one query."""
    found: dict[str, list[CandidateRow]] = defaultdict(list)
    if router_ids:
        query = sa.select(CandidateRow).where(CandidateRow.router_id.in_(list(router_ids)))
        for row in session.scalars(query.order_by(CandidateRow.rank, CandidateRow.host)):
            found[row.router_id].append(row)
    return found


def replace(session: Any, router_id: str, hosts: Sequence[str]) -> None:
    """Make exactly these the router's candidates, in this order; what they said stays."""
    there = {row.host: row for row in of_routers(session, [router_id]).get(router_id, ())}
    for host in there.keys() - set(hosts):
        session.delete(there[host])
    for rank, host in enumerate(hosts):
        if (row := there.get(host)) is None:
            session.add(CandidateRow(router_id=router_id, host=host, rank=rank, pinned=False))
        elif row.rank != rank:
            row.rank = rank


def pin(session: Any, router_id: str, host: str | None) -> None:
    """Pin the router to one of its candidates, or to none."""
    for row in of_routers(session, [router_id]).get(router_id, ()):
        if row.pinned != (row.host == host):
            row.pinned = row.host == host


def unpin(session: Any, router_id: str, host: str) -> None:
    """Take back the pin to this host, and no other."""
    session.execute(
        sa.update(CandidateRow)
        .where(CandidateRow.router_id == router_id, CandidateRow.host == host)
        .values(pinned=False)
        .execution_options(synchronize_session=False)
    )


def told(session: Any, host: str, reports: Mapping[Any, RouterReport]) -> None:
    """Record how ready the host's agent says that it is for these routers."""
    if not reports:
        return
    query = sa.select(CandidateRow).where(
        CandidateRow.host == host, CandidateRow.router_id.in_(list(reports))
    )
    for row in session.scalars(query):
        report = reports[row.router_id]
        if (row.ready, row.applied_revision) != (report.ready, report.revision):
            row.ready, row.applied_revision = report.ready, report.revision
