"""A peer that moves is heard at both of its addresses for as long as both are used."""

from __future__ import annotations

import dataclasses
import ipaddress

import pytest

from swanherd.core import handover, precedence
from swanherd.core.ike import (
    ChildSa,
    Initiate,
    LoadConfig,
    LoadedConfig,
    ObservedCharon,
    SaState,
    TerminateChild,
)
from swanherd.core.model import ChildDetails, DataPlane, Encapsulation, IkeVersion, Transform
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
        KernelPolicy(
            selector, direction, Welcome(((protocol, child["reqid"]),), child["priority"] - 1)
        )
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


def planned(
    *sas,
    connection=MOVED,
    there=(),
    plane=DataPlane.KERNEL,
    running=True,
    ranks=None,
    loaded=None,
    now=0.0,
):
    """Plan; `ranks` and when it was `loaded` are those of a config that charon has already."""
    desired = make.desired(connection)
    charon = ObservedCharon(
        running=running, options=options_of(desired, plane) if running else None, ike_sas=sas
    )
    if ranks is not None or loaded is not None:
        (peering,) = peerings(desired)
        name = peering.config.name
        charon = dataclasses.replace(
            charon,
            configs=frozenset({LoadedConfig(name, peering.children)}),
            secrets=frozenset({peering.config.connection.id}),
            ranks=ranks or {},
            loaded={name: 0.0 if loaded is None else loaded},
        )
    network = ObservedNetwork(exists=True, kernel_policies=frozenset(there))
    return plan(desired, Observed(network, charon), plane, Timing(now)).actions


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
    assert not removed(planned(old_sa(state=SaState.DELETING), there=ours()))
    assert ours() == removed(planned(old_sa(state=SaState.DELETED), there=ours()))
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
    for change in ({"tunnels": ()}, {"tunnels": ((50, 1),)}, {"priority": 1}):
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


WIDE = make.connection(selectors=(make.selector("10.1.0.0/24", "10.2.0.0/24"),))
NARROW = make.connection(selectors=(make.selector("10.1.0.0/25", "10.2.0.0/24"),))
V1 = make.ike_policy(version=IkeVersion.V1)
AH = make.connection(ipsec=make.ipsec_policy(transform=Transform.AH))


def child_of(connection, number, state=SaState.INSTALLED, age=3):
    """Return the child SA of the connection's only pair."""
    (peering,) = peerings(make.desired(connection))
    ((name, pair),) = peering.config.children
    esp = connection.ipsec.transform is Transform.ESP
    cipher = "aes-256" if esp else None
    ends = str(pair.local), str(pair.remote)
    details = ChildDetails(*ends, cipher, "sha256", None, 0, 0, 0, 0, age, None, None)
    return ChildSa(name, number, state, details)


def sa_of(connection, *children):
    (peering,) = peerings(make.desired(connection))
    return ike_sa(config=peering.config.name, remote_host="198.51.100.2", children=children)


def number_of(connection):
    (peering,) = peerings(make.desired(connection))
    message = codec.render(peering.config, DataPlane.KERNEL)[peering.config.name]["children"]
    return next(iter(message.values()))["reqid"]


def both(one, other, selector, protocols=(50, 50)):
    tunnels = sorted(zip(protocols, map(number_of, (one, other)), strict=True))
    welcome = Welcome(tuple(tunnels), handover.ahead(selector))
    return {KernelPolicy(selector, direction, welcome) for direction in DIRECTIONS}


@pytest.mark.parametrize(("before", "after"), [(WIDE, NARROW), (NARROW, WIDE)])
def test_a_network_of_another_size_is_heard_by_both(before, after):
    """What both protect comes in by either, before anything begins and until the old has ended."""
    old = child_of(before, 1)
    actions = planned(sa_of(after, old), connection=after)
    assert both(before, after, NARROW.selectors[0]) == inward_of(actions)
    last = max(n for n, a in enumerate(actions) if isinstance(a, EnsureKernelPolicy))
    assert last < min(n for n, a in enumerate(actions) if isinstance(a, (LoadConfig, Initiate)))
    there = inward_of(actions)
    ending = dataclasses.replace(old, state=SaState.DELETING)
    new = child_of(after, 2)
    assert not there & removed(planned(sa_of(after, ending, new), connection=after, there=there))
    assert there == removed(planned(sa_of(after, new), connection=after, there=there))


def test_another_protocol_is_heard_beside_the_old_one():
    assert both(WIDE, AH, WIDE.selectors[0], (50, 51)) == added(
        planned(sa_of(AH, child_of(WIDE, 1)), connection=AH)
    )
    assert both(AH, WIDE, WIDE.selectors[0], (51, 50)) == added(
        planned(sa_of(WIDE, child_of(AH, 1)), connection=WIDE)
    )


def test_what_differs_in_neither_needs_nothing():
    """The old child and the new one are of one tunnel for the kernel, another cipher or not."""
    other = make.connection(ipsec=make.ipsec_policy(encryption="aes-128"))
    assert not added(planned(sa_of(WIDE, child_of(other, 1)), connection=WIDE))
    apart = make.connection(selectors=(make.selector("10.1.0.128/25", "10.2.0.0/24"),))
    assert not added(planned(sa_of(NARROW, child_of(apart, 1)), connection=NARROW))


@pytest.mark.parametrize("plane", DataPlane)
def test_what_goes_out_goes_by_the_new_one_before_a_narrower_old_one_is_ended(plane):
    """The peer ends its side first: the old policy would send to nobody until its answer."""
    old, new = child_of(NARROW, 1), child_of(WIDE, 2)
    sa = sa_of(WIDE, old, new)
    actions = planned(sa, connection=WIDE, plane=plane)
    outward = outward_of(actions)
    if plane is DataPlane.USERSPACE:
        assert not outward
        return
    ends = tuple(ipaddress.ip_address(host) for host in (sa.local_host, sa.remote_host))
    pair = NARROW.selectors[0]
    way = Welcome(((50, number_of(WIDE)),), handover.ahead(pair), ends)
    assert {KernelPolicy(pair, Direction.OUT, way)} == outward
    kinds = [type(a) for a in actions]
    assert kinds.index(EnsureKernelPolicy) < kinds.index(TerminateChild)
    ending = sa_of(WIDE, dataclasses.replace(old, state=SaState.DELETING), new)
    assert not outward & removed(planned(ending, connection=WIDE, there=outward))
    assert outward == removed(planned(sa_of(WIDE, new), connection=WIDE, there=outward))


def test_in_ikev1_it_does_as_soon_as_the_new_one_is_there():
    """The peer has it, too, by then, or as soon as it has our last message; the old one stays."""
    wide, narrow = (dataclasses.replace(c, ike=V1) for c in (WIDE, NARROW))
    sa = sa_of(wide, child_of(narrow, 1), child_of(wide, 2, age=0))
    actions = planned(sa, connection=wide)
    assert not any(isinstance(a, TerminateChild) for a in actions)
    assert NARROW.selectors == tuple(policy.selector for policy in outward_of(actions))


def test_what_ikev1_has_renewed_ends_with_what_took_its_place():
    """charon has it, and its policies, until it expires; a narrower one's would go first."""
    wide, narrow = (dataclasses.replace(c, ike=V1) for c in (WIDE, NARROW))
    spent, old = child_of(narrow, 1, SaState.REKEYED), child_of(narrow, 2)
    ends = {TerminateChild(1), TerminateChild(2)}
    for age, ended in ((0, set()), (precedence.SETTLED, ends)):
        actions = planned(sa_of(wide, spent, old, child_of(wide, 3, age=age)), connection=wide)
        assert ended == {a for a in actions if isinstance(a, TerminateChild)}
        assert NARROW.selectors == tuple(policy.selector for policy in outward_of(actions))
    actions = planned(sa_of(wide, spent, child_of(wide, 3)), connection=wide)
    assert TerminateChild(1) in actions
    assert outward_of(actions)


def test_a_renewed_one_is_left_to_charon_where_it_is_wanted_or_ikev2s():
    """In IKEv2 charon ends it itself, seconds later."""
    wide = dataclasses.replace(WIDE, ike=V1)
    sas = (
        (wide, (child_of(wide, 1, SaState.REKEYED), child_of(wide, 2))),
        (WIDE, (child_of(NARROW, 1, SaState.REKEYED), child_of(WIDE, 2))),
    )
    for connection, children in sas:
        actions = planned(sa_of(connection, *children), connection=connection)
        assert not any(isinstance(a, TerminateChild) for a in actions)


@pytest.mark.parametrize("state", [SaState.INSTALLED, SaState.DELETING])
def test_another_connections_network_is_not_heard_for_ours(state):
    """Nor is anything sent to its peer, though they overlap."""
    other = dataclasses.replace(MOVED, selectors=NARROW.selectors)
    actions = planned(
        sa_of(other, child_of(other, 1, state)), sa_of(WIDE, child_of(WIDE, 2)), connection=WIDE
    )
    assert not added(actions)


@pytest.mark.parametrize("version", IkeVersion)
def test_nothing_goes_another_way_before_the_new_one_is_there(version):
    wide = dataclasses.replace(WIDE, ike=make.ike_policy(version=version))
    for new in ((), (child_of(wide, 2, SaState.CREATED),)):
        assert not outward_of(planned(sa_of(wide, child_of(NARROW, 1), *new), connection=wide))


def held(connection, sa):
    """Return the policy by which the narrower network goes out by the wider one's child SA."""
    ends = tuple(ipaddress.ip_address(host) for host in (sa.local_host, sa.remote_host))
    (pair,) = connection.selectors
    way = Welcome(((50, number_of(WIDE)),), handover.ahead(pair), ends)
    return {KernelPolicy(pair, Direction.OUT, way)}


def test_who_answers_sends_by_a_wider_old_one_until_it_ends_it():
    """Before charon has the narrower one, which it would send by at once, whatever its rank."""
    old, new = child_of(WIDE, 40), child_of(NARROW, 41, age=0)
    sa = sa_of(NARROW, old)
    actions = planned(sa, connection=NARROW)
    assert held(NARROW, sa) == outward_of(actions)
    kinds = [type(a) for a in actions]
    assert kinds.index(EnsureKernelPolicy) < kinds.index(LoadConfig)
    there, rank = added(actions), ranks_of(actions)
    up = sa_of(NARROW, old, new)
    actions = planned(up, connection=NARROW, there=there, ranks=rank)
    assert not added(actions) | removed(actions)
    assert not any(isinstance(a, TerminateChild) for a in actions)
    settled = sa_of(NARROW, old, child_of(NARROW, 41, age=precedence.SETTLED))
    actions = planned(settled, connection=NARROW, there=there, ranks=rank)
    assert [TerminateChild(40)] == [a for a in actions if isinstance(a, TerminateChild)]
    ((way,),) = [p.welcome.tunnels for p in outward_of(actions)]
    assert (50, number_of(NARROW)) == way


def test_nothing_is_held_at_one_that_ends():
    """What it is to carry would go by an SA that the peer has ended."""
    sa = sa_of(NARROW, child_of(WIDE, 40), child_of(WIDE, 39, SaState.DELETING))
    one = dataclasses.replace(sa, children=sa.children[1:])
    assert outward_of(planned(sa, connection=NARROW, ranks={sa.config: 41}))
    assert not outward_of(planned(one, connection=NARROW, ranks={one.config: 41}))


def test_who_begins_sends_by_the_narrower_one_at_once_and_leaves_the_wider_one_to_the_other():
    """The other has it by then, and sends by the wider one for as long as it waits."""
    old = child_of(WIDE, 40)
    late = precedence.YIELDED * 2
    sa = sa_of(NARROW, old)
    actions = planned(sa, connection=NARROW, now=late, ranks={sa.config: 41}, loaded=0.0)
    assert any(isinstance(a, Initiate) for a in actions)
    assert not outward_of(actions)
    for age, ends in ((precedence.SETTLED, False), (4 * precedence.SETTLED, True)):
        up = sa_of(NARROW, old, child_of(NARROW, 41, age=age))
        actions = planned(up, connection=NARROW, loaded=0.0)
        assert ends == (TerminateChild(40) in actions)


def test_in_userspace_a_wider_one_ends_as_soon_as_the_narrower_one_is_there():
    """No policy of ours is there to send by the wider one meanwhile."""
    up = sa_of(NARROW, child_of(WIDE, 40), child_of(NARROW, 41, age=0))
    actions = planned(up, connection=NARROW, plane=DataPlane.USERSPACE, loaded=0.0)
    assert TerminateChild(40) in actions


def inward_of(actions):
    return {policy for policy in added(actions) if policy.direction is not Direction.OUT}


def ranks_of(actions):
    return {a.config.name: a.rank for a in actions if isinstance(a, LoadConfig)}


def outward_of(actions):
    return {policy for policy in added(actions) if policy.direction is Direction.OUT}


@pytest.mark.parametrize("name", ["by-hand", "x", "", "-1234567"])
def test_a_child_that_others_have_loaded_into_our_config_is_ended_like_any_other(name):
    """No policy of ours is of it, whose name tells no reqid."""
    strange = ike_sa(config=CONFIG, children=(ChildSa(name, 7, SaState.INSTALLED),))
    actions = planned(strange, loaded=0.0)
    assert TerminateChild(7) in actions
    assert added(actions) == set()
