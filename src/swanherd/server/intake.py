"""What agents report becomes what the API shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from oslo_log import log as logging

from swanherd.core.model import Role, RouterReport, RowStatus
from swanherd.server.db import candidates, history, protected
from swanherd.server.db.models import RouterStateRow, StatusRow, VpnServiceRow
from swanherd.server.db.repository import Repository
from swanherd.server.db.status import Target, apply_shown, facts_of, problem_of
from swanherd.server.shown import lost, reported

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Row:
    """A service or connection with all that decides what it shows."""

    target: Target
    service: Any
    status: StatusRow
    router: RouterStateRow


class Intake:
    """Takes reports in; timeout (see `server.shown.reported`) and interval are in seconds.

    What only counts on in a tunnel's details is written once in `details_interval`.
    """

    def __init__(
        self, store: Repository, pending_create_timeout: float, details_interval: float = 60
    ) -> None:
        self._store = store
        self._timeout = pending_create_timeout
        self._details_interval = details_interval

    @db_api.retry_if_session_inactive()
    def take(self, context: Any, host: str, reports: Sequence[RouterReport]) -> None:
        """Write what the reports change, in a constant number of queries.

        A report counts only from the host that has the router, in its present epoch, and for
        rows that no later report was taken in for. Of a standby only its readiness is noted.
        """
        latest = {report.router_id: report for report in sorted(reports, key=_age)}
        with db_api.CONTEXT_WRITER.using(context) as session:
            routers = _locked(session, RouterStateRow.router_id.in_(list(latest)))
            current = {
                router_id: report
                for router_id, report in latest.items()
                if _is_current(routers.get(router_id), host, report)
            }
            candidates.told(session, host, latest)
            said = {
                row.id: (report.revision, row)
                for report in current.values()
                for row in (*report.services, *report.connections)
            }
            # An agent tells of what has changed: rarely of all that a router has.
            for row in _rows(session, {i: routers[i] for i in current}, said):
                self._take_row(row, *said[row.target.id])

    @db_api.retry_if_session_inactive()
    def agents_lost(self, context: Any, live_hosts: Collection[str]) -> None:
        """Show the rows of routers whose agent is gone as DOWN, with that cause."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            gone = RouterStateRow.host.not_in(list(live_hosts))
            routers = _locked(session, RouterStateRow.host.is_not(None) & gone)
            for row in _rows(session, routers):
                if row.status.applied_revision == 0 and not row.status.was_up:
                    continue  # never served: it waits for its first agent
                shown = lost(self._facts(row), row.router.host or "")
                apply_shown(row.target, row.status, shown, self._store.now())
                history.forget(row.status)

    def _facts(self, row: _Row) -> Any:
        problem = problem_of(row.router)
        return facts_of(row.target, row.service, row.status, problem, self._store.now())

    def _take_row(self, row: _Row, revision: int, said: RowStatus) -> None:
        if revision < row.status.applied_revision:
            return
        if revision > row.router.revision:
            return  # of a database that was restored since: the agent will hear of this one's
        row.status.applied_revision = revision
        if not isinstance(row.target, VpnServiceRow):
            now = self._store.now()
            history.tell(row.status, said, now, every=self._details_interval)
        if revision < row.status.revision:
            return  # it tells of a configuration that is past: the row stays pending
        shown = reported(
            self._facts(row),
            said,
            northbound=row.router.northbound_revision >= row.status.revision,
            pending_create_timeout=self._timeout,
        )
        apply_shown(row.target, row.status, shown, self._store.now())


def _age(report: RouterReport) -> tuple[int, int]:
    return report.epoch, report.revision


def _is_current(router: RouterStateRow | None, host: str, report: RouterReport) -> bool:
    if router is None:
        return False
    current = router.host == host and router.epoch == report.epoch
    if not current and report.role is not Role.STANDBY:
        LOG.info(
            "Ignored a report of %s for router %s: epoch %s, it is on %s in epoch %s",
            host,
            report.router_id,
            report.epoch,
            router.host,
            router.epoch,
        )
    return current


def _locked(session: Any, condition: Any) -> dict[str, RouterStateRow]:
    """Return the routers' rows, locked in one order, so that no change comes between."""
    query = (
        sa.select(RouterStateRow)
        .where(condition)
        .order_by(RouterStateRow.router_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.router_id: row for row in session.scalars(query)}


def _rows(
    session: Any, routers: dict[Any, RouterStateRow], among: Collection[str] | None = None
) -> list[_Row]:
    """Return the services and connections of the routers; `among` chooses by id."""
    ids = list(routers)
    if not ids:
        return []
    services = {service.id: service for service in protected.services_of(session, ids)}
    query = sa.select(StatusRow).where(StatusRow.router_id.in_(ids))
    if among is not None:
        query = query.where(StatusRow.id.in_(among))
    statuses = {status.id: status for status in session.scalars(query)}
    connections = protected.connections_of(session, ids, among)
    targets: tuple[Target, ...] = (*services.values(), *connections)
    found = []
    for target in targets:
        service = services[getattr(target, "vpnservice_id", target.id)]
        status = statuses.get(target.id)
        if status is not None:
            found.append(_Row(target, service, status, routers[service.router_id]))
    return found
