"""IPv6 addresses of a router's own that another node had when Neutron gave them here."""

from __future__ import annotations

import ipaddress

import pytest

from lab.processes import wait_for
from swanherd.core.failures import Temporary
from swanherd.core.model import HomeNamespace, Status
from swanherd.core.network import ClaimAgain, Duplicate
from swanherd.testing import builders as make
from tests.functional.l3.stand import (
    EAST,
    WEST,
    desired,
    detours,
    distributed,
    legacy,
    run,
    sysctl,
)

DEVICE = f"sg-{WEST.name}"
ADDRESS = f"{WEST.inner(9)[1]}/64"
DUPLICATE = Duplicate(DEVICE, ipaddress.ip_interface(ADDRESS))
# What is plugged into the same network on the node that the router left.
OTHER = ("dev", "br0")


def flags(key):
    """What the kernel tells of the address: it may be used if there is nothing."""
    listed = run("ip", "-n", key, "-6", "-o", "address", "show", "to", ADDRESS, "dev", DEVICE)
    return {"tentative", "dadfailed", "nodad"} & set(listed.split())


@pytest.fixture
def west(stand):
    """A distributed router whose central part came before it was gone from another node."""
    site = stand.site(WEST, distributed)
    run("ip", "-n", f"switch-{WEST.name}", "address", "add", ADDRESS, *OTHER, "nodad")
    sysctl(site.key, f"ipv6/conf/{DEVICE}/accept_dad=1")
    run("ip", "-n", site.key, "address", "del", ADDRESS, "dev", DEVICE)
    run("ip", "-n", site.key, "address", "add", ADDRESS, "dev", DEVICE)
    wait_for(lambda: "dadfailed" in flags(site.key), 10, "the kernel refuses the address")
    return site


def go_from_the_other_node():
    run("ip", "-n", f"switch-{WEST.name}", "address", "del", ADDRESS, *OTHER)


def is_up(*sites):
    """Turn each once; tell whether all say ACTIVE."""
    reports = [site.turn().report for site in sites]
    return all(row.status is Status.ACTIVE for r in reports for row in r.connections)


def test_an_address_is_asked_for_until_the_other_node_has_let_go(west):
    """It is seen, it fails by name as long as another has it, and then it may be used."""
    assert west.node.observe(west.key).duplicates == {DUPLICATE}
    with pytest.raises(Temporary) as failure:
        west.node.apply(west.key, ClaimAgain(DUPLICATE))
    assert failure.value.reason.code == "router_address_duplicate"
    wait_for(lambda: "dadfailed" in flags(west.key), 10, "it is refused again")
    go_from_the_other_node()
    with pytest.raises(Temporary):
        west.node.apply(west.key, ClaimAgain(DUPLICATE))
    wait_for(lambda: not flags(west.key), 10, "it may be used, and is asked for as before")
    assert not west.node.observe(west.key).duplicates


def test_what_neutron_has_taken_meanwhile_stays_away(west):
    """An address that isn't there any more when it would be asked for; or its device."""
    run("ip", "-n", west.key, "address", "del", ADDRESS, "dev", DEVICE)
    for _ in range(2):
        with pytest.raises(Temporary):
            west.node.apply(west.key, ClaimAgain(DUPLICATE))
        assert ADDRESS not in run("ip", "-n", west.key, "address")
        run("ip", "-n", west.key, "link", "del", DEVICE, check=False)


def test_the_tunnel_comes_up_when_the_other_node_has_let_go(stand, west):
    """IPv6 in IPv4: charon can't install it before, and the turn says why."""
    east = stand.site(EAST, legacy)
    home = make.home(HomeNamespace.CENTRAL, distributed=True, detours=detours(WEST))
    west.source.desired = desired(WEST, EAST, home, "64")
    east.source.desired = desired(EAST, WEST, make.home(), "64")
    east.turn()
    outcome = west.turn()
    assert outcome.failed is not None
    assert outcome.failed.code == "router_address_duplicate"
    (row,) = outcome.report.connections
    assert (row.status, row.reason.code) == (Status.DOWN, "router_address_duplicate")
    go_from_the_other_node()
    west.settle(west.steering)
    wait_for(lambda: is_up(west, east), 30, "the tunnel is up")
    assert west.ping(EAST.inner(5)[1])
