"""A router's ports go to another chassis in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from swanherd.core.model import RouterId
from swanherd.core.steering import public_port_id, transit_port_id
from swanherd.ovn import moving
from swanherd.ovn.northbound import Outcome
from tests.functional.ovn.daemons import Northd, until


@pytest.fixture
def router(ovn: Northd) -> Iterator[RouterId]:
    """A router whose two ports are requested on gateway-1."""
    router_id = RouterId(str(uuid.uuid4()))
    ovn.nb.run("ovn-nbctl", "ls-add", f"ports-{router_id}")
    for port in (public_port_id(router_id), transit_port_id(router_id)):
        ovn.nb.run("ovn-nbctl", "lsp-add", f"ports-{router_id}", port)
        request(ovn, port, "gateway-1")
    yield router_id
    ovn.nb.run("ovn-nbctl", "ls-del", f"ports-{router_id}")


def request(ovn: Northd, port: str, host: str) -> None:
    options = [f"requested-chassis={host}", "other=kept"]
    ovn.nb.run("ovn-nbctl", "lsp-set-options", port, *options)


def requested(ovn: Northd, router: RouterId) -> list[str]:
    ports = (public_port_id(router), transit_port_id(router))
    return [ovn.nb.run("ovn-nbctl", "lsp-get-options", port) for port in ports]


def test_both_ports_move_in_one_transaction(ovn: Northd, nb: Any, router: RouterId) -> None:
    """No replica ever sees them on two hosts; other options stay; a repeat writes nothing."""
    seen = []
    original = nb.idl.notify

    def notify(event: Any, row: Any, updates: Any = None) -> None:
        if row._table.name == "Logical_Switch_Port":
            ports = nb.tables["Logical_Switch_Port"].rows.values()
            seen.append({p.options["requested-chassis"] for p in ports})
        original(event, row, updates)

    until(lambda: nb.lookup("Logical_Switch_Port", transit_port_id(router), default=None))
    nb.idl.notify = notify
    assert moving.move(nb, router, "gateway-2") is Outcome.WRITTEN
    until(lambda: moving.move(nb, router, "gateway-2") is Outcome.SAME)
    assert seen[-1] == {"gateway-2"}
    assert all("requested-chassis=gateway-2" in options for options in requested(ovn, router))
    assert all("other=kept" in options for options in requested(ovn, router))


def test_a_port_that_is_bound_nowhere_stays_so(ovn: Northd, nb: Any, router: RouterId) -> None:
    """Neutron hasn't bound it yet, or there is no agent: then moving it isn't ours."""
    ovn.nb.run("ovn-nbctl", "lsp-set-options", public_port_id(router))
    until(lambda: nb.lookup("Logical_Switch_Port", transit_port_id(router), default=None))
    until(lambda: not nb.lookup("Logical_Switch_Port", public_port_id(router)).options)
    assert moving.move(nb, router, "gateway-2") is Outcome.WRITTEN
    public, transit = requested(ovn, router)
    assert "requested-chassis" not in public
    assert "requested-chassis=gateway-2" in transit


def test_ports_that_are_not_there_are_no_trouble(nb: Any) -> None:
    """A router without a VPN."""
    assert moving.move(nb, RouterId(str(uuid.uuid4())), "gateway-2") is Outcome.SAME
