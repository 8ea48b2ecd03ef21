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
    known = {row.id: row for row in told.connections}
    # Mostly the row is the same object, and nothing is compared.
    news = tuple(
        row
        for row in report.connections
        if row.id in awaited or ((before := known.get(row.id)) is not row and before != row)
    )
    return dataclasses.replace(report, connections=news)
