"""The address of a redundant router comes and goes, as VRRP would have it."""

from __future__ import annotations

from swanherd.core.model import Status
from swanherd.dataplane import homes
from swanherd.testing import builders
from tests.functional.l3.stand import WEST, Site, desired, run


def address(west: Site, verb: str) -> None:
    """Put the public address of the first site's router there, or take it away."""
    run("ip", "-n", west.key, "address", verb, f"{WEST.public[0]}/24", "dev", WEST.qg)
    if verb == "add":
        run("ip", "-n", west.key, "route", "replace", "default", "via", "203.0.113.1")


def stand_by(west: Site, east: Site) -> None:
    """Bring both sides up with west a standby."""
    run("ip", "-n", west.key, "address", "flush", "dev", WEST.qg)
    west.source.desired = desired(west.plan, east.plan, builders.home(redundant=True))
    east.source.desired = desired(east.plan, west.plan, builders.home())
    west.settle()
    east.settle()


def take_over(west: Site, east: Site) -> None:
    """Bring both sides up, and let west get its address."""
    stand_by(west, east)
    address(west, "add")
    west.until(Status.ACTIVE)
    homes.wait(west.homes.redundant(), 0.0)
