"""What follows a change: the backend is made to fit, and the agents are told to look."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from neutron_lib import context as n_context
from neutron_lib import exceptions as lib_exc
from oslo_db import exception as db_exc
from oslo_log import log as logging

from swanherd.core.failures import Failure
from swanherd.core.model import Reason, RouterId
from swanherd.server.backend import Backend, RouterStore

LOG = logging.getLogger(__name__)

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
        context = n_context.get_admin_context()
        hosts: list[str | None] = []
        try:
            hosts.append(self._host(router_id))
            self._ensure(router_id)
            hosts.append(self._host(router_id))
        except (Failure, lib_exc.NeutronException, db_exc.DBError) as error:
            LOG.warning("Router %s isn't served yet: %s", router_id, error)
            self._record(context, router_id, error)
        for host in dict.fromkeys(hosts):
            if host is not None:
                self._hint(host, router_id)

    def look_all(self, router_ids: Iterable[RouterId]) -> None:
        """Look at each router once."""
        for router_id in dict.fromkeys(router_ids):
            self.look(router_id)

    def _ensure(self, router_id: RouterId) -> None:
        if self.backend is not None:
            self.backend.ensure(n_context.get_admin_context(), router_id)

    def _host(self, router_id: RouterId) -> str | None:
        row = self._store.get_router_row(n_context.get_admin_context(), router_id)
        return None if row is None else row.host

    def _record(self, context: object, router_id: RouterId, error: Exception) -> None:
        reason = (
            error.reason
            if isinstance(error, Failure)
            else Reason("server_failure", f"The Neutron server failed: {error}")
        )
        try:
            self._store.set_problem(context, router_id, reason)
        except db_exc.DBError:
            LOG.exception("The problem of router %s isn't recorded", router_id)
