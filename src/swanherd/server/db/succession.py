"""Which of several connections with the same networks has them: the newest that is there.

The others show `superseded` and are on no node; when the one that has the networks goes, the next
takes them back (ADR 15).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from swanherd.core.model import TrafficSelector
from swanherd.core.validation import clash
from swanherd.server.db import protected
from swanherd.server.db.models import SiteConnectionRow, StatusRow

Selectors = Mapping[str, Collection[TrafficSelector]]


def overtaken(
    loaded: protected.Protected,
    superseded: Collection[str],
    row: SiteConnectionRow,
    wanted: Collection[TrafficSelector],
) -> tuple[tuple[str, ...], tuple[str, TrafficSelector] | None]:
    """Return the connections that `row` takes the networks from, and what forbids it.

    Only a new connection takes over, and only connections of its own service of which it has every
    pair: nobody loses a network that way. One that is superseded itself may be changed as it is.
    """
    others = {
        other: pairs
        for other, pairs in loaded.selectors.items()
        if other != row.id and other not in superseded
    }
    if row.id in superseded:
        return (), None
    mine = frozenset(wanted)
    touched = [other for other, pairs in others.items() if not mine.isdisjoint(pairs)]
    same_service = {c.id for c in loaded.connections if c.vpnservice_id == row.vpnservice_id}
    is_new = row.id not in loaded.selectors
    whole = {o for o in touched if o in same_service and mine.issuperset(others[o]) and is_new}
    left = {other: others[other] for other in touched if other not in whole}
    return tuple(sorted(whole)), clash(wanted, left)


def settle(session: Any, router_id: str, statuses: Mapping[str, StatusRow]) -> frozenset[str]:
    """Give networks that nobody has any more to the newest that waits; return who is concerned."""
    waiting = [status for status in statuses.values() if status.superseded_by]
    if not waiting:
        return frozenset()
    selectors: Selectors = protected.load(session, router_id).selectors
    blocked = {status.id for status in waiting}
    having = {one: pairs for one, pairs in selectors.items() if one not in blocked}
    concerned = set()
    for status in sorted(waiting, key=lambda s: (s.created_at, s.id), reverse=True):
        mine = selectors.get(status.id, ())
        holder = _holder(mine, status.superseded_by, having)
        if holder is None:
            having[status.id] = mine
        if holder != status.superseded_by:
            status.superseded_by = holder
            concerned.add(status.id)
    return frozenset(concerned)


def _holder(
    mine: Collection[TrafficSelector], present: str | None, having: Selectors
) -> str | None:
    if present and present in having and not frozenset(mine).isdisjoint(having[present]):
        return present
    found = clash(mine, having)
    return found[0] if found else None


def inherited(loaded: protected.Protected) -> Iterable[tuple[str, str]]:
    """Yield who is superseded by whom among connections of another plugin, which refuses none.

    The one that is up keeps the networks; else that with the lowest id.
    """
    having: dict[str, Collection[TrafficSelector]] = {}
    for row in sorted(loaded.connections, key=lambda c: (c.status != "ACTIVE", c.id)):
        found = clash(loaded.selectors[row.id], having)
        if found is None:
            having[row.id] = loaded.selectors[row.id]
        else:
            yield row.id, found[0]
