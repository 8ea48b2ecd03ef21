"""A peer that moves is heard at both of its addresses for as long as both are used."""

from __future__ import annotations

import dataclasses

import pytest

from swanherd.core.ike import ChildSa, Initiate, LoadConfig, ObservedCharon, SaState
from swanherd.core.model import DataPlane, Encapsulation, Transform
from swanherd.core.network import (
    Direction,
    EnsureKernelPolicy,
    KernelPolicy,
    ObservedNetwork,
    RemoveKernelPolicy,
    Welcome,
)
from swanherd.core.peering import peerings
from swanherd.core.planner import Observed, options_of, plan
from swanherd.core.tunnels import Timing
from swanherd.swan import codec
from swanherd.testing import builders as make
from tests.unit.core.seen import ike_sa

MOVED = make.connection(peer_address="198.51.100.102", peer_id="198.51.100.102")
ELSEWHERE = make.connection(selectors=(make.selector("10.1.0.0/24", "10.9.0.0/24"),))
CONFIG = peerings(make.desired(MOVED))[0].config.name
DIRECTIONS = Direction.IN, Direction.FORWARD


def ours(connection=MOVED, protocol=50):
    """Return the policies for the pairs of the connection, which go before charon's."""
    (peering,) = peerings(make.desired(connection))
    message = codec.render(peering.config, DataPlane.KERNEL)[peering.config.name]["children"]
    return {
        KernelPolicy(selector, direction, Welcome(protocol, child["reqid"], child["priority"] - 1))
        for name, selector in peering.config.children
        for child in [message[name]]
        for direction in DIRECTIONS
    }


def old_sa(connection=MOVED, peer="198.51.100.2", state=SaState.INSTALLED):
    """Return the IKE SA to where the peer was, with the connection's children."""
    (peering,) = peerings(make.desired(connection))
    children = tuple(
        ChildSa(name, number, state) for number, name in enumerate(sorted(peering.children))
    )
    return ike_sa(config="old", remote_host=peer, children=children)


def planned(*sas, connection=MOVED, there=(), plane=DataPlane.KERNEL, running=True):
    desired = make.desired(connection)
    charon = ObservedCharon(
        running=running, options=options_of(desired, plane) if running else None, ike_sas=sas
    )
    network = ObservedNetwork(exists=True, kernel_policies=frozenset(there))
    return plan(desired, Observed(network, charon), plane, Timing(0.0)).actions


def added(actions):
    return {a.policy for a in actions if isinstance(a, EnsureKernelPolicy)}


def removed(actions):
    return {a.policy for a in actions if isinstance(a, RemoveKernelPolicy)}


def test_a_peer_that_moves_is_heard_before_anything_begins():
    """Of each pair, in both directions of what comes in; the peer may begin as well as we."""
    two = (make.selector("10.1.0.0/24", f"10.{n}.0.0/24") for n in (2, 3))
    moved = dataclasses.replace(MOVED, selectors=tuple(two))
    actions = planned(old_sa(moved), connection=moved)
    assert ours(moved) == added(actions)
    assert len(ours(moved)) == 4
    last = max(n for n, a in enumerate(actions) if isinstance(a, EnsureKernelPolicy))
    assert last < min(n for n, a in enumerate(actions) if isinstance(a, (LoadConfig, Initiate)))


def test_it_is_done_once_and_taken_back_when_the_old_ones_have_ended():
    """Whoever made them: the agent may be another one."""
    assert not added(planned(old_sa(), there=ours()))
    assert not removed(planned(old_sa(), there=ours()))
    gone = [a.policy for a in planned(there=ours()) if isinstance(a, RemoveKernelPolicy)]
    assert sorted(ours(), key=repr) == gone
    assert ours() == removed(planned(old_sa(state=SaState.DELETING), there=ours()))
    assert ours() == removed(planned(running=False, there=ours()))


def test_without_a_charon_none_stays():
    """A namespace that only steers has none, nor has a router without a connection."""
    home = make.distributed_home()
    for desired in (make.desired(), make.desired(MOVED, home=home)):
        seen = ObservedNetwork(exists=True, kernel_policies=frozenset(ours()))
        observed = Observed(seen, ObservedCharon(running=False))
        actions = plan(desired, observed, DataPlane.KERNEL, Timing(0.0)).actions
        assert (set(), ours()) == (added(actions), removed(actions))


def test_one_that_was_changed_is_written_again():
    """Another reqid would let another pair's packets in, another priority none."""
    for change in ({"protocol": 0}, {"reqid": 1}, {"priority": 1}):
        changed = {
            dataclasses.replace(p, welcome=dataclasses.replace(p.welcome, **change))
            for p in ours()
        }
        actions = planned(old_sa(), there=changed)
        assert (ours(), set()) == (added(actions), removed(actions))


def test_charons_own_policies_are_left():
    """They have the same selectors; where these are nobody's any more each goes once."""
    theirs = {KernelPolicy(p.selector, d) for p in ours() for d in Direction}
    assert not removed(planned(old_sa(), there=theirs | ours()))
    assert ours() == removed(planned(there=theirs | ours()))
    actions = planned(there=theirs | ours(), connection=ELSEWHERE)
    gone = [a.policy for a in actions if isinstance(a, RemoveKernelPolicy)]
    assert sorted(theirs | ours(), key=repr) == sorted(gone, key=repr)


@pytest.mark.parametrize(
    "sa",
    [
        old_sa(peer=MOVED.peer_address),
        old_sa(ELSEWHERE),
        old_sa(make.connection(ipsec=make.ipsec_policy(transform=Transform.AH))),
        old_sa(state=SaState.DELETED),
        dataclasses.replace(old_sa(), config=CONFIG),
    ],
    ids=["same address", "another pair", "another protocol", "ended", "its own, behind a NAT"],
)
def test_nothing_else_is_let_in(sa):
    """By a policy of ours alone the new SA's packets have to get in as well as the old one's."""
    assert not added(planned(sa))


def test_it_is_of_tunnels_in_the_kernel():
    """Userspace has no policies, and a transport's name no address but the pair's."""
    assert not added(planned(old_sa(), plane=DataPlane.USERSPACE))
    ah = dataclasses.replace(MOVED, ipsec=make.ipsec_policy(transform=Transform.AH))
    assert ours(ah, protocol=51) == added(planned(old_sa(ah), connection=ah))
    transport = dataclasses.replace(MOVED, ipsec=make.ipsec_policy(mode=Encapsulation.TRANSPORT))
    assert not added(planned(old_sa(transport), connection=transport))
