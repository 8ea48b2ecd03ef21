"""Between the rows and the values of `server.shown`."""

from __future__ import annotations

import datetime

from swanherd.core.model import Reason
from swanherd.core.validation import Invalid, peer_ip
from swanherd.server.db import history
from swanherd.server.db.models import (
    REASON_CODE_SIZE,
    REASON_TEXT_SIZE,
    RouterStateRow,
    SiteConnectionRow,
    StatusRow,
    VpnServiceRow,
)
from swanherd.server.shown import Facts, Shown, missing_address, superseded

Target = VpnServiceRow | SiteConnectionRow


def problem_of(row: RouterStateRow | StatusRow) -> Reason | None:
    """Return the cause that the server found for a whole router, or for one row."""
    if row.problem_code is None:
        return None
    return Reason(row.problem_code, row.problem_text or "", row.problem_hint or "")


def store_problem(row: RouterStateRow | StatusRow, problem: Reason | None) -> bool:
    """Write the cause; return whether it differs from what was there."""
    wanted = problem and fitting(problem)
    if problem_of(row) == wanted:
        return False
    row.problem_code = wanted.code if wanted else None
    row.problem_text = wanted.text if wanted else None
    row.problem_hint = wanted.hint if wanted else None
    return True


def fitting(reason: Reason) -> Reason:
    """Cut a reason to what its columns hold."""
    return Reason(
        reason.code[:REASON_CODE_SIZE],
        reason.text[:REASON_TEXT_SIZE],
        reason.hint[:REASON_TEXT_SIZE],
    )


def peer_family(row: SiteConnectionRow, status: StatusRow | None) -> int | None:
    """Return the family of a connection's peer; None for a name that was never resolved."""
    try:
        family = peer_ip(row.peer_address)
    except Invalid:
        return None
    return family or (status.peer_family if status is not None else None)


def connection_problem(
    row: SiteConnectionRow, service: VpnServiceRow, status: StatusRow | None
) -> Reason | None:
    """Return the cause why one connection of a router that has addresses can't work."""
    if status is not None and status.superseded_by is not None:
        return superseded(status.superseded_by)
    if status is not None and (found := problem_of(status)) is not None:
        return found
    addresses = {4: service.external_v4_ip, 6: service.external_v6_ip}
    family = peer_family(row, status)
    if family is None or addresses[family] or not any(addresses.values()):
        return None
    return missing_address(family)


def facts_of(
    target: Target,
    service: VpnServiceRow,
    status: StatusRow,
    problem: Reason | None,
    now: datetime.datetime,
) -> Facts:
    """Return what the server knows of a service or connection."""
    is_service = isinstance(target, VpnServiceRow)
    if problem is None:
        problem = (
            connection_problem(target, service, status)
            if isinstance(target, SiteConnectionRow)
            else problem_of(status)
        )
    return Facts(
        is_service=is_service,
        up=bool(target.admin_state_up and service.admin_state_up),
        was_up=status.was_up,
        age=(now - status.created_at).total_seconds(),
        problem=problem,
    )


def apply_shown(
    target: Target,
    status: StatusRow,
    shown: Shown,
    now: datetime.datetime,
) -> None:
    """Write what is shown; `since` moves only when the status or its cause does."""
    reason = shown.reason and fitting(shown.reason)
    wanted = (reason.code, reason.text, reason.hint) if reason else (None, None, None)
    changed = target.status != shown.status or (status.code, status.text, status.hint) != wanted
    if changed:
        status.since = now
    if changed or status.events is None:
        history.note(status, shown, now)
    target.status = str(shown.status)
    status.was_up = shown.was_up
    status.code, status.text, status.hint = wanted
