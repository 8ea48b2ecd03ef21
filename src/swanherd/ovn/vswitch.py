"""This node's Open vSwitch: our ports in the integration bridge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from ovs.db import idl
from ovsdbapp.backend.ovs_idl import command

from swanherd.core.failures import Temporary
from swanherd.core.model import PortId, Reason, RouterId
from swanherd.ovn.database import EVERY_ROUTER, Columns, Database

ROUTER_KEY = "swanherd:router_id"

_MAP = {"key": "string", "value": "string", "min": 0, "max": "unlimited"}


def _references(table: str, least: int = 0) -> dict[str, Any]:
    return {"key": {"type": "uuid", "refTable": table}, "min": least, "max": "unlimited"}


# ovs-vswitchd.conf.db(5); the statistics that change every five seconds aren't among them.
_COLUMNS: Columns = {
    "Open_vSwitch": {"bridges": _references("Bridge"), "external_ids": _MAP},
    "Bridge": {"name": {"key": "string"}, "ports": _references("Port")},
    "Port": {"name": {"key": "string"}, "interfaces": _references("Interface", 1)},
    "Interface": {
        "name": {"key": "string"},
        "external_ids": _MAP,
        "link_state": {"key": "string", "min": 0},
    },
}
_DOWN = ["down"]


@dataclasses.dataclass(frozen=True, slots=True)
class PluggedPort:
    """A port of ours in the integration bridge; `port_id` is its iface-id."""

    port_id: PortId
    mac: str
    router_id: RouterId


class Vswitch:
    """Our ports in the bridge that ovn-controller manages; safe to use from many threads.

    `connection` is an OVSDB remote, for instance `unix:/run/openvswitch/db.sock`; timeout in
    seconds. Every verb raises Temporary while the database can't be reached, and works again
    as soon as it can. Whether ovs-vswitchd has done what the database says isn't awaited.
    `on_lost` is called, from another thread, with the router of a port of ours that was taken out,
    or whose device has gone or is down.
    """

    def __init__(
        self,
        connection: str,
        timeout: float = 10,
        on_lost: Callable[[RouterId], None] = lambda _: None,
    ) -> None:
        self._database = Database(connection, "Open_vSwitch", _COLUMNS, timeout)
        self._on_lost = on_lost
        self._database.replica.changed = self._on_row
        # What was read of each row until the row changes: for two hundred routers all of them take
        # 0.1 s, and each look at one asks. With the database's lock held, as rows change.
        self._interfaces: dict[UUID, tuple[str, PluggedPort | None]] = {}

    def plug(self, port_name: str, port_id: PortId, mac: str, router_id: RouterId) -> None:
        """Make the device a port of the integration bridge, with these ids; idempotent."""
        wanted = PluggedPort(port_id, mac, router_id)
        if self.ports().get(port_name) != wanted or not self._in_bridge(port_name):
            bridge = self._integration_bridge(router_id)
            self._database.execute(router_id, _Plug(self._database, bridge, port_name, wanted))

    def unplug(self, port_name: str) -> None:
        """Remove the port of ours, if there is one."""
        if port := self.ports().get(port_name):
            self._database.execute(port.router_id, _Unplug(self._database, port_name))

    def evict(self, port_name: str, router_id: RouterId) -> None:
        """Remove a port that isn't ours; idempotent."""
        with self._database.reading(router_id) as tables:
            is_there = _named(tables["Port"], port_name) is not None
        if is_there and port_name not in self.ports():
            self._database.execute(router_id, _Unplug(self._database, port_name))

    def ports(self) -> dict[str, PluggedPort]:
        """Return every port of ours by its device's name."""
        with self._database.reading() as tables:
            rows = tables["Interface"].rows
            for uuid in rows.keys() - self._interfaces.keys():
                self._interfaces[uuid] = _parse(rows[uuid])
            for uuid in self._interfaces.keys() - rows.keys():
                del self._interfaces[uuid]
            seen = list(self._interfaces.values())
        return {name: port for name, port in seen if port is not None}

    def system_id(self) -> str:
        """Return the chassis' name, or an empty string if none is set."""
        return self._external_ids().get("system-id", "")

    def hostname(self) -> str:
        """Return the chassis' hostname as OVN knows it, or an empty string if none is set."""
        return self._external_ids().get("hostname", "")

    def southbound(self) -> str:
        """Return where ovn-controller finds the southbound database, or an empty string."""
        return self._external_ids().get("ovn-remote", "")

    def close(self) -> None:
        """End the connection."""
        self._database.close()

    def _on_row(self, table: str, row: Any) -> None:
        """Tell of a port that doesn't work; the look that follows finds whether it should."""
        if table != "Interface":
            return
        self._interfaces.pop(row.uuid, None)
        if ROUTER_KEY not in row.external_ids:
            return
        is_gone = row.uuid not in row._table.rows  # noqa: SLF001 - no other way to the table
        if is_gone or row.link_state == _DOWN:
            self._on_lost(RouterId(row.external_ids[ROUTER_KEY]))

    def _external_ids(self) -> Mapping[str, str]:
        with self._database.reading() as tables:
            rows = tables["Open_vSwitch"].rows.values()
            return next((dict(row.external_ids) for row in rows), {})

    def _integration_bridge(self, router_id: RouterId) -> str:
        # ovn-controller(8), ovn-bridge
        name = self._external_ids().get("ovn-bridge", "br-int")
        with self._database.reading(router_id) as tables:
            if _named(tables["Bridge"], name) is None:
                text = f"Open vSwitch has no bridge {name}: has ovn-controller started?"
                raise Temporary(router_id, Reason("bridge_missing", text))
        return name

    def _in_bridge(self, port_name: str) -> bool:
        name = self._external_ids().get("ovn-bridge", "br-int")
        with self._database.reading(EVERY_ROUTER) as tables:
            bridge = _named(tables["Bridge"], name)
            return bridge is not None and any(p.name == port_name for p in bridge.ports)


def _parse(row: Any) -> tuple[str, PluggedPort | None]:
    """Return the device's name, and its port if that is ours."""
    external_ids: Mapping[str, str] = row.external_ids
    if ROUTER_KEY not in external_ids:
        return row.name, None
    return row.name, PluggedPort(
        PortId(external_ids.get("iface-id", "")),
        external_ids.get("attached-mac", ""),
        RouterId(external_ids[ROUTER_KEY]),
    )


def _render(port: PluggedPort) -> dict[str, str]:
    return {
        "iface-id": port.port_id,
        "attached-mac": port.mac,
        "iface-status": "active",
        ROUTER_KEY: port.router_id,
    }


def _named(table: Any, name: str) -> Any:
    return next((row for row in table.rows.values() if row.name == name), None)


class _Plug(command.BaseCommand):
    """Put a port into the bridge, out of any other, and set our keys; others' keys stay."""

    def __init__(self, api: Database, bridge: str, port_name: str, wanted: PluggedPort) -> None:
        super().__init__(api)
        self.bridge = bridge
        self.port_name = port_name
        self.wanted = wanted

    def run_idl(self, txn: idl.Transaction) -> None:
        """Change the rows that differ."""
        tables = self.api.tables
        bridge = _named(tables["Bridge"], self.bridge)
        port = _named(tables["Port"], self.port_name) or self._insert(txn)
        for other in tables["Bridge"].rows.values():
            if other != bridge and port in other.ports:
                other.delvalue("ports", port)
        if port not in bridge.ports:
            bridge.addvalue("ports", port)
        for interface in port.interfaces:
            for key, value in _render(self.wanted).items():
                if interface.external_ids.get(key) != value:
                    interface.setkey("external_ids", key, value)

    def _insert(self, txn: idl.Transaction) -> Any:
        interface = txn.insert(self.api.tables["Interface"])
        interface.name = self.port_name
        interface.external_ids = _render(self.wanted)
        port = txn.insert(self.api.tables["Port"])
        port.name = self.port_name
        port.interfaces = [interface]
        return port


class _Unplug(command.BaseCommand):
    """Take a port out of every bridge; the server then collects its rows (RFC 7047 §4.1)."""

    def __init__(self, api: Database, port_name: str) -> None:
        super().__init__(api)
        self.port_name = port_name

    def run_idl(self, txn: idl.Transaction) -> None:
        """Remove the reference; nothing to do if it is gone."""
        for bridge in self.api.tables["Bridge"].rows.values():
            for port in bridge.ports:
                if port.name == self.port_name:
                    bridge.delvalue("ports", port)
