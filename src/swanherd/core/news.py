"""What of a report the server hasn't been told yet. Pure."""

from __future__ import annotations

import dataclasses

from swanherd.core.model import RouterReport

# With so few connections a report is told whole each time.
FEW = 50


def news_of(report: RouterReport, told: RouterReport | None) -> RouterReport:
    """Return the report without the connections that are as they were told.

    `told` is what was told of the same desired state: which rows became pending with another one
    only the server knows. To tell of a thousand connections costs more than all else of a look.
    """
    if told is None or len(report.connections) <= FEW:
        return report
    known = {row.id: row for row in told.connections}
    # Mostly the row is the same object, and nothing is compared.
    news = tuple(
        row
        for row in report.connections
        if (before := known.get(row.id)) is not row and before != row
    )
    return dataclasses.replace(report, connections=news)
