"""Which side of a peering begins."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.ike import (
    ChildSa,
    Initiate,
    LoadedConfig,
    SaState,
    TerminateChild,
    TerminateIke,
)
from swanherd.core.model import ChildDetails, IkeVersion
from swanherd.core.naming import pair_of
from swanherd.core.peering import ike_config
from swanherd.core.precedence import COURTESY, HANDED, SETTLED, YIELDED, comes_second
from swanherd.core.tunnels import Timing, plan_tunnels, retry_at
from swanherd.testing import builders as make
from tests.unit.core.seen import DESIRED, charon, fault, ike_sa

V1 = make.ike_policy(version=IkeVersion.V1)
FIRST = make.connection(ike=V1, local_id="a", peer_id="b")
SECOND = make.connection(ike=V1, local_id="b", peer_id="a")
BOTH_V2 = [dataclasses.replace(c, ike=make.ike_policy()) for c in (FIRST, SECOND)]

# Seconds that a main mode may take, and that a timer may be late: then no race follows.
LATE = 0.5

identities = st.sampled_from(["203.0.113.9", "203.0.113.10", "2001:db8::1", "west@example.org"])


def planned(connection, *sas, idle=None, lacking=None, faults=(), now=100.0, loaded=True):
    """What is initiated, and when to look again."""
    config = ike_config(connection, DESIRED.naming_key)
    children = frozenset(name for name, _ in config.children)
    seen = charon(
        *(dataclasses.replace(sa, config=config.name) for sa in sas),
        configs=[LoadedConfig(config.name, children)] if loaded else [],
        secrets=frozenset({config.connection.id}),
        faults=[dataclasses.replace(f, config=config.name) for f in faults],
    )
    seen = dataclasses.replace(
        seen,
        idle={} if idle is None else {config.name: idle},
        lacking={} if lacking is None else {config.name: lacking},
    )
    actions, wait = plan_tunnels(make.desired(connection), seen, Timing(now))
    return any(isinstance(action, Initiate) for action in actions), wait


@given(identities, identities)
def test_of_two_sides_exactly_one_comes_second(one, other):
    """Whatever addresses a NAT shows them; none does if both have one identity."""
    west = make.connection(ike=V1, local_id=one, peer_id=other)
    east = make.connection(ike=V1, local_id=other, peer_id=one, peer_address="192.0.2.200")
    assert [comes_second(west), comes_second(east)].count(True) == (one != other)


def test_without_a_local_id_the_address_is_it():
    """As it is in what charon sends."""
    assert comes_second(dataclasses.replace(SECOND, local_id="", peer_id="1.1.1.1"))
    assert not comes_second(dataclasses.replace(SECOND, local_id="", peer_id="x"))


def test_who_comes_second_waits_a_while_for_the_other():
    """From when charon has the config without an IKE SA; the first one waits for nobody."""
    assert planned(FIRST, loaded=False) == (True, None)
    assert planned(SECOND, loaded=False) == (False, COURTESY)
    assert planned(SECOND, idle=99.75) == (False, COURTESY - 0.25)
    assert planned(SECOND, idle=100 - COURTESY) == (True, None)
    assert all(planned(c, loaded=False) == (True, None) for c in BOTH_V2)


def test_after_a_failure_the_first_goes_first_again():
    """Both may have failed at the same moment: one tries when it is time, the other later."""
    failed = fault(first=98.0, last=98.0)

    def at(connection, now):
        return planned(connection, idle=98.0, faults=[failed], now=now)[0]

    retry = retry_at(failed, Timing(0.0))
    assert [at(FIRST, retry - 0.25), at(FIRST, retry)] == [False, True]
    assert [at(SECOND, retry + COURTESY / 2), at(SECOND, retry + COURTESY)] == [False, True]


@given(st.floats(0.0, 1.0))
def test_an_attempt_that_came_too_early_is_made_again_before_the_second_begins(late):
    """Both change, the second later: it refuses what it doesn't know yet, and both then wait.

    Else both would begin at the same moment: the first when its pause is over, and the second.
    """
    failed = fault(first=100.0, last=100.0)
    again = retry_at(failed, Timing(0.0))
    _, wait = planned(SECOND, loaded=False, now=100.0 + late)
    assert wait is not None
    assert 100.0 + late + wait >= again + LATE


def test_who_has_begun_makes_the_children():
    """The other waits some seconds: in IKEv1 the later one takes the earlier one's place."""
    theirs = ike_sa(initiator=False, children=(), age=0)
    assert planned(FIRST, theirs) == (False, float(HANDED))
    assert planned(FIRST, dataclasses.replace(theirs, age=HANDED)) == (True, None)
    assert planned(FIRST, dataclasses.replace(theirs, initiator=True)) == (True, None)
    assert planned(BOTH_V2[0], theirs) == (True, None)


def test_who_comes_second_leaves_alone_what_comes():
    """The other's attempt is under way: nothing is begun beside it, however long it takes."""
    coming = ike_sa(initiator=False, state=SaState.CONNECTING, children=())
    assert planned(SECOND, coming, now=1000.0) == (False, None)


def test_who_comes_second_leaves_new_children_of_an_old_ike_sa_to_the_other():
    """Both change at once: of two child SAs of one pair the later takes the other's place."""
    old = ike_sa(age=900, children=(), initiator=True)
    assert planned(FIRST, old) == (True, None)
    assert planned(SECOND, old) == (False, HANDED)
    assert planned(SECOND, old, lacking=99.5) == (False, HANDED - 0.5)
    assert planned(SECOND, old, lacking=100.0 - HANDED) == (True, None)
    failed = fault(first=99.0, last=99.0)
    again = retry_at(failed, Timing(100.0)) + HANDED
    assert planned(SECOND, old, lacking=50.0, faults=[failed], now=again)[0] is True
    assert planned(SECOND, old, lacking=50.0, faults=[failed], now=again - 1)[0] is False
    assert all(planned(c, old) == (True, None) for c in BOTH_V2)


def replacing(connection, before, *, at=None, loaded=True, faults=(), now=100.0):
    """What an IKEv2 side begins whose pairs `before` carries, and when to look again."""
    config = ike_config(connection, DESIRED.naming_key)
    children = frozenset(name for name, _ in config.children)
    seen = charon(
        before,
        configs=[LoadedConfig(config.name, children)] if loaded else [],
        secrets=frozenset({config.connection.id}),
        faults=[dataclasses.replace(f, config=config.name) for f in faults],
    )
    seen = dataclasses.replace(seen, loaded={} if at is None else {config.name: at})
    actions, wait = plan_tunnels(make.desired(connection), seen, Timing(now))
    return any(isinstance(action, Initiate) for action in actions), wait


def carrier(connection, config="another-0123456789abcdef", generation="00000000"):
    """An IKE SA whose only child is of another generation, for the connection's first pair."""
    pair = pair_of(ike_config(connection, DESIRED.naming_key).children[0][0])
    children = (ChildSa(f"{pair}-{generation}", 4, SaState.INSTALLED),)
    return ike_sa(unique_id=9, config=config, children=children)


def test_in_ikev2_who_comes_second_leaves_a_swap_to_the_other():
    """What was before carries on meanwhile; the first waits for nobody, and neither without it."""
    first, second = BOTH_V2
    assert replacing(first, carrier(first), loaded=False) == (True, None)
    assert replacing(second, carrier(second), loaded=False) == (False, YIELDED)
    assert replacing(second, carrier(second), at=99.75) == (False, YIELDED - 0.25)
    assert replacing(second, carrier(second), at=100.0 - YIELDED) == (True, None)
    name = ike_config(second, DESIRED.naming_key).children[0][0]
    same = carrier(second, generation=name.partition("-")[2])
    assert same.children[0].name == name
    assert replacing(second, same, loaded=False) == (False, YIELDED)
    # When it was loaded before, with other children, is of no matter.
    assert replacing(second, carrier(second), at=50.0, loaded=False) == (False, YIELDED)
    nothing = dataclasses.replace(carrier(second), children=())
    assert replacing(second, nothing, loaded=False) == (True, None)


@pytest.mark.parametrize("at", [None, 98.0], ids=["long ago", "lately"])
def test_after_a_failure_of_a_swap_the_first_goes_first_again_too(at):
    """The attempt of one side has failed for both: one tries when it is time, the other later."""
    failed = fault(first=98.0, last=98.0)
    retry = retry_at(failed, Timing(0.0))

    def begins(connection, now):
        old = carrier(connection)
        return replacing(connection, old, at=at, faults=[failed], now=now)[0]

    first, second = BOTH_V2
    assert [begins(first, retry - 0.25), begins(first, retry)] == [False, True]
    late = retry + YIELDED
    assert [begins(second, late - 0.25), begins(second, late)] == [False, True]


def test_so_it_does_with_new_children_of_an_ike_sa():
    """The old child of the pair is in the very IKE SA that is to have the new one."""
    second = BOTH_V2[1]
    config = ike_config(second, DESIRED.naming_key)
    old = carrier(second, config.name)
    assert replacing(second, old, at=99.75) == (False, YIELDED - 0.25)
    assert replacing(second, old, at=100.0 - YIELDED) == (True, None)


@pytest.mark.parametrize("before", ["10.1.0.0/23", "10.1.0.0/25"])
def test_a_network_of_another_size_waits_for_the_change_of_the_other_side(before):
    """The peer would agree by its old config, and replace that again once it has the new one."""
    for connection, turns in ((BOTH_V2[0], 1), (BOTH_V2[1], 2), (FIRST, 1)):
        remote = str(connection.selectors[0].remote)
        ends = ChildDetails(before, remote, "aes-256", "sha256", None, 0, 0, 0, 0, 9, None, None)
        name = ike_config(connection, DESIRED.naming_key).name
        child = ChildSa("of-before", 4, SaState.INSTALLED, ends)
        old = ike_sa(unique_id=9, config=name, children=(child,))
        assert replacing(connection, old, loaded=False) == (False, turns * YIELDED)
        assert replacing(connection, old, at=100.0 - turns * YIELDED) == (True, None)
        elsewhere = dataclasses.replace(ends, local="10.9.0.0/24")
        apart = dataclasses.replace(child, details=elsewhere)
        old = dataclasses.replace(old, children=(apart,))
        assert replacing(connection, old, loaded=False) == (True, None)


def test_of_two_networks_that_overlap_none_is_resized_by_the_other():
    """Each has its own place to take, of its own pair."""
    first = BOTH_V2[0]
    (pair, *_) = first.selectors
    wide = make.selector(str(pair.local.supernet()), str(pair.remote))
    both = dataclasses.replace(first, selectors=(pair, wide))
    config = ike_config(both, DESIRED.naming_key)
    name = next(name for name, selector in config.children if selector == pair)
    ends = str(pair.local), str(pair.remote)
    details = ChildDetails(*ends, "aes-128", "sha256", None, 0, 0, 0, 0, 9, None, None)
    child = ChildSa(f"{pair_of(name)}-00000000", 4, SaState.INSTALLED, details)
    old = ike_sa(unique_id=9, config=config.name, children=(child,))
    assert replacing(both, old, loaded=False) == (True, None)


def test_an_agent_that_knows_of_no_loading_waits_for_nobody():
    """It came anew, and charon has had the config for long."""
    assert replacing(BOTH_V2[1], carrier(BOTH_V2[1])) == (True, None)


def test_what_was_before_stays_until_the_peer_surely_has_the_new():
    """Who begins has it a way of a message before the peer, which sends by the old one."""

    def ends(connection, installed):
        config = ike_config(connection, DESIRED.naming_key)
        details = ChildDetails("", "", None, None, None, 0, 0, 0, 0, installed, None, None)
        children = tuple(
            ChildSa(name, 5, SaState.INSTALLED, details) for name, _ in config.children
        )
        loaded = LoadedConfig(config.name, frozenset(name for name, _ in config.children))
        pair = config.children[0][0].partition("-")[0]
        stale = ChildSa(f"{pair}-00000000", 4, SaState.INSTALLED)
        stranger = ike_sa(1, f"{config.connection.id}-{0:016x}", children=(stale,))
        alone = ike_sa(2, config.name, children=children)
        both = dataclasses.replace(alone, children=(stale, *children))
        secrets = frozenset({config.connection.id})
        return [
            plan_tunnels(
                make.desired(connection),
                charon(*sas, configs=[loaded], secrets=secrets),
                Timing(100.0),
            )
            for sas in ((stranger, alone), (both,))
        ]

    assert ends(FIRST, 0) == [((), SETTLED), ((), SETTLED)]
    stranger, child = ends(FIRST, SETTLED)
    assert stranger[0] == (TerminateChild(4), TerminateIke(1, force=False))
    assert child[0] == (TerminateChild(4),)
    v2 = [actions for actions, _ in ends(BOTH_V2[0], 0)]
    assert v2 == [(TerminateIke(1, force=False),), (TerminateChild(4),)]
