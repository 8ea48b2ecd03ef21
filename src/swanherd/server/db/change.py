"""One change of a router's rows, from the rows that it concerns to the raised revision."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import sqlalchemy as sa

from swanherd.server.db import protected, succession
from swanherd.server.db.models import RouterStateRow, StatusRow, VpnServiceRow
from swanherd.server.db.status import Target, apply_shown, facts_of, problem_of
from swanherd.server.shown import waiting


class Store(Protocol):
    """Where changes are made (`server.db.repository.Repository`)."""

    def now(self) -> datetime.datetime:
        """Return the time as the tables hold it."""
        ...

    def new_row(self, router_id: str) -> RouterStateRow:
        """Return the first row of a router."""
        ...


class Change:
    """One change of a router: which rows it concerns, and what they show until it is applied."""

    def __init__(
        self, store: Store, session: Any, row: RouterStateRow | None, router_id: str
    ) -> None:
        self._store = store
        self._session = session
        self._row = row
        self._router_id = router_id
        self._ids: set[str] = set()
        self._families: dict[str, int] = {}
        self._successors: dict[str, str] = {}
        self._all = False
        self.needed = False

    def concern(self, ids: Iterable[str]) -> None:
        """Name services and connections that the change concerns."""
        self.needed = True
        self._ids.update(ids)

    def everything(self) -> None:
        """Name all of the router's services and connections."""
        self.needed = self._all = True

    def remove(self, target: Target) -> None:
        """Delete a service or connection, and what is known of it."""
        self.needed = True
        self._session.delete(target)
        self._session.execute(
            sa.delete(StatusRow)
            .where(StatusRow.id == target.id)
            .execution_options(synchronize_session=False)
        )

    def supersede(self, successors: Mapping[str, str]) -> None:
        """Give the networks of connections to others, by their ids: who to whom."""
        self.concern(successors)
        self._successors.update(successors)

    def peer_family(self, connection_id: str, family: int) -> None:
        """Remember the family by which a connection's peer is reached."""
        self._families[connection_id] = family

    def settle(self) -> None:
        """Raise the revision and set the status of the rows concerned."""
        if not self.needed:
            return
        if self._row is None:
            self._row = self._store.new_row(self._router_id)
            self._session.add(self._row)
        else:
            self._row.revision += 1
        services = protected.services_of(self._session, [self._router_id])
        service_of = {service.id: service for service in services}
        statuses = self._statuses()
        for row_id, successor in self._successors.items():
            statuses[row_id].superseded_by = successor
        self._ids |= succession.settle(self._session, self._router_id, statuses)
        chosen = None if self._all else self._ids
        connections = protected.connections_of(self._session, [self._router_id], chosen)
        targets: tuple[Target, ...] = (*services, *connections)
        for target in targets:
            if self._all or target.id in self._ids:
                service = service_of[getattr(target, "vpnservice_id", target.id)]
                self._settle(target, service, self._row, statuses.get(target.id))
        self._session.flush()

    def _settle(
        self, target: Target, service: VpnServiceRow, row: RouterStateRow, known: StatusRow | None
    ) -> None:
        now = self._store.now()
        status = known or StatusRow(
            id=target.id,
            router_id=self._router_id,
            applied_revision=0,
            since=now,
            was_up=False,
            created_at=now,
        )
        status.revision = row.revision
        status.peer_family = self._families.get(target.id, status.peer_family)
        facts = facts_of(target, service, status, problem_of(row), now)
        apply_shown(target, status, waiting(facts), now)
        if known is None:
            self._session.add(status)

    def _statuses(self) -> dict[str, StatusRow]:
        """Return those that may change: of the rows concerned, and of those that wait."""
        query = sa.select(StatusRow).where(StatusRow.router_id == self._router_id)
        if not self._all:
            waits = StatusRow.superseded_by.is_not(None)
            query = query.where(sa.or_(StatusRow.id.in_(self._ids), waits))
        return {row.id: row for row in self._session.scalars(query)}
