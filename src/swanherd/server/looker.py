"""What follows a change: the backend is made to fit, and the agents are told to look."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from neutron_lib import context as n_context
from neutron_lib import exceptions as lib_exc
from oslo_db import exception as db_exc
from oslo_log import log as logging
from sqlalchemy import exc as sa_exc

from swanherd.core.failures import Failure, Permanent, Temporary
from swanherd.core.model import Reason, RouterId
from swanherd.server.backend import Backend, RouterRow, RouterStore

LOG = logging.getLogger(__name__)

NOT_SERVED = Reason(
    "router_not_served",
    "No VPN backend serves routers of this kind.",
    "Use a router of the default flavor.",
)

_EXPECTED = (Failure, lib_exc.NeutronException, db_exc.DBError)

Hint = Callable[[str, RouterId], None]


class Looker:
    """Looks at a router after a commit, an event or in the sweep; never raises.

    What fails here is recorded as the router's problem, which the API shows, and is healed by
    the next look that succeeds.
    """

    def __init__(self, store: RouterStore, hint: Hint) -> None:
        self._store = store
        self._hint = hint
        self.backend: Backend | None = None

    def look(self, router_id: RouterId) -> None:
        """Make the backend fit the router, then hint the agents that have or had it."""
        before, after = self._ensure(router_id)
        self._tell(router_id, before, after)

    def look_all(self, router_ids: Iterable[RouterId]) -> None:
        """Look at each router once."""
        for router_id in dict.fromkeys(router_ids):
            self.look(router_id)

    def tell(self, router_id: RouterId) -> None:
        """Hint the agents that have the router, without a look."""
        row = self._store.get_router_row(n_context.get_admin_context(), router_id)
        self._tell(router_id, None, row)

    def sweep(self, router_id: RouterId) -> None:
        """Look without an occasion: agents are told only if something changed."""
        before, after = self._ensure(router_id)
        if before != after:
            self._tell(router_id, before, after)

    def unsettled(self, context: Any, rows: Sequence[RouterRow]) -> Collection[RouterId]:
        """Return those of the routers that a sweep has to look at."""
        return () if self.backend is None else self.backend.unsettled(context, rows)

    def _ensure(self, router_id: RouterId) -> tuple[RouterRow | None, RouterRow | None]:
        """Return the router's row before and after."""
        context = n_context.get_admin_context()
        before = after = None
        try:
            before = after = self._store.get_router_row(context, router_id)
            if self.backend is not None and before is not None:
                _fit(self.backend, context, before)
                after = self._store.get_router_row(context, router_id)
        except _EXPECTED as error:
            LOG.warning("Router %s isn't served yet: %s", router_id, error)
            self._record(context, router_id, error)
        except Exception as error:
            # The change is made, and what answers for it has to say so. No failure that we know,
            # and not always a bug (see `maintenance.attempt`).
            LOG.exception("The look at router %s broke", router_id)
            self._record(context, router_id, error)
        return before, after

    def _tell(
        self, router_id: RouterId, before: RouterRow | None, after: RouterRow | None
    ) -> None:
        rows = [row for row in (before, after) if row is not None]
        hosts = {host for row in rows for host in row.hosts}
        if self.backend is not None and rows:
            try:
                hosts |= set(self.backend.hosts(n_context.get_admin_context(), rows[-1]))
            except _EXPECTED as error:
                LOG.warning("Who has router %s isn't known: %s", router_id, error)
            except Exception:
                LOG.exception("Who has router %s isn't known", router_id)
        for host in sorted(hosts):
            self._hint(host, router_id)

    def _record(self, context: object, router_id: RouterId, error: Exception) -> None:
        is_known = isinstance(error, Failure | lib_exc.NeutronException)
        # An error of the database has statements with what they are about; users read reasons.
        failure = error if is_known else type(error).__name__
        reason = (
            error.reason
            if isinstance(error, Failure)
            else Reason("server_failure", f"The Neutron server failed: {failure}")
        )
        passes = isinstance(error, Temporary) or not is_known
        try:
            row = self._store.get_router_row(context, router_id)
            if row is None:
                return
            if passes and row.northbound_revision >= row.revision:
                return  # what is asked for is in effect; that it can't be looked at will pass
            self._store.set_problem(context, router_id, reason)
        except (db_exc.DBError, sa_exc.SQLAlchemyError):
            LOG.exception("The problem of router %s isn't recorded", router_id)


def _fit(backend: Backend, context: Any, row: RouterRow) -> None:
    """Make the backend fit the router, if it serves such routers."""
    if row.services and not backend.serves(context, row.router_id):
        raise Permanent(row.router_id, NOT_SERVED)
    backend.ensure(context, row.router_id)
