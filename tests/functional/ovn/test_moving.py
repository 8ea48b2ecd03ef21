"""A router's ports go to another chassis in one transaction."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from swanherd.core.model import RouterId
from swanherd.core.steering import public_port_id, transit_port_id
from swanherd.ovn import moving
from swanherd.ovn.events import PublicPortMoved
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


def test_the_transit_goes_where_the_public_port_is(ovn: Northd, nb: Any, router: RouterId) -> None:
    """Its other options stay; a repeat writes nothing."""
    until(lambda: moving.public_host(nb, router) == "gateway-1")
    assert moving.follow(nb, router) is Outcome.SAME
    request(ovn, public_port_id(router), "gateway-2")
    until(lambda: moving.public_host(nb, router) == "gateway-2")
    assert moving.follow(nb, router) is Outcome.WRITTEN
    until(lambda: moving.follow(nb, router) is Outcome.SAME)
    _, transit = requested(ovn, router)
    assert "requested-chassis=gateway-2" in transit
    assert "other=kept" in transit


def test_a_public_port_is_moved_as_soon_as_that_is_recorded(
    ovn: Northd, nb: Any, router: RouterId
) -> None:
    """Its other options stay; one that isn't bound anywhere, or isn't there, is left alone."""
    port = public_port_id(router)
    until(lambda: moving.public_host(nb, router) == "gateway-1")
    moving.move(nb, router, port, "gateway-2")
    public, transit = requested(ovn, router)
    assert "requested-chassis=gateway-2" in public
    assert "other=kept" in public
    assert "requested-chassis=gateway-1" in transit
    until(lambda: moving.public_host(nb, router) == "gateway-2")
    ovn.nb.run("ovn-nbctl", "lsp-set-options", port, "other=kept")
    until(lambda: moving.public_host(nb, router) is None)
    moving.move(nb, router, port, "gateway-1")
    moving.move(nb, router, transit_port_id(RouterId("gone")), "gateway-1")
    assert "requested-chassis" not in requested(ovn, router)[0]


def test_the_transit_follows_without_another_thread(
    ovn: Northd, nb: Any, router: RouterId
) -> None:
    """The replica's thread, which hears of the public port's move, writes the transit's next."""
    until(lambda: moving.public_host(nb, router) == "gateway-1")
    threads = []

    def moved(router_id: RouterId) -> None:
        threads.append(threading.current_thread())
        moving.follow_next(nb, router_id)

    heard = PublicPortMoved(moved)
    # As Neutron's handler asks each event on that thread (ovsdbapp's RowEventHandler).
    nb.idl.notify = lambda event, row, updates=None: (
        row._table.name == heard.table and heard.match_fn(event, row, updates)
    )
    device = f"neutron\\:device_id={router}"
    ovn.nb.run(
        "ovn-nbctl", "set", "Logical_Switch_Port", public_port_id(router), f"external_ids:{device}"
    )
    request(ovn, public_port_id(router), "gateway-2")
    until(lambda: "requested-chassis=gateway-2" in requested(ovn, router)[1])
    assert "other=kept" in requested(ovn, router)[1]
    assert set(threads) == {nb.ovsdb_connection.thread}


def test_to_follow_next_never_waits(ovn: Northd, nb: Any, router: RouterId) -> None:
    """Behind a transaction that is queued already it is left to who can wait."""
    until(lambda: moving.public_host(nb, router) == "gateway-1")
    request(ovn, public_port_id(router), "gateway-2")
    until(lambda: moving.public_host(nb, router) == "gateway-2")
    connection = nb.ovsdb_connection
    with connection.lock:  # the replica's thread stands still
        connection.txns.put(nb.create_transaction())
        moving.follow_next(nb, router)
    assert "requested-chassis=gateway-1" in requested(ovn, router)[1]
    assert moving.follow(nb, router) is Outcome.WRITTEN


@pytest.mark.parametrize("which", [public_port_id, transit_port_id])
def test_a_port_that_is_bound_nowhere_stays_so(
    ovn: Northd, nb: Any, router: RouterId, which: Any
) -> None:
    """Neutron hasn't bound it yet, or there is no agent."""
    request(ovn, public_port_id(router), "gateway-2")
    ovn.nb.run("ovn-nbctl", "lsp-set-options", which(router))
    until(lambda: nb.lookup("Logical_Switch_Port", which(router), default=None))
    until(lambda: not nb.lookup("Logical_Switch_Port", which(router)).options)
    before = requested(ovn, router)
    assert moving.follow(nb, router) is Outcome.SAME
    assert requested(ovn, router) == before


def test_ports_that_are_not_there_are_no_trouble(nb: Any) -> None:
    """A router without a VPN."""
    router_id = RouterId(str(uuid.uuid4()))
    assert moving.follow(nb, router_id) is Outcome.SAME
    assert moving.public_host(nb, router_id) is None


def ready(ovn: Northd, sb: Any, gateway_port: str) -> None:
    """Let a gateway be on gateway-1."""
    name = f"gateway-of-{gateway_port}"
    lrp = f"lrp-{gateway_port}"
    ovn.nb.run("ovn-nbctl", "lr-add", name)
    ovn.nb.run("ovn-nbctl", "lrp-add", name, lrp, "02:00:00:00:03:01", "198.51.100.9/24")
    ovn.nb.run("ovn-nbctl", "lrp-set-gateway-chassis", lrp, "chassis-1", "10")
    until(lambda: sb.lookup("Port_Binding", f"cr-{lrp}", default=None))
    ovn.sb.run("ovn-sbctl", "lsp-bind", f"cr-{lrp}", "chassis-1")
    until(lambda: sb.lookup("Port_Binding", f"cr-{lrp}").chassis)


def test_a_vpn_is_elsewhere_than_its_gateway_until_its_public_port_is_there(
    ovn: Northd, nb: Any, sb: Any, router: RouterId
) -> None:
    """Then nothing is left to move. Where its gateway is on no chassis, that's nowhere to go."""
    gateway = str(uuid.uuid4())
    until(lambda: moving.public_host(nb, router) == "gateway-1")
    assert not moving.is_elsewhere(nb, sb, router, gateway)
    ready(ovn, sb, gateway)
    assert not moving.is_elsewhere(nb, sb, router, gateway)
    request(ovn, public_port_id(router), "gateway-2")
    until(lambda: moving.is_elsewhere(nb, sb, router, gateway))
    ovn.nb.run("ovn-nbctl", "lsp-set-options", public_port_id(router))
    until(lambda: moving.public_host(nb, router) is None)
    assert moving.is_elsewhere(nb, sb, router, gateway)
    # As of a router whose public port has the name that neutron-vpnaas gave it.
    ovn.nb.run("ovn-nbctl", "lsp-del", public_port_id(router))
    until(lambda: not moving.is_elsewhere(nb, sb, router, gateway))
    request(ovn, transit_port_id(router), "gateway-2")
    until(lambda: moving.is_elsewhere(nb, sb, router, gateway))
    assert not moving.is_elsewhere(nb, sb, RouterId(str(uuid.uuid4())), gateway)
