"""IKEv1: a peer that doesn't answer while charon asks for a child, and so asks nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.ike import ChildSa, DeclareDead, LoadedConfig, SaState, TerminateIke
from swanherd.core.model import Dpd, DpdAction, IkeVersion
from swanherd.core.peering import peerings
from swanherd.core.tunnels import Timing, plan_tunnels
from swanherd.testing import builders as make
from tests.unit.core.seen import charon, ike_sa

TIMEOUT = 10
UP, LACKING = (
    make.selector("10.1.0.0/24", "10.2.0.0/24"),
    make.selector("10.1.0.0/24", "10.3.0.0/24"),
)


def ends(now, heard=(), busy=True, action=DpdAction.RESTART):
    """What ends of an IKE SA that asked at 0, and in how many seconds another look is due.

    `heard`: when the last packet came through each of its children.
    """
    connection = make.connection(
        ike=make.ike_policy(version=IkeVersion.V1),
        dpd=Dpd(action, 2, TIMEOUT),
        selectors=(UP, LACKING),
    )
    desired = make.desired(connection)
    (peering,) = peerings(desired)
    name = peering.config.name
    carried = next(child for child, pair in peering.config.children if pair == UP)
    sa = ike_sa(
        7,
        name,
        busy=busy,
        age=1000,
        unanswered=0.0,
        children=tuple(
            ChildSa(carried, 70 + i, SaState.INSTALLED, heard=None if at is None else now - at)
            for i, at in enumerate(heard)
        ),
    )
    seen = charon(
        sa,
        configs=(LoadedConfig(name, peering.children),),
        secrets=frozenset({peering.config.connection.id}),
    )
    actions, wait = plan_tunnels(desired, seen, Timing(now))
    return [a for a in actions if isinstance(a, DeclareDead | TerminateIke)], wait


def test_what_carries_is_dead_and_what_has_nothing_just_ends():
    """Of the latter the cause is known, or told by the next attempt."""
    (dead,) = ends(TIMEOUT, heard=[None])[0]
    assert isinstance(dead, DeclareDead)
    assert ends(TIMEOUT)[0] == [TerminateIke(7, force=True)]


@given(st.floats(0, TIMEOUT - 0.01), st.none() | st.floats(-50, 0))
def test_not_before_the_timeout(now, heard):
    found, wait = ends(now, heard=[heard])
    assert not found
    assert wait == pytest.approx(TIMEOUT - now)


@given(st.floats(TIMEOUT, 100), st.floats(0, TIMEOUT - 0.01))
def test_a_packet_is_a_sign_of_life(now, ago):
    """Dead is who hasn't been heard of for so long, whatever was asked when."""
    assert not ends(now, heard=[now - ago])[0]
    assert ends(now, heard=[now - TIMEOUT])[0]


@pytest.mark.parametrize("changes", [{"busy": False}, {"action": DpdAction.DISABLED}])
def test_else_charon_asks_or_nobody_does(changes):
    assert not ends(10 * TIMEOUT, heard=[None], **changes)[0]
