"""Changes in OVN's databases that concern a router's VPN: they only say *look again*."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ovsdbapp.backend.ovs_idl import event as row_event

from swanherd.core.model import PortId, RouterId
from swanherd.core.steering import public_port_id
from swanherd.ovn import raw
from swanherd.ovn.northbound import REQUESTED, ROUTER_KEY, router_of

Changed = Callable[[RouterId], None]

# Neutron's names of a router's rows (neutron.common.ovn.utils.ovn_name).
_ROUTER_PREFIX = "neutron-"
# What northd and Neutron put before the id of a gateway's port (see `southbound.gateway`).
_REDIRECT_PREFIX = "cr-lrp-"
# Neutron's key of the device that a port is for.
_DEVICE_KEY = "neutron:device_id"


class RowsLost(row_event.RowEvent):
    """A row of ours is gone: by our own removal, or by somebody else's."""

    def __init__(self, table: str, changed: Changed) -> None:
        super().__init__((self.ROW_DELETE,), table, None)
        self._changed = changed

    def match_fn(self, event: str, row: Any, old: Any) -> bool:
        """Take rows with our key."""
        return router_of(row) is not None

    def run(self, event: str, row: Any, old: Any) -> None:
        """Say which router it was."""
        self._changed(RouterId(row.external_ids[ROUTER_KEY]))


class RouterChanged(row_event.RowEvent):
    """A router has appeared, or its static routes have changed, the default route perhaps."""

    def __init__(self, changed: Changed) -> None:
        super().__init__((self.ROW_CREATE, self.ROW_UPDATE), "Logical_Router", None)
        self._changed = changed

    def match_fn(self, event: str, row: Any, old: Any) -> bool:
        """Take Neutron's routers."""
        relevant = event == self.ROW_CREATE or _routes_changed(row, old)
        return relevant and row.name.startswith(_ROUTER_PREFIX)

    def run(self, event: str, row: Any, old: Any) -> None:
        """Say which router it is."""
        self._changed(RouterId(row.name.removeprefix(_ROUTER_PREFIX)))


def _routes_changed(row: Any, old: Any) -> bool:
    """Tell whether static routes of a router have gone, or some have come that aren't ours.

    Whoever writes ours has looked: to look again would cost as much as the change itself.
    """
    if not raw.has(old, "static_routes"):
        return False
    before, now = (raw.references(each, "static_routes") for each in (old, row))
    routes = row._idl.tables["Logical_Router_Static_Route"].rows  # noqa: SLF001
    come = [routes.get(each) for each in now - before]
    return not before <= now or not all(each is not None and router_of(each) for each in come)


class GatewayMoved(row_event.RowEvent):
    """A router's gateway was claimed by a chassis, or released.

    Of all API processes it comes to the one that Neutron's hash ring names.
    """

    def __init__(self, changed: Changed) -> None:
        super().__init__((self.ROW_UPDATE,), "Port_Binding", None)
        self._changed = changed

    def match_fn(self, event: str, row: Any, old: Any) -> bool:
        """Take chassisredirect ports whose chassis has changed."""
        return row.type == "chassisredirect" and hasattr(old, "chassis")

    def run(self, event: str, row: Any, old: Any) -> None:
        """Say which router's gateway it is: northd names the datapath as the router."""
        router_id = _router_of_datapath(row)
        if router_id is not None:
            self._changed(router_id)


def _router_of_datapath(row: Any) -> RouterId | None:
    name = row.datapath.external_ids.get("name", "")
    is_router = name.startswith(_ROUTER_PREFIX)
    return RouterId(name.removeprefix(_ROUTER_PREFIX)) if is_router else None


class GatewayMovedNow(GatewayMoved):
    """The same, on the replica's own thread, which must not wait.

    In the notification thread it would come after Neutron's own events, which write to the
    database and wait for a message bus that is away.
    """

    def match_fn(self, event: str, row: Any, old: Any) -> bool:
        """Say which router's gateway it is; nothing is left to run."""
        if super().match_fn(event, row, old):
            self.run(event, row, old)
        return False


class GatewayMovedSomewhere(GatewayMovedNow):
    """The same in every API process, should the one that the hash ring names be dead.

    With the gateway's port, so that nobody has to read which it is.
    """

    GLOBAL = True  # for neutron.plugins.ml2's OvnDbNotifyHandler

    def __init__(self, moved: Callable[[RouterId, PortId], None]) -> None:
        super().__init__(lambda _: None)
        self._moved = moved

    def run(self, event: str, row: Any, old: Any) -> None:
        """Say which router's gateway it is."""
        router_id = _router_of_datapath(row)
        if router_id is not None:
            self._moved(router_id, PortId(row.logical_port.removeprefix(_REDIRECT_PREFIX)))


class PublicPortMoved(row_event.RowEvent):
    """A router's public port is to be on another chassis; also on the replica's own thread."""

    def __init__(self, moved: Changed) -> None:
        super().__init__((self.ROW_UPDATE,), "Logical_Switch_Port", None)
        self._moved = moved

    def match_fn(self, event: str, row: Any, old: Any) -> bool:
        """Say whose port it is; nothing is left to run."""
        before = getattr(old, "options", None)
        if before is not None and before.get(REQUESTED) != row.options.get(REQUESTED):
            self.run(event, row, old)
        return False

    def run(self, event: str, row: Any, old: Any) -> None:
        """Say whose public port it is, if it is one."""
        router_id = RouterId(row.external_ids.get(_DEVICE_KEY, ""))
        if row.name == public_port_id(router_id):
            self._moved(router_id)


@dataclasses.dataclass(frozen=True, slots=True)
class Listener:
    """What is called with a router's id; but for `changed`, on a thread that must not wait.

    `gateway_moved` in one API process, `gateway_moved_somewhere` in all of them.
    """

    changed: Changed
    gateway_moved: Changed
    gateway_moved_somewhere: Callable[[RouterId, PortId], None]
    public_port_moved: Changed


def watch(nb: Any, sb: Any, listener: Listener) -> None:
    """Tell of every such event."""
    changed = listener.changed
    nb.idl.notify_handler.watch_events(
        [
            RowsLost("Logical_Switch", changed),
            RowsLost("Logical_Router_Port", changed),
            RowsLost("Logical_Router_Policy", changed),
            RowsLost("Logical_Router_Static_Route", changed),
            RouterChanged(changed),
            PublicPortMoved(listener.public_port_moved),
        ]
    )
    sb.idl.notify_handler.watch_events(
        [
            GatewayMovedNow(listener.gateway_moved),
            GatewayMovedSomewhere(listener.gateway_moved_somewhere),
            GatewayMoved(changed),
        ]
    )
