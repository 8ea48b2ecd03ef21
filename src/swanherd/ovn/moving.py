"""A router's ports in the northbound database go to another chassis, both at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ovs.db import idl
from ovsdbapp.backend.ovs_idl import command

from swanherd.core.model import RouterId
from swanherd.core.steering import public_port_id, transit_port_id
from swanherd.ovn.database import commit, held
from swanherd.ovn.northbound import REQUESTED, Outcome


def move(nb: Any, router_id: RouterId, host: str) -> Outcome:
    """Have the public port and the transit's on a host, in one transaction, or raise Temporary.

    Ports that aren't there yet, or aren't bound anywhere yet, are left alone.
    """
    with held(nb, router_id):
        if not any(True for _ in _elsewhere(nb, router_id, host)):
            return Outcome.SAME
    commit(nb, router_id, _Move(nb, router_id, host))
    return Outcome.WRITTEN


def _elsewhere(nb: Any, router_id: RouterId, host: str) -> Iterator[Any]:
    """Yield the rows of those that are bound to another host."""
    for name in (public_port_id(router_id), transit_port_id(router_id)):
        row = nb.lookup("Logical_Switch_Port", name, default=None)
        if row is not None and row.options.get(REQUESTED, host) != host:
            yield row


class _Move(command.BaseCommand):
    """Write where they go."""

    def __init__(self, nb: Any, router_id: RouterId, host: str) -> None:
        super().__init__(nb)
        self.router_id = router_id
        self.host = host

    def run_idl(self, txn: idl.Transaction) -> None:
        """Look again, since this runs in another thread, and again after a conflict."""
        for row in _elsewhere(self.api, self.router_id, self.host):
            row.setkey("options", REQUESTED, self.host)
