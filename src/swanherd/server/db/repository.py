"""What the server remembers of routers with a VPN, and the one way to change it."""

from __future__ import annotations

import contextlib
import datetime
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api

from swanherd.core.model import Reason, RouterId, Secret
from swanherd.server.backend import RouterRow, RouterTraffic
from swanherd.server.db import protected
from swanherd.server.db.models import (
    RouterStateRow,
    StatusRow,
    VpnServiceRow,
)
from swanherd.server.db.status import Target, apply_shown, facts_of, problem_of, store_problem
from swanherd.server.shown import waiting

NAMING_KEY_BYTES = 32


def utcnow() -> datetime.datetime:
    """Return the time as the tables hold it: UTC, without a zone, whole seconds."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None, microsecond=0)


class Repository:
    """The `RouterStore` of the tables; verbs whose first argument is a session nest in one."""

    def __init__(
        self,
        now: Callable[[], datetime.datetime] = utcnow,
        new_key: Callable[[], str] = lambda: secrets.token_hex(NAMING_KEY_BYTES),
    ) -> None:
        self.now = now
        self._new_key = new_key

    # RouterStore: one transaction each

    def get_router_row(self, context: Any, router_id: RouterId) -> RouterRow | None:
        """Return the router's row; None if it has no VPN and nothing is left of one."""
        rows = self._read(context, RouterStateRow.router_id == router_id)
        return rows[0] if rows else None

    def list_router_rows(self, context: Any) -> tuple[RouterRow, ...]:
        """Return every row, those without vpnservices too."""
        return self._read(context, sa.true())

    def list_rows_of_host(self, context: Any, host: str) -> tuple[RouterRow, ...]:
        """Return the rows of the routers that the host serves."""
        return self._read(context, RouterStateRow.host == host)

    def router_traffic(self, context: Any, router_id: RouterId) -> RouterTraffic:
        """Return what must be steered into the router's namespace."""
        with db_api.CONTEXT_READER.using(context) as session:
            return protected.traffic_of(session, router_id)

    @db_api.retry_if_session_inactive()
    def set_placement(self, context: Any, router_id: RouterId, host: str | None) -> int:
        """Record the host that serves the router; return the epoch, raised if the host changed."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            row = self._locked(session, router_id)
            if row is None:
                return 0
            if row.host != host:
                row.host = host
                row.epoch += 1
                self._changed(session, row)
            return int(row.epoch)

    @db_api.retry_if_session_inactive()
    def set_external_addresses(
        self, context: Any, router_id: RouterId, v4: str | None, v6: str | None
    ) -> None:
        """Record the public addresses on all vpnservices of the router."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            row = self._locked(session, router_id)
            changed = False
            for service in protected.services_of(session, [router_id]):
                if (service.external_v4_ip, service.external_v6_ip) != (v4, v6):
                    service.external_v4_ip, service.external_v6_ip = v4, v6
                    changed = True
            if row is not None and changed:
                self._changed(session, row)

    @db_api.retry_if_session_inactive()
    def set_problem(self, context: Any, router_id: RouterId, problem: Reason | None) -> None:
        """Record or clear the cause that keeps the router's VPN from working: it shows at once."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            row = self._locked(session, router_id)
            if row is not None and store_problem(row, problem):
                self._changed(session, row)

    @db_api.retry_if_session_inactive()
    def set_northbound_revision(self, context: Any, router_id: RouterId, revision: int) -> None:
        """Record that the backend has applied `revision`; never lowers what is recorded."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            session.execute(
                sa.update(RouterStateRow)
                .where(
                    RouterStateRow.router_id == router_id,
                    RouterStateRow.northbound_revision < revision,
                )
                .values(northbound_revision=revision)
                .execution_options(synchronize_session=False)
            )

    @db_api.retry_if_session_inactive()
    def forget_router(self, context: Any, router_id: RouterId) -> bool:
        """Delete the router's row if it has no vpnservice; return whether it is gone."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            row = self._locked(session, router_id)
            if row is not None and protected.services_of(session, [router_id]):
                return False
            if row is not None:
                session.delete(row)
            return True

    @db_api.retry_if_session_inactive()
    def adopt(self, context: Any) -> tuple[RouterId, ...]:
        """Take in the services that another plugin left in the tables; return their routers."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            strangers = session.scalars(
                sa.select(VpnServiceRow.router_id)
                .outerjoin(StatusRow, StatusRow.id == VpnServiceRow.id)
                .where(StatusRow.id.is_(None))
                .distinct()
            ).all()
            for router_id in strangers:
                with self.changing(session, router_id) as change:
                    change.everything()
            return tuple(RouterId(router_id) for router_id in strangers)

    # Inside the caller's transaction

    @contextlib.contextmanager
    def changing(self, session: Any, router_id: str) -> Iterator[Change]:
        """Lock the router and raise its revision; the rows named to the change become pending.

        The lock comes before the caller's reads, so that changes of one router are one after
        another and each sees the one before.
        """
        row = self._locked(session, router_id)
        if row is None:
            row = self._new_row(router_id)
            session.add(row)
        else:
            row.revision += 1
        session.flush()
        change = Change(self, session, row)
        yield change
        session.flush()
        change.settle()

    def _new_row(self, router_id: str) -> RouterStateRow:
        # Revisions of a router go on rising when its row is forgotten and made again, or an
        # agent would take the new one for the old: so the first is the time in milliseconds.
        started = self.now().replace(tzinfo=datetime.UTC).timestamp()
        return RouterStateRow(
            router_id=router_id,
            revision=int(started * 1000),
            northbound_revision=0,
            host=None,
            epoch=0,
            naming_key=self._new_key(),
        )

    def _changed(self, session: Any, row: RouterStateRow) -> None:
        row.revision += 1
        change = Change(self, session, row)
        change.everything()
        change.settle()

    @staticmethod
    def _locked(session: Any, router_id: str) -> RouterStateRow | None:
        row: RouterStateRow | None = session.get(
            RouterStateRow, router_id, with_for_update=True, populate_existing=True
        )
        return row

    @staticmethod
    def _read(context: Any, condition: Any) -> tuple[RouterRow, ...]:
        services = (
            sa.select(sa.func.count())
            .select_from(VpnServiceRow)
            .where(VpnServiceRow.router_id == RouterStateRow.router_id)
            .correlate(RouterStateRow)
            .scalar_subquery()
        )
        query = sa.select(RouterStateRow, services).where(condition)
        with db_api.CONTEXT_READER.using(context) as session:
            return tuple(
                _router_row(row, count)
                for row, count in session.execute(query.order_by(RouterStateRow.router_id))
            )


class Change:
    """One change of a router: which rows it concerns, and what they show until it is applied."""

    def __init__(self, store: Repository, session: Any, row: RouterStateRow) -> None:
        self._store = store
        self._session = session
        self._row = row
        self._ids: set[str] = set()
        self._all = False

    @property
    def revision(self) -> int:
        """The revision that the change makes."""
        return int(self._row.revision)

    def concern(self, ids: Sequence[str]) -> None:
        """Name services and connections that the change concerns."""
        self._ids.update(ids)

    def everything(self) -> None:
        """Name all of the router's services and connections."""
        self._all = True

    def peer_family(self, connection_id: str, family: int | None) -> None:
        """Remember the family of a peer that is given by name."""
        self._status(connection_id, self._statuses()).peer_family = family

    def settle(self) -> None:
        """Set the status of the rows concerned."""
        routers = [self._row.router_id]
        services = {row.id: row for row in protected.services_of(self._session, routers)}
        connections = protected.connections_of(self._session, routers)
        statuses = self._statuses()
        now = self._store.now()
        targets: tuple[Target, ...] = (*services.values(), *connections)
        for target in targets:
            if not self._all and target.id not in self._ids:
                continue
            status = self._status(target.id, statuses)
            status.revision = self.revision
            service = services[getattr(target, "vpnservice_id", target.id)]
            facts = facts_of(target, service, status, problem_of(self._row), now)
            apply_shown(target, status, waiting(facts), now)

    def _statuses(self) -> dict[str, StatusRow]:
        rows = self._session.scalars(
            sa.select(StatusRow).where(StatusRow.router_id == self._row.router_id)
        )
        return {row.id: row for row in rows}

    def _status(self, row_id: str, statuses: dict[str, StatusRow]) -> StatusRow:
        status = statuses.get(row_id)
        if status is None:
            now = self._store.now()
            status = StatusRow(
                id=row_id,
                router_id=self._row.router_id,
                revision=self.revision,
                applied_revision=0,
                since=now,
                was_up=False,
                created_at=now,
            )
            self._session.add(status)
            self._session.flush()
        return status


def _router_row(row: RouterStateRow, services: int) -> RouterRow:
    return RouterRow(
        router_id=RouterId(row.router_id),
        revision=row.revision,
        northbound_revision=row.northbound_revision,
        host=row.host,
        epoch=row.epoch,
        naming_key=Secret(row.naming_key),
        problem=problem_of(row),
        services=services,
    )
