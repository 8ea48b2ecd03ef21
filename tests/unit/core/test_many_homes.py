"""Many connections on a router of an L3 agent: what a look at them costs, in calls."""

import dataclasses

import pytest

from swanherd.core.home import network_of
from swanherd.core.model import DataPlane, Dpd, DpdAction
from swanherd.testing import builders as make
from tests.unit.core.test_many import COUNT, SLACK, all_up, look, router
from tests.unit.steps import calls_of

HERE, ELSEWHERE = make.home(), make.home(None, distributed=True)


@pytest.mark.parametrize("home", [HERE, ELSEWHERE], ids=["its namespace", "it only steers"])
@pytest.mark.parametrize("plane", DataPlane)
def test_a_look_at_what_rests_takes_the_same_steps_for_any_number_of_connections(plane, home):
    """Its network isn't made anew, and neither is it compared."""
    steps = []
    for count in (COUNT // 10, COUNT):
        desired = dataclasses.replace(router(count), home=home, transit=None)
        seen = all_up(desired, plane)
        if home.namespace is None:
            seen = dataclasses.replace(
                seen, charon=dataclasses.replace(seen.charon, running=False)
            )
        assert not look(desired, seen, plane)[0]
        steps.append(calls_of(lambda d=desired, o=seen, p=plane: look(d, o, p)))
    assert abs(steps[1] - steps[0]) <= SLACK
    assert steps[1] < 300


@pytest.mark.parametrize("plane", DataPlane)
def test_what_no_packet_sees_leaves_the_network_as_it_was(plane):
    """Another dead peer detection, or a doubt, is no reason to write routes and rules anew."""
    before = dataclasses.replace(router(3), home=HERE, transit=None)
    first = network_of(before, plane)
    own, *others = before.connections
    changed = dataclasses.replace(own, dpd=Dpd(DpdAction.HOLD, 7, 70))
    doubted = dataclasses.replace(HERE, doubted=5.0)
    after = dataclasses.replace(before, connections=(changed, *others), home=doubted)
    assert network_of(after, plane) is first


@pytest.mark.parametrize("plane", DataPlane)
@pytest.mark.parametrize(
    "change",
    [
        {
            "home": dataclasses.replace(
                HERE, connected=(make.selector("10.1.0.0/24", "10.9.0.0/24").remote,)
            )
        },
        {"home": ELSEWHERE},
        {"peer_address": "198.51.100.77"},
        {"selectors": (make.selector("10.1.0.0/24", "10.8.0.0/16"),)},
    ],
    ids=["another subnet of the router", "another namespace", "another peer", "another network"],
)
def test_all_that_a_packet_may_see_makes_another_network(plane, change):
    """A peer CIDR of all spares the peers and the router's own subnets."""
    every = make.selector("10.1.0.0/24", "0.0.0.0/0")
    connection = make.connection(selectors=(every,))
    before = make.desired(connection, home=HERE, transit=None)
    first = network_of(before, plane)
    if "home" in change:
        after = dataclasses.replace(before, **change)
    else:
        changed = dataclasses.replace(connection, **change)
        after = dataclasses.replace(before, connections=(changed,))
    assert network_of(after, plane) != first
