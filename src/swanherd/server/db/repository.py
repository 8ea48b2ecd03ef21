"""What the server remembers of routers with a VPN, and the one way to change it."""

from __future__ import annotations

import contextlib
import datetime
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api

from swanherd.core.model import Reason, RouterId, Status
from swanherd.core.placement import earliest, is_newer
from swanherd.server.backend import Addresses, RouterRow, RouterTraffic
from swanherd.server.db import candidates, protected, succession
from swanherd.server.db.change import Change
from swanherd.server.db.models import (
    CandidateRow,
    RouterStateRow,
    SiteConnectionRow,
    StatusRow,
    VpnServiceRow,
)
from swanherd.server.db.routers import router_row
from swanherd.server.db.status import store_problem

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
        """Return the rows of the routers that the host serves or stands by for."""
        standing = sa.select(CandidateRow.router_id).where(CandidateRow.host == host)
        mine = sa.or_(RouterStateRow.host == host, RouterStateRow.router_id.in_(standing))
        return self._read(context, mine)

    def list_rows_with_problem(self, context: Any, code: str) -> tuple[RouterRow, ...]:
        """Return the rows of the routers whose problem has this code."""
        return self._read(context, RouterStateRow.problem_code == code)

    def list_rows_of(
        self, context: Any, router_ids: Collection[RouterId]
    ) -> tuple[RouterRow, ...]:
        """Return the rows of those of these routers that have one."""
        if not router_ids:
            return ()
        return self._read(context, RouterStateRow.router_id.in_(list(router_ids)))

    def router_traffic(self, context: Any, router_id: RouterId) -> RouterTraffic:
        """Return what must be steered into the router's namespace."""
        return self.traffic(context, [router_id])(router_id)

    def traffic(
        self, context: Any, router_ids: Sequence[RouterId]
    ) -> Callable[[RouterId], RouterTraffic]:
        """Return what tells it of each of these routers, in as many queries as of one."""
        with db_api.CONTEXT_READER.using(context) as session:
            rows = protected.read(session, router_ids)
        return lambda router_id: protected.traffic_of(rows.of(router_id))

    def local_subnets(
        self, context: Any, router_ids: Sequence[RouterId]
    ) -> Mapping[RouterId, Mapping[str, tuple[str, ...]]]:
        """Return the local subnets of the routers' services and connections, in three queries."""
        with db_api.CONTEXT_READER.using(context) as session:
            return protected.local_subnets(session, router_ids)

    @db_api.retry_if_session_inactive()
    def set_placement(
        self, context: Any, router_id: RouterId, host: str | None, standbys: Sequence[str] = ()
    ) -> int:
        """Record who serves the router and who stands by; return the epoch.

        It is raised if the host changed.
        """
        with db_api.CONTEXT_WRITER.using(context) as session:
            row = self._locked(session, router_id)
            if row is None:
                return 0
            hosts = (*((host,) if host else ()), *standbys)
            candidates.replace(session, router_id, hosts)
            if row.host != host:
                self._move(session, row, host, None)
            return int(row.epoch)

    @db_api.retry_if_session_inactive()
    def claim(
        self,
        context: Any,
        router_id: RouterId,
        host: str,
        since: datetime.datetime | None,
        against: str | None,
    ) -> bool:
        """Place the router on a host that has its address since then; return whether it moves.

        It doesn't if `against` has it and got it as late or later (see `core.placement`).
        """
        with db_api.CONTEXT_WRITER.using(context) as session:
            row = self._locked(session, router_id)
            if row is None:
                return False
            if row.host == host:
                row.claimed_at = earliest(row.claimed_at, since)
                return False
            if row.host == against and not is_newer(since, row.claimed_at):
                return False
            candidates.replace(session, router_id, (host,))
            self._move(session, row, host, since)
            return True

    @db_api.retry_if_session_inactive()
    def release(self, context: Any, router_id: RouterId, host: str) -> bool:
        """Take the next claim if this host has the router; return whether that is news."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            row = self._locked(session, router_id)
            if row is None or row.host != host or row.claimed_at is None:
                return False
            row.claimed_at = None
            # So that whoever has the address meanwhile says so again.
            self._changed(session, row)
            return True

    def has_tunnel(self, context: Any, router_id: RouterId) -> bool:
        """Tell whether a connection of the router is ACTIVE, by the last report of who has it."""
        # What it was before the router moved has become pending.
        query = (
            sa.select(SiteConnectionRow.id)
            .join(StatusRow, StatusRow.id == SiteConnectionRow.id)
            .where(StatusRow.router_id == router_id, SiteConnectionRow.status == Status.ACTIVE)
        )
        with db_api.CONTEXT_READER.using(context) as session:
            return session.scalars(query.limit(1)).first() is not None

    def external_addresses(
        self, context: Any, router_ids: Collection[RouterId]
    ) -> Mapping[RouterId, frozenset[Addresses]]:
        """Return what public addresses are recorded on the routers' vpnservices, in one query."""
        row = VpnServiceRow
        query = sa.select(row.router_id, row.external_v4_ip, row.external_v6_ip).distinct()
        found: dict[RouterId, set[Addresses]] = {router_id: set() for router_id in router_ids}
        with db_api.CONTEXT_READER.using(context) as session:
            for router_id, v4, v6 in session.execute(query.where(row.router_id.in_(found))):
                found.setdefault(router_id, set()).add((v4, v6))
        return {router_id: frozenset(addresses) for router_id, addresses in found.items()}

    @db_api.retry_if_session_inactive()
    def pin(self, context: Any, router_id: RouterId, host: str) -> None:
        """Record that the router is to be on this candidate, wherever its gateway is."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            if self._locked(session, router_id) is not None:
                candidates.pin(session, router_id, host)

    @db_api.retry_if_session_inactive()
    def unpin(self, context: Any, router_id: RouterId, host: str) -> None:
        """Take back the pin to this host, and no other."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            candidates.unpin(session, router_id, host)

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
    def set_row_problems(
        self, context: Any, router_id: RouterId, problems: Mapping[str, Reason]
    ) -> None:
        """Record the causes that keep single services and connections from working, no others."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            row = self._locked(session, router_id)
            if row is None:
                return
            change = Change(self, session, row, router_id)
            for status in self._statuses_with(session, router_id, problems):
                if store_problem(status, problems.get(status.id)):
                    change.concern([status.id])
            change.settle()

    def row_problems(
        self, context: Any, router_ids: Collection[RouterId]
    ) -> Mapping[RouterId, Mapping[str, Reason]]:
        """Return which single rows of the routers have a cause recorded, in one query."""
        row = StatusRow
        query = sa.select(
            *(row.router_id, row.id, row.problem_code, row.problem_text, row.problem_hint)
        ).where(row.router_id.in_(router_ids), row.problem_code.is_not(None))
        found: dict[RouterId, dict[str, Reason]] = {}
        with db_api.CONTEXT_READER.using(context) as session:
            for router_id, row_id, *reason in session.execute(query):
                found.setdefault(router_id, {})[row_id] = Reason(*(part or "" for part in reason))
        return found

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
    def catch_up(self, context: Any, router_id: RouterId, revision: int) -> None:
        """Go on above a revision that the database doesn't know: an older one was restored."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            row = self._locked(session, router_id)
            if row is not None and row.revision < revision:
                row.revision = revision
                self._changed(session, row)

    @db_api.retry_if_session_inactive()
    def forget_router(self, context: Any, router_id: RouterId) -> bool:
        """Delete the router's row if it has no vpnservice; return whether it is gone."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            row = self._locked(session, router_id)
            if row is not None and protected.services_of(session, [router_id]):
                return False
            if row is not None:
                candidates.replace(session, router_id, ())
                session.delete(row)
            return True

    @db_api.retry_if_session_inactive()
    def adopt(
        self, context: Any, *, new: bool = True, only: str | None = None
    ) -> tuple[RouterId, ...]:
        """Take in the services that another plugin left in the tables; return their routers.

        Without `new`, only those of routers that have been taken in before; with `only`, those
        of this router.
        """
        unknown = (
            sa.select(VpnServiceRow.router_id)
            .outerjoin(StatusRow, StatusRow.id == VpnServiceRow.id)
            .where(StatusRow.id.is_(None))
        )
        if only is not None:
            unknown = unknown.where(VpnServiceRow.router_id == only)
        elif not new:
            known = sa.select(RouterStateRow.router_id)
            unknown = unknown.where(VpnServiceRow.router_id.in_(known))
        with db_api.CONTEXT_WRITER.using(context) as session:
            strangers = session.scalars(unknown.distinct()).all()
            for router_id in strangers:
                with self.changing(session, router_id) as change:
                    change.everything()
                    doubles = dict(succession.inherited(protected.load(session, router_id)))
                if doubles:
                    with self.changing(session, router_id) as change:
                        change.supersede(doubles)
            return tuple(RouterId(router_id) for router_id in strangers)

    @db_api.retry_if_session_inactive()
    def let_go(self, context: Any, router_id: RouterId) -> None:
        """Forget what is ours of the router; its services and connections stay another's."""
        with db_api.CONTEXT_WRITER.using(context) as session:
            row = self._locked(session, router_id)
            candidates.replace(session, router_id, ())
            session.execute(sa.delete(StatusRow).where(StatusRow.router_id == router_id))
            if row is not None:
                session.delete(row)

    # Inside the caller's transaction

    @contextlib.contextmanager
    def changing(self, session: Any, router_id: str) -> Iterator[Change]:
        """Lock the router; if the change turns out to be one, raise its revision at the end.

        The lock comes before the caller's reads, so that changes of one router are one after
        another and each sees the one before. The rows that it concerns become pending.
        """
        change = Change(self, session, self._locked(session, router_id), router_id)
        yield change
        session.flush()
        change.settle()

    def new_row(self, router_id: str) -> RouterStateRow:
        """Return the first row of a router."""
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

    def _move(
        self,
        session: Any,
        row: RouterStateRow,
        host: str | None,
        claimed_at: datetime.datetime | None,
    ) -> None:
        row.host = host
        row.epoch += 1
        row.claimed_at = claimed_at
        self._changed(session, row)

    def _changed(self, session: Any, row: RouterStateRow) -> None:
        change = Change(self, session, row, row.router_id)
        change.everything()
        change.settle()

    @staticmethod
    def _locked(session: Any, router_id: str) -> RouterStateRow | None:
        row: RouterStateRow | None = session.get(
            RouterStateRow, router_id, with_for_update=True, populate_existing=True
        )
        return row

    @staticmethod
    def _statuses_with(session: Any, router_id: str, ids: Collection[str]) -> Iterator[StatusRow]:
        """Yield the router's statuses that have a problem of their own, and these."""
        mine = StatusRow.router_id == router_id
        with_problem = sa.or_(StatusRow.problem_code.is_not(None), StatusRow.id.in_(ids))
        return iter(session.scalars(sa.select(StatusRow).where(mine, with_problem)))

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
            found = list(session.execute(query.order_by(RouterStateRow.router_id)))
            others = candidates.of_routers(session, [row.router_id for row, _ in found])
            return tuple(
                router_row(row, count, others.get(row.router_id, ())) for row, count in found
            )
