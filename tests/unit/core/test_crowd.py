"""A peer that begins IKE SA after IKE SA and ends none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.ends import COMPLETE, CROWD
from swanherd.core.ike import LoadedConfig, TerminateIke
from swanherd.core.model import IkeVersion
from swanherd.core.peering import peerings
from swanherd.core.tunnels import Timing, plan_tunnels
from swanherd.testing import builders as make
from tests.unit.core.seen import charon, ike_sa

DESIREDS = [
    make.desired(make.connection(ike=make.ike_policy(version=version))) for version in IkeVersion
]


def begun(desired, *ages):
    """Return IKE SAs that the peer began so many seconds ago, what of them ends, and the wait."""
    (peering,) = peerings(desired)
    name = peering.config.name
    sas = [
        ike_sa(i, name, initiator=False, age=age, initiator_spi=f"{i:016x}")
        for i, age in enumerate(ages, 1)
    ]
    loaded = LoadedConfig(name, peering.children)
    seen = charon(*sas, configs=(loaded,), secrets=frozenset({peering.config.connection.id}))
    actions, wait = plan_tunnels(desired, seen, Timing(0.0))
    ends = {a.unique_id for a in actions if isinstance(a, TerminateIke)}
    return sas, ends, wait


@pytest.mark.parametrize("desired", DESIREDS, ids=list(IkeVersion))
def test_a_few_are_left_to_the_peer(desired):
    """It may be about to end them itself."""
    ages = [100 * n for n in range(1, CROWD + 1)]
    assert not begun(desired, *ages)[1]
    assert begun(desired, *ages, 10_000)[1] == {CROWD + 1}


@given(st.sampled_from(DESIREDS), st.lists(st.integers(0, 99), min_size=CROWD, max_size=40))
def test_a_peer_can_fill_no_node(desired, ages):
    """What isn't quite new is never more than a crowd, the newest stays, and time is asked for."""
    sas, ends, wait = begun(desired, *ages)
    left = [sa for sa in sas if sa.unique_id not in ends]
    assert len([sa for sa in left if sa.age >= COMPLETE]) <= CROWD
    assert min(sas, key=lambda sa: sa.age) in left or min(ages) == max(ages)
    assert wait is not None or len(left) <= CROWD


def test_what_lacks_children_goes_first():
    """Of a peer whose newest have none, one that carries stays."""
    (peering,) = peerings(DESIREDS[1])
    name = peering.config.name
    carrying = ike_sa(99, name, initiator=False, age=5000)
    empty = [ike_sa(i, name, initiator=False, age=50, children=()) for i in range(CROWD + 4)]
    loaded = LoadedConfig(name, peering.children)
    seen = charon(carrying, *empty, configs=(loaded,))
    actions, _ = plan_tunnels(DESIREDS[1], seen, Timing(0.0))
    ends = {a.unique_id for a in actions if isinstance(a, TerminateIke)}
    assert len(ends) == 5
    assert 99 not in ends


def test_where_any_peer_may_come_each_is_for_itself():
    """Branches of one identity, each with a part of the networks, leave each other alone."""
    hub = make.desired(make.connection(peer_address="0.0.0.0"))
    (peering,) = peerings(hub)
    name, loaded = peering.config.name, LoadedConfig(peering.config.name, peering.children)
    sas = [
        ike_sa(i, name, initiator=False, age=50 + 10 * i, remote_host=f"198.51.100.{i}")
        for i in range(1, 3 * CROWD)
    ]
    actions, wait = plan_tunnels(hub, charon(*sas, configs=(loaded,)), Timing(0.0))
    assert not [a for a in actions if isinstance(a, TerminateIke)]
    assert wait is None
