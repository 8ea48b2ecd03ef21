"""What the southbound database says of the ports that are meant for this chassis, at once."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from ovs import stream

from swanherd.core.failures import Temporary
from swanherd.core.model import PortId, Reason, RouterId
from swanherd.core.takeover import Binding
from swanherd.ovn.database import Columns, Database, Replica

_REFERENCE = {"key": {"type": "uuid", "refTable": "Chassis"}, "min": 0, "max": 1}

# ovn-sb(5)
_COLUMNS: Columns = {
    "Chassis": {"name": {"key": "string"}},
    "Port_Binding": {
        "logical_port": {"key": "string"},
        "chassis": _REFERENCE,
        "requested_chassis": _REFERENCE,
        "up": {"key": "boolean", "min": 0, "max": 1},
    },
}

UNKNOWN = Reason(
    "southbound_unknown", "OVN's southbound database hasn't told yet whose the router is."
)


@dataclasses.dataclass(frozen=True, slots=True)
class Certificates:
    """Files for a remote of the kind ssl:, by their paths."""

    private_key: str = ""
    certificate: str = ""
    authority: str = ""

    def use(self) -> None:
        """Make them the ones of every connection of this process (ovs.stream knows no other)."""
        stream.Stream.ssl_set_private_key_file(self.private_key)
        stream.Stream.ssl_set_certificate_file(self.certificate)
        stream.Stream.ssl_set_ca_cert_file(self.authority)


@dataclasses.dataclass(frozen=True, slots=True)
class Where:
    """Where the southbound database answers, and the name of this node's chassis."""

    remote: str
    chassis: str


class Bindings:
    """The rows of the ports that are on a chassis, or are to be; only these are replicated.

    `where` is asked when it is time to connect; it may raise Temporary. `changed` is called with
    a port's name whenever its row changes, comes or goes, on a thread that must not wait. After
    `probe` seconds of silence the server is asked whether it is there. Thread-safe.
    """

    def __init__(
        self,
        where: Callable[[], Where],
        changed: Callable[[PortId], None],
        probe: float,
    ) -> None:
        self.chassis = ""
        self._where = where
        self._changed = changed
        self._probe = probe
        self._lock = threading.Lock()
        self._heard_at: float | None = None
        self._read: tuple[int, Mapping[str, Binding]] = (-1, {})
        # What was read of each row until it changes: of a few hundred routers all take 20 ms, and
        # while these move from one node to another all the time some row has changed. With the
        # database's lock held, as rows change.
        self._rows: dict[UUID, tuple[str, Binding]] = {}
        self._wanted: Any = None
        self._database: Database | None = None

    def connect(self) -> None:
        """Begin to replicate, if that wasn't done; Temporary if nobody answers now."""
        if self._database is None:
            where = self._where()
            self.chassis = where.chassis
            database = Database(where.remote, "OVN_Southbound", _COLUMNS, probe=self._probe)
            # Nothing, until it is known which row is this chassis'.
            database.replica.cond_change("Port_Binding", [])
            replica = database.replica
            replica.changed = lambda table, row: self._on_row(replica, table, row)
            self._database = database
        self._database.connect()

    def is_complete(self) -> bool:
        """Tell whether the database has told all about this chassis since it was last reached."""
        if self._database is None or self._wanted is None or not self._database.replica.alive:
            return False
        state = self._database.replica.tables["Port_Binding"].condition_state
        return bool(state.latest == self._wanted and state.acked == self._wanted)

    def binding(self, router_id: RouterId, port_id: PortId) -> Binding | None:
        """Return what the port's row says; None if it isn't for this chassis.

        What the database told last counts while it is away; Temporary if it has never told.
        """
        if self._database is None:
            raise Temporary(router_id, UNKNOWN)
        with self._database.ovsdb_connection.lock:
            seqno = self._database.replica.change_seqno
            if seqno != self._read[0] and self.is_complete():
                rows = self._database.tables["Port_Binding"].rows
                self._rows = {
                    uuid: self._rows.get(uuid) or (row.logical_port, _parse(row))
                    for uuid, row in rows.items()
                }
                self._read = seqno, dict(self._rows.values())
            if self._read[0] < 0:
                raise Temporary(router_id, UNKNOWN)
            return self._read[1].get(port_id)

    def heard_at(self) -> float | None:
        """Return when the database last proved to be there, in monotonic seconds; None: never."""
        with self._lock:
            if self._database is not None and self._database.replica.alive:
                self._heard_at = self._database.replica.heard_at
            return self._heard_at

    def close(self) -> None:
        """End the connection."""
        if self._database is not None:
            self._database.close()

    def _on_row(self, replica: Replica, table: str, row: Any) -> None:
        if table == "Port_Binding":
            self._rows.pop(row.uuid, None)
            self._changed(PortId(row.logical_port))
            return
        # A binding has its name, and not until this row is here.
        self._rows.clear()
        if row.name == self.chassis:
            self._ask(replica)

    def _ask(self, replica: Replica) -> None:
        """Have the rows of the chassis' present row replicated; on the connection's thread."""
        rows = replica.tables["Chassis"].rows.values()
        mine = next((str(row.uuid) for row in rows if row.name == self.chassis), None)
        columns = ("chassis", "requested_chassis")
        # RFC 7047 §5.1; a chassis that isn't there has nothing.
        self._wanted = [[c, "==", ["uuid", mine]] for c in columns] if mine else [False]
        replica.cond_change("Port_Binding", self._wanted)


def _parse(row: Any) -> Binding:
    def name(column: Any) -> str | None:
        return column[0].name if column else None

    return Binding(name(row.requested_chassis), name(row.chassis), up=True in row.up)
