"""What the server answers agents (the `Handler` of `rpc.server`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from neutron_lib import context as n_context
from neutron_lib.db import api as db_api
from oslo_log import log as logging

from swanherd.core.model import DesiredRouter, Home, Role, RouterId, RouterReport, Secret
from swanherd.server import desired
from swanherd.server.backend import Backend, RouterRow
from swanherd.server.db.repository import Repository
from swanherd.server.intake import Intake

LOG = logging.getLogger(__name__)


class AgentHandler:
    """Answers from the database; an agent learns only of routers that its host serves.

    Or stands by for: then the role says so.
    """

    def __init__(self, store: Repository, backend: Backend, intake: Intake) -> None:
        self._store = store
        self._backend = backend
        self._intake = intake

    @db_api.retry_db_errors
    def get_router(self, host: str, router_id: RouterId) -> DesiredRouter | None:
        """Return what the router should be; None if that host has nothing to do with it.

        Where a namespace of the router may still be on the host, it learns that this one's VPN is
        elsewhere: there has to be no charon then, but nothing may pass in clear either.
        """
        context = n_context.get_admin_context()
        row = self._store.get_router_row(context, router_id)
        if row is None or row.services == 0:
            return None
        # The row is read first: what is read after it is at least as new as its revision, and
        # a revision that rises meanwhile brings another look.
        wiring = self._backend.wiring(context, row)
        if host not in wiring.hosts:
            return _elsewhere(row) if self._backend.is_guest else None
        home = wiring.home(host) if wiring.home is not None else None
        role = Role.ACTIVE if host == row.host else Role.STANDBY
        return dataclasses.replace(desired.build(context, row, wiring), role=role, home=home)

    @db_api.retry_db_errors
    def get_revisions(self, host: str) -> Mapping[RouterId, int]:
        """Return the revision of every router that the host serves or stands by for."""
        context = n_context.get_admin_context()
        ids = self._backend.routers_of(context, host)
        if ids is None:
            rows = self._store.list_rows_of_host(context, host)
        else:
            rows = self._store.list_rows_of(context, ids)
        return {row.router_id: row.revision for row in rows if row.services}

    def report_status(
        self, host: str, reports: Sequence[RouterReport]
    ) -> Mapping[RouterId, float]:
        """Take in what is true on the host; return which of its routers are served elsewhere.

        For how many seconds another host has had the addresses: who got them last serves.
        """
        LOG.debug("Agent %s reports %d routers", host, len(reports))
        context = n_context.get_admin_context()
        later: dict[RouterId, float] = {}
        # At once: of a thousand reports nearly all say of this nothing new.
        rows = self._store.list_rows_of(context, [report.router_id for report in reports])
        seen = {row.router_id: row for row in rows}
        for report in reports:
            if (row := seen.get(report.router_id)) is None:
                continue
            if report.role is Role.ACTIVE or report.held is not None:
                # If that moves the router, this report is of the epoch before: another follows.
                seconds = self._backend.claimed(context, row, host, report.held)
                if seconds is not None:
                    later[row.router_id] = seconds
            else:
                self._backend.released(context, row, host)
        self._intake.take(context, host, reports)
        return later


def _elsewhere(row: RouterRow) -> DesiredRouter:
    """Return what a host is told of a router that it doesn't have, which is no secret."""
    return DesiredRouter(
        id=row.router_id,
        revision=row.revision,
        epoch=row.epoch,
        naming_key=Secret(""),
        public=None,
        transit=None,
        router_addresses=(),
        services=(),
        connections=(),
        role=Role.STANDBY,
        home=Home(namespace=None),
    )
