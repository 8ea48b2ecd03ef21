"""What of a report the server hasn't been told yet. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from swanherd.core.model import RouterReport

# With so few connections a report is told whole each time.
FEW = 50


def news_of(
    report: RouterReport, told: RouterReport | None, unsettled: Iterable[str] | None = ()
) -> RouterReport:
    """Return the report without the connections that are as they were told.

    `unsettled` are those of which the server waits to hear all the same; None: of any. To tell of
    a thousand connections costs more than all else of a look.
    """
    if told is None or unsettled is None or len(report.connections) <= FEW:
        return report
    if (told.epoch, told.role) != (report.epoch, report.role):
        return report
    awaited = frozenset(unsettled)
    # Nearly every row is the same object, and nothing of those is compared.
    same = set(map(id, told.connections))
    concerned = [row for row in report.connections if id(row) not in same or row.id in awaited]
    ids = {row.id for row in concerned}
    known = {row.id: row for row in told.connections if row.id in ids} if ids else {}
    news = [row for row in concerned if row.id in awaited or known.get(row.id) != row]
    return dataclasses.replace(report, connections=tuple(news))


def is_news(report: RouterReport, told: RouterReport) -> bool:
    """Tell whether what `news_of` has left of a report says anything that wasn't told."""
    rows = report.connections
    same = rows in ((), told.connections)
    return not same or dataclasses.replace(report, connections=told.connections) != told
