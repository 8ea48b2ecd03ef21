"""What is remembered of a service or connection beside its status: events and details."""

from __future__ import annotations

import datetime
import json
from typing import Any

from swanherd.core.model import RowStatus
from swanherd.server import told
from swanherd.server.db.models import StatusRow
from swanherd.server.shown import Shown

MAX_EVENTS = 20
EVENT_TEXT_SIZE = 512


def iso(time: datetime.datetime) -> str:
    """Return a time of the tables, UTC, as the API shows it."""
    return f"{time.isoformat()}Z"


def note(status: StatusRow, shown: Shown, now: datetime.datetime) -> None:
    """Remember a change of the status or its cause; the oldest of too many are forgotten."""
    reason = shown.reason
    event = {
        "at": iso(now),
        "status": str(shown.status),
        "code": reason.code if reason else None,
        "text": reason.text[:EVENT_TEXT_SIZE] if reason else None,
    }
    status.events = json.dumps([event, *events_of(status)][:MAX_EVENTS])


def tell(status: StatusRow, said: RowStatus, now: datetime.datetime, *, every: float) -> None:
    """Remember what an agent says of a tunnel, if it is news (`server.told.is_news`)."""
    if status.effective_mtu != said.effective_mtu:
        status.effective_mtu = said.effective_mtu
    tunnel = told.as_shown(said.details) if said.details is not None else None
    known = json.loads(status.tunnel) if status.tunnel else None
    elapsed = (now - status.told_at).total_seconds() if status.told_at else 0.0
    if told.is_news(known, tunnel, elapsed, every):
        status.told_at = now if tunnel else None
        status.tunnel = json.dumps(tunnel) if tunnel else None


def forget(status: StatusRow) -> None:
    """Forget a tunnel of which nobody can tell any more."""
    status.told_at = status.tunnel = status.effective_mtu = None


def events_of(status: StatusRow) -> list[dict[str, Any]]:
    """Return the last changes of the status, the newest first."""
    events: list[dict[str, Any]] = json.loads(status.events or "[]")
    return events


def details_of(status: StatusRow | None) -> dict[str, Any]:
    """Return the attributes that tell of a connection's tunnel; null while there is none."""
    if status is None:
        return {"effective_mtu": None, "details": None}
    details = None
    if status.tunnel is not None and status.told_at is not None:
        details = {"at": iso(status.told_at), **json.loads(status.tunnel)}
    return {"effective_mtu": status.effective_mtu, "details": details}
