"""The periodic look at everything: what a lost message or somebody else broke is repaired."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from futurist import periodics
from neutron_lib import context as n_context
from neutron_lib import exceptions as lib_exc
from oslo_db import exception as db_exc
from oslo_log import log as logging

from swanherd.core.failures import Failure
from swanherd.server import placement
from swanherd.server.db.repository import Repository
from swanherd.server.intake import Intake
from swanherd.server.looker import Looker
from swanherd.server.maintenance import attempt

LOG = logging.getLogger(__name__)


class Sweep:
    """Looks at every router, takes in services of another plugin, and notices lost agents.

    Routers of agents that are gone come first, so that no other's look keeps them waiting.

    Unless it `takes_over`, routers that Swanherd has never served stay another plugin's.
    """

    def __init__(
        self,
        store: Repository,
        intake: Intake,
        looker: Looker,
        adopt_providers: Callable[[Any], None] = lambda _context: None,
        *,
        takes_over: bool = True,
    ) -> None:
        self._store = store
        self._intake = intake
        self._looker = looker
        self._adopt_providers = adopt_providers
        self._takes_over = takes_over

    def run(self) -> None:
        """Do one pass."""
        context = n_context.get_admin_context()
        self._store.adopt(context, new=self._takes_over)
        self._adopt_providers(context)
        rows = self._store.list_router_rows(context)
        alive = placement.answering(context)
        lost = {row.router_id for row in rows if row.host is not None and row.host not in alive}
        unsettled = self._looker.unsettled(context, rows)
        # If a thousand routers differ the looks may take longer than the interval.
        for router_id in unsettled:
            if router_id in lost:
                attempt(self._looker.sweep, router_id)
        self._intake.agents_lost(context, placement.answering(context))
        for router_id in unsettled:
            if router_id not in lost:
                attempt(self._looker.sweep, router_id)

    def run_safely(self) -> None:
        """Do one pass; a failure is logged, as it would end the worker's loop."""
        try:
            self.run()
        except (Failure, lib_exc.NeutronException, db_exc.DBError) as error:
            LOG.warning("The sweep waits for the next pass: %s", error)
        except Exception:
            LOG.exception("The sweep broke and waits for the next pass")


def periodic_sweep(sweep: Sweep, interval: int, has_lock: Callable[[], bool]) -> Any:
    """Return a periodics object for a maintenance worker; `interval` in seconds.

    Every controller runs such a worker: only the one that has the lock sweeps.
    """

    class PeriodicSweep:
        """What futurist collects."""

        @periodics.periodic(spacing=interval, run_immediately=True)
        def sweep(self) -> None:
            """Do one pass."""
            if has_lock():
                sweep.run()

    return PeriodicSweep()
