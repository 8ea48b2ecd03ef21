"""What the network of a namespace of ours is for a desired state."""

import pytest

from swanherd.core.home import network_of
from swanherd.core.model import DataPlane
from swanherd.core.network import BLACKHOLE, PUBLIC_DEVICE
from swanherd.testing import builders as make

FOUR = make.selector("10.1.0.0/24", "10.2.0.0/24")
SIX = make.selector("fd01::/64", "fd02::/64")


def locks(*selectors, plane=DataPlane.USERSPACE, home=None):
    """Return the families in which nothing goes on that came by the public device."""
    desired = make.desired(make.connection(selectors=selectors))
    network = network_of(make.at_home(desired, home) if home else desired, plane)
    found = {rule for rule in network.rules if rule.device}
    assert {(PUBLIC_DEVICE, BLACKHOLE)} >= {(rule.device, rule.table) for rule in found}
    assert all(
        rule.selector.local.prefixlen == rule.selector.remote.prefixlen == 0 for rule in found
    )
    leading = network.rules - found
    assert all(lock.priority < 155 for lock in found), "before each rule that leads into a tunnel"
    assert leading or not selectors
    return {rule.selector.local.version for rule in found}


@pytest.mark.parametrize("selectors", [(FOUR,), (SIX,), (FOUR, SIX)])
def test_what_came_by_the_public_device_goes_nowhere(selectors):
    """In each family that has a pair, and whatever became of the guard."""
    assert locks(*selectors) == {s.local.version for s in selectors}


def test_where_decrypted_packets_come_by_it_there_is_no_such_rule():
    """The kernel's do; and in a router's own namespace floating IPs come by it."""
    assert locks(FOUR, plane=DataPlane.KERNEL) == set()
    assert locks(FOUR, home=make.home()) == set()
