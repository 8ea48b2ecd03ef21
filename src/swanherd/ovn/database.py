"""One OVSDB server as we use it: a replica in memory, transactions, no forks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ovs.db import idl
from ovsdbapp import api, exceptions
from ovsdbapp.backend import ovs_idl
from ovsdbapp.backend.ovs_idl import command, connection

from swanherd.core.failures import Temporary
from swanherd.core.model import Reason, RouterId

# What concerns no single router, but all of them.
EVERY_ROUTER = RouterId("*")

# How long a reader waits for a transaction of somebody else, in seconds.
_PATIENCE = 10

Columns = Mapping[str, Mapping[str, Any]]

# The code of the cause that a database can't be reached.
AWAY = "ovsdb_away"


def away(router_id: RouterId, database: str, cause: object) -> Temporary:
    """Return the failure of a database server that can't be reached."""
    reason = Reason(AWAY, f"The database {database} can't be reached: {cause}.")
    return Temporary(router_id, reason)


def refused(router_id: RouterId, database: str, cause: object) -> Temporary:
    """Return the failure of a transaction that the database server didn't take."""
    reason = Reason("ovsdb_refused", f"The database {database} refused a change: {cause}.")
    return Temporary(router_id, reason)


class Replica(connection.OvsdbIdl):
    """An IDL that knows whether what it holds is what the server has now.

    `changed` is called with a table's name and a row, on the connection's thread.
    """

    changed: Callable[[str, Any], None] | None = None

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        """Tell of a changed row."""
        if self.changed is not None:
            self.changed(row._table.name, row)  # noqa: SLF001 - no other way to the name

    @property
    def heard_at(self) -> float:
        """When the server last said something, in monotonic seconds; at first: the start."""
        return float(self._session.reconnect.last_activity) / 1000

    @property
    def alive(self) -> bool:
        """Is the server connected and its content here? (An IDL keeps old content silently.)"""
        return bool(self._session.is_connected()) and self.state == self.IDL_S_MONITORING


class Database(ovs_idl.Backend, api.API):
    """A database of which only the named columns are replicated; connects at first use.

    `columns` is table → column → type as RFC 7047 §3.2 writes them. The schema isn't asked of
    the server, so that a server that is away at the start is no special case. Timeout in
    seconds, for connecting and for each transaction; after `probe` seconds of silence the server
    is asked whether it is there. Thread-safe.
    """

    lookup_table: Mapping[str, object] = {}

    def __init__(
        self,
        remote: str,
        name: str,
        columns: Columns,
        timeout: float = 10,
        probe: float | None = None,
    ) -> None:
        self.schema = name
        helper = idl.SchemaHelper(schema_json=_schema(name, columns))
        helper.register_all()
        self.replica = replica = Replica(
            remote, helper, probe_interval=None if probe is None else int(probe * 1000)
        )
        super().__init__(connection.Connection(replica, timeout), start=False)

    # The library keeps one connection for each class; ours are one for each object.
    @property
    def ovsdb_connection(self) -> connection.Connection:
        """The connection and its thread."""
        return self._own_connection

    @ovsdb_connection.setter
    def ovsdb_connection(self, value: connection.Connection) -> None:
        self._own_connection = value

    @contextlib.contextmanager
    def reading(self, router_id: RouterId = EVERY_ROUTER) -> Iterator[Mapping[str, Any]]:
        """Give the tables, unchanging while in the block; Temporary when they aren't current."""
        self._connect(router_id)
        lock = self.ovsdb_connection.lock
        # A transaction in flight holds the lock for as long as the server is away.
        if not lock.acquire(timeout=self.ovsdb_connection.timeout):
            raise away(router_id, self.schema, "a transaction waits for it")
        try:
            if not self.idl.alive:
                raise away(router_id, self.schema, "the connection is lost")
            yield self.tables
        finally:
            lock.release()

    def execute(self, router_id: RouterId, *commands: command.BaseCommand) -> None:
        """Do the commands in one transaction, or raise Temporary."""
        with self.reading(router_id):
            pass
        commit(self, router_id, *commands)

    def connect(self) -> None:
        """Connect, if that wasn't done; Temporary if there is no answer now."""
        self._connect(EVERY_ROUTER)

    def close(self) -> None:
        """End the connection and its thread."""
        self.ovsdb_connection.stop(self.ovsdb_connection.timeout)

    def _connect(self, router_id: RouterId) -> None:
        try:
            self.ovsdb_connection.start()
        except exceptions.TimeoutException as error:
            raise away(router_id, self.schema, "no answer") from error


@contextlib.contextmanager
def held(backend: Any, router_id: RouterId) -> Iterator[None]:
    """Keep a backend's replica unchanging while in the block; Temporary if it isn't current.

    For backends that aren't ours, Neutron's for instance.
    """
    lock = backend.ovsdb_connection.lock
    if not lock.acquire(timeout=_PATIENCE):
        raise away(router_id, backend.schema, "a transaction waits for it")
    try:
        # The IDL has no public way to ask, and keeps old content silently.
        if not backend.idl._session.is_connected():  # noqa: SLF001
            raise away(router_id, backend.schema, "the connection is lost")
        yield
    finally:
        lock.release()


def commit(backend: Any, router_id: RouterId, *commands: command.BaseCommand) -> None:
    """Do the commands in one transaction, or raise Temporary (or what a command raises)."""
    try:
        with backend.transaction(check_error=True, log_errors=False) as transaction:
            for each in commands:
                transaction.add(each)
    except exceptions.TimeoutException as error:
        raise away(router_id, backend.schema, error) from error
    except RuntimeError as error:
        raise refused(router_id, backend.schema, error) from error


def _schema(name: str, columns: Columns) -> dict[str, Any]:
    tables = {
        table: {"columns": {column: {"type": kind} for column, kind in kinds.items()}}
        for table, kinds in columns.items()
    }
    return {"name": name, "version": "0.0.0", "tables": tables}
