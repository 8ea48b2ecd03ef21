"""What the pages ask for again and again, as plain dictionaries: pure."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from swanherd_dashboard.core import words
from swanherd_dashboard.core.rows import Connection

Translate = Callable[[str], str]


def brief(found: Connection, translate: Translate) -> dict[str, Any]:
    """Return what a row of the list and a line of the picture show of a connection."""
    shown: dict[str, Any] = {
        "id": found.id,
        "name": found.label,
        "tone": words.tone(found.status),
        "status": translate(words.status_word(found.status)),
        "code": found.code,
        "reason": found.reason,
        "since": found.since.isoformat() if found.since else "",
        "applying": found.applying,
        "in": "",
        "out": "",
    }
    if found.details is not None:
        shown["in"] = words.size(found.details.total("bytes_in"))
        shown["out"] = words.size(found.details.total("bytes_out"))
    return shown


def traffic(found: Connection) -> dict[str, Any] | None:
    """Return the counters for the chart, with the time of the look in seconds since 1970.

    They are bytes in, bytes out, packets in, packets out of each pair of networks: each pair's
    begin anew with its own rekey.
    """
    if found.details is None or found.details.at is None:
        return None
    pairs: dict[str, tuple[int, ...]] = {}
    for child in found.details.children:
        counted = (child.bytes_in, child.bytes_out, child.packets_in, child.packets_out)
        name = f"{child.local} {child.remote}"
        so_far = pairs.get(name, (0, 0, 0, 0))
        pairs[name] = tuple(a + b for a, b in zip(so_far, counted, strict=True))
    return {"at": found.details.at.timestamp(), "pairs": pairs}


def ages(found: Connection, now: datetime.datetime) -> int:
    """Return how many seconds ago the gateway was looked at, 0 if it wasn't."""
    if found.details is None or found.details.at is None:
        return 0
    return max(0, int((now - found.details.at).total_seconds()))
