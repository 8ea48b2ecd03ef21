"""Who answers sends by the old child until who began ends it; who begins by the new one."""

import dataclasses

import pytest

from swanherd.core.ike import (
    CharonOptions,
    Initiate,
    LoadConfig,
    LoadedConfig,
    SaState,
    TerminateIke,
)
from swanherd.core.model import ChildDetails, DataPlane, IkeVersion, Initiator
from swanherd.core.naming import child_name
from swanherd.core.peering import ike_config
from swanherd.testing import builders as make
from tests.unit.core.seen import actions, charon, ike_sa

KERNEL = CharonOptions(DataPlane.KERNEL)
# Its own identity sorts after the peer's: it lets the other side begin.
SECOND = make.connection(local_id="z", peer_id="a")
TWO_PAIRS = dataclasses.replace(
    SECOND,
    selectors=(
        make.selector("10.1.0.0/24", "10.2.0.0/24"),
        make.selector("10.1.0.0/24", "10.3.0.0/24"),
    ),
)


def seen(connection, *, rank=0, plane=KERNEL, loaded=True, up=(), old=True, unique_id=40):
    """Return a look at charon: the old generation's IKE SA, and what is up of the new one."""
    desired = make.desired(connection)
    config = ike_config(connection, desired.naming_key)
    before = LoadedConfig(config.name, frozenset(n for n, _ in config.children))
    name = f"{config.connection.id}-0123456789abcdef"
    (child,) = ike_sa(config=name).children
    child = dataclasses.replace(
        child, name=child_name(connection.selectors[0], connection.ipsec), unique_id=unique_id
    )
    sas = [ike_sa(config=name, children=(child,))] if old else []
    there = charon(
        *sas,
        *(ike_sa(2, config=config.name, initiator=False, children=(u,)) for u in up),
        configs=[before] if loaded else [],
        secrets=frozenset({config.connection.id}),
    )
    ranks = {config.name: rank} if rank else {}
    there = dataclasses.replace(there, options=plane, ranks=ranks, loaded={config.name: 0.0})
    return desired, config, there, child


def loads(plan):
    return [a for a in plan if isinstance(a, LoadConfig)]


ONLY_RESPONDS = dataclasses.replace(SECOND, initiator=Initiator.RESPONSE_ONLY)


@pytest.mark.parametrize("waits", [SECOND, ONLY_RESPONDS], ids=["second", "only responds"])
def test_who_waits_for_the_other_loads_with_a_rank_above_all_that_is_live(waits):
    """The rank is above the old child's id, and so above its rank: it was loaded before."""
    desired, config, there, _ = seen(waits, loaded=False)
    plan = actions(there, desired)
    assert [LoadConfig(config, rank=41)] == loads(plan)
    assert not any(isinstance(a, Initiate) for a in plan)


def test_who_begins_loads_with_the_first_rank_before_it_does():
    """Also where it waited for the other side in vain."""
    desired, config, there, _ = seen(SECOND, rank=41)
    plan = actions(there, desired, now=1.0)
    ((child, _),) = config.children
    assert (LoadConfig(config, rank=0), Initiate(config.name, child)) == plan


@pytest.mark.parametrize("waits", [SECOND, ONLY_RESPONDS], ids=["second", "only responds"])
def test_who_answered_leaves_the_end_of_the_old_one_to_the_other_for_a_while(waits):
    """Else what it has sent by it is on its way while the other side removes it."""
    desired, _, _, child = seen(waits, rank=41)
    for installed, ends in ((0, False), (1, False), (2, True)):
        details = ChildDetails("", "", None, None, None, 0, 0, 0, 0, installed, None, None)
        new = dataclasses.replace(child, unique_id=50, details=details)
        up = seen(waits, rank=41, up=[new])[2]
        assert ends == any(isinstance(a, TerminateIke) for a in actions(up, desired))


def test_when_nothing_is_replaced_any_more_the_rank_goes():
    """A peer that forgot what it had and comes again is answered by the SA that it has."""
    _, _, _, child = seen(SECOND)
    new = dataclasses.replace(child, unique_id=50)
    desired, config, there, _ = seen(SECOND, rank=41, up=[new], old=False)
    assert (LoadConfig(config, rank=0),) == actions(there, desired)


@pytest.mark.parametrize("case", ["userspace", "v1"])
def test_neither_userspace_nor_ikev1_has_ranks(case):
    """Userspace sends by the newest; in IKEv1 it is who begins that has the new one first."""
    plane = CharonOptions(DataPlane.USERSPACE) if case == "userspace" else KERNEL
    connection = SECOND
    if case == "v1":
        connection = dataclasses.replace(SECOND, ike=make.ike_policy(version=IkeVersion.V1))
    desired, config, there, _ = seen(connection, loaded=False, plane=plane)
    assert [LoadConfig(config)] == loads(actions(there, desired))


def test_an_attempt_under_way_keeps_its_rank():
    """charon looks it up when the peer's answer comes."""
    desired, config, there, _ = seen(SECOND, rank=35)
    coming = ike_sa(3, config=config.name, state=SaState.CONNECTING, children=())
    there = dataclasses.replace(there, ike_sas=(*there.ike_sas, coming))
    assert loads(actions(there, desired, now=1.0)) == []


@pytest.mark.parametrize("rank", [0, 45])
def test_what_is_up_keeps_its_rank_while_old_ones_end(rank):
    """Who began has the first; who answered had more to replace."""
    _, _, _, child = seen(SECOND)
    new = dataclasses.replace(child, unique_id=50)
    desired, _, there, _ = seen(SECOND, rank=rank, up=[new])
    assert loads(actions(there, desired)) == []


def test_who_knows_no_address_of_the_peer_sends_by_the_newest():
    """It may have come from another one, from which the old policy lets nothing in."""
    anybody = dataclasses.replace(SECOND, peer_address="0.0.0.0", peer_id="a")
    desired, config, there, _ = seen(anybody, loaded=False)
    assert [LoadConfig(config)] == loads(actions(there, desired))


def test_who_answered_leaves_the_other_children_to_the_other_for_a_while():
    """Both would make them at the same moment."""
    _, config, _, child = seen(TWO_PAIRS)
    first, second = (name for name, _ in config.children)
    new = dataclasses.replace(child, name=first, unique_id=50)
    desired, _, there, _ = seen(TWO_PAIRS, rank=41, up=[new])
    for age, begins in ((0, False), (1, False), (2, True)):
        sas = tuple(dataclasses.replace(sa, age=age) for sa in there.ike_sas)
        plan = actions(dataclasses.replace(there, ike_sas=sas), desired, now=10.0)
        assert begins == (Initiate(config.name, second) in plan)


def test_so_it_does_when_the_other_has_begun_with_one_of_an_old_ike_sa():
    """Whoever began that IKE SA: the one child came just now, and the rest is about to."""
    _, config, _, child = seen(TWO_PAIRS)
    first, second = (name for name, _ in config.children)
    for rank, age, installed, begins in (
        *((41, 900, 0, False), (41, 900, 1, False), (41, 900, 2, True), (0, 900, 0, True)),
        # That one is its own: it came with the IKE SA.
        *((41, 0, 0, True), (41, 1, 1, True), (41, 2, 1, True)),
    ):
        details = ChildDetails("", "", None, None, None, 0, 0, 0, 0, installed, None, None)
        new = dataclasses.replace(child, name=first, unique_id=50, details=details)
        desired, _, there, _ = seen(TWO_PAIRS, rank=rank, up=[new])
        sas = tuple(dataclasses.replace(sa, age=age, initiator=True) for sa in there.ike_sas)
        plan = actions(dataclasses.replace(there, ike_sas=sas), desired, now=10.0)
        assert begins == (Initiate(config.name, second) in plan)
