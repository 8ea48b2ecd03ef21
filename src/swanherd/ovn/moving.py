"""The transit is where the router's public port is: that row decides who serves (ADR 13)."""

from __future__ import annotations

import contextlib
import queue
from typing import Any

from ovs.db import idl
from ovsdbapp.backend.ovs_idl import command

from swanherd.core.model import PortId, RouterId
from swanherd.core.steering import public_port_id, transit_port_id
from swanherd.ovn import southbound
from swanherd.ovn.database import commit, held
from swanherd.ovn.northbound import REQUESTED, Outcome


def public_host(nb: Any, router_id: RouterId) -> str | None:
    """Return the host on which Neutron wants the public port; None without one."""
    with held(nb, router_id):
        return _requested(_port(nb, public_port_id(router_id)))


def is_elsewhere(nb: Any, sb: Any, router_id: RouterId, gateway_port_id: str) -> bool:
    """Tell whether a router's VPN is to be elsewhere than its gateway is, or raise Temporary.

    A router that isn't ours has no transit. A public port that neutron-vpnaas made has another
    name; the transit, which follows it, is told by then.
    """
    with held(nb, router_id):
        transit = _port(nb, transit_port_id(router_id))
        if transit is None:
            return False
        public = _port(nb, public_port_id(router_id))
        host = _requested(transit if public is None else public)
    active = southbound.gateway(nb, sb, router_id, gateway_port_id).active
    return active not in (None, host)


def move(nb: Any, router_id: RouterId, port_id: PortId, host: str) -> None:
    """Have a public port on a host, as far as OVN knows, or raise Temporary.

    A port that isn't there yet, or isn't bound anywhere, is left alone.
    """
    with held(nb, router_id):
        if _requested(_port(nb, port_id)) in (None, host):
            return
    commit(nb, router_id, _Move(nb, port_id, host))


def follow(nb: Any, router_id: RouterId) -> Outcome:
    """Have the transit's port where the public one is, or raise Temporary.

    A port that isn't there yet, or isn't bound anywhere, is left alone.
    """
    with held(nb, router_id):
        if _elsewhere(nb, router_id) is None:
            return Outcome.SAME
    commit(nb, router_id, _Follow(nb, router_id))
    return Outcome.WRITTEN


def follow_next(nb: Any, router_id: RouterId) -> None:
    """Have the replica's own thread, which calls this, do the same as soon as it can.

    Any other thread has to be woken and to get the replica: on a busy machine tenths of a second,
    in which the router's packets go where nobody serves it any more. This never waits, and does
    nothing if somebody else's transaction is queued already, so `follow` has to come in any case.
    """
    if _elsewhere(nb, router_id) is None:
        return
    transaction = nb.create_transaction(check_error=False, log_errors=False)
    transaction.add(_Follow(nb, router_id))
    with contextlib.suppress(queue.Full):
        nb.ovsdb_connection.txns.put(transaction, block=False)


def _port(nb: Any, name: str) -> Any:
    return nb.lookup("Logical_Switch_Port", name, default=None)


def _requested(port: Any) -> str | None:
    host: str | None = port.options.get(REQUESTED) if port is not None else None
    return host


def _elsewhere(nb: Any, router_id: RouterId) -> tuple[Any, str] | None:
    """Return the transit's port and where it should go; None if it is there."""
    host = _requested(_port(nb, public_port_id(router_id)))
    transit = _port(nb, transit_port_id(router_id))
    if host is None or _requested(transit) in (None, host):
        return None
    return transit, host


class _Move(command.BaseCommand):
    """Write where a port goes."""

    def __init__(self, nb: Any, port_id: PortId, host: str) -> None:
        super().__init__(nb)
        self.port_id = port_id
        self.host = host

    def run_idl(self, txn: idl.Transaction) -> None:
        """Look again: this runs in another thread, and again after a conflict."""
        row = _port(self.api, self.port_id)
        if _requested(row) is not None:
            row.setkey("options", REQUESTED, self.host)


class _Follow(command.BaseCommand):
    """Write where the transit's port goes."""

    def __init__(self, nb: Any, router_id: RouterId) -> None:
        super().__init__(nb)
        self.router_id = router_id

    def run_idl(self, txn: idl.Transaction) -> None:
        """Look again, since this runs in another thread, and again after a conflict."""
        if found := _elsewhere(self.api, self.router_id):
            row, host = found
            row.setkey("options", REQUESTED, host)
