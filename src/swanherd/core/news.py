"""What of a report the server hasn't been told yet. Pure."""

from __future__ import annotations

import dataclasses

from swanherd.core.model import RouterReport

# With so few connections a report is told whole each time.
FEW = 50


def news_of(report: RouterReport, told: RouterReport | None) -> RouterReport:
    """Return the report without the connections that are as they were told.

    Whole if nothing was told of that revision: which rows became pending with it only the server
    knows. To tell of a thousand connections costs more than all else of a look.
    """
    if told is None or len(report.connections) <= FEW:
        return report
    if (told.revision, told.epoch, told.role) != (report.revision, report.epoch, report.role):
        return report
    known = {row.id: row for row in told.connections}
    # Mostly the row is the same object, and nothing is compared.
    news = tuple(
        row
        for row in report.connections
        if (before := known.get(row.id)) is not row and before != row
    )
    return dataclasses.replace(report, connections=news)
