import dataclasses
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swanherd.core.model import IkeVersion, Initiator, Phase1Mode, RouterId, Secret
from swanherd.core.peering import children_of, peerings
from swanherd.testing import builders as make

V4 = make.connection("v4")
V6 = make.connection("v6", selectors=(make.selector("fd00:1::/64", "fd00:2::/64"),))


def test_connections_to_one_peer_are_children_of_one_config():
    """A responder takes the first config that fits the peer, whatever its selectors are."""
    (peering,) = peerings(make.desired(V4, V6))
    assert children_of(V4) | children_of(V6) == peering.children
    assert frozenset() == peering.unlike


@pytest.mark.parametrize(
    "changes",
    [
        {"peer_address": "198.51.100.3"},
        {"peer_id": "another"},
        {"local_id": "another"},
        {"ike": make.ike_policy(version=IkeVersion.V1)},
    ],
)
def test_what_a_responder_can_tell_apart_is_apart(changes):
    """Version, addresses and identities make a peering."""
    other = make.connection("v6", selectors=V6.selectors, **changes)
    assert len(peerings(make.desired(V4, other))) == 2


def test_what_it_cannot_tell_apart_holds_for_one_and_is_told_of_the_other():
    """Both stay children, so that nothing that runs is ended; the second is `unlike`."""
    other = make.connection("v6", selectors=V6.selectors, psk=Secret("another"))
    (peering,) = peerings(make.desired(V4, other))
    assert children_of(V4) | children_of(other) == peering.children
    assert len(peering.unlike) == 1


def test_a_config_keeps_its_name_when_a_connection_comes_or_goes():
    """So the others' IKE SA isn't touched, whichever of them it is."""
    names = {
        peerings(make.desired(*cs))[0].config.name for cs in ((V4, V6), (V4,), (V6,), (V6, V4))
    }
    assert len(names) == 1


def test_each_childs_policy_is_its_own_connections():
    """And a changed policy is another child, under the same config."""
    other = make.connection("v6", selectors=V6.selectors, ipsec=make.ipsec_policy(lifetime=600))
    (peering,) = peerings(make.desired(V4, other))
    assert {3600, 600} == {policy.lifetime for _, policy in peering.config.policies}
    assert peering.config.name == peerings(make.desired(V4, V6))[0].config.name
    assert children_of(V6) != children_of(other)


def test_only_children_that_are_ours_to_begin_are_initiable():
    """A response-only connection shares the config, not the initiative."""
    waiting = make.connection("v6", selectors=V6.selectors, initiator=Initiator.RESPONSE_ONLY)
    (peering,) = peerings(make.desired(V4, waiting))
    assert children_of(V4) == peering.initiable()


def old(name, **changes):
    """Return a connection of IKEv1 that has identities of its own."""
    policy = {"version": IkeVersion.V1} | changes.pop("ike", {})
    ids = {"local_id": f"{name}.west", "peer_id": f"{name}.east"}
    return make.connection(name, ike=make.ike_policy(**policy), **ids, **changes)


def unlike(*connections):
    """Return whose key or policy can't hold; of the others each is negotiated as it wants."""
    found = peerings(make.desired(*connections))
    for one in found:
        for member in one.members:
            config = one.config.connection
            same = (config.psk, config.ike) == (member.psk, member.ike)
            assert same != (member.id in one.unlike)
    return frozenset(i for one in found for i in one.unlike)


@pytest.mark.parametrize(
    ("changes", "apart"),
    [
        ({}, True),
        ({"psk": Secret("another")}, False),
        ({"ike": {"encryption": "aes-128"}}, False),
        ({"ike": {"lifetime": 600}}, True),
        ({"psk": Secret("another"), "peer_address": "198.51.100.3"}, True),
        ({"psk": Secret("another"), "ike": {"mode": Phase1Mode.AGGRESSIVE}}, True),
        ({"psk": Secret("another"), "ike": {"version": IkeVersion.V2}}, True),
        ({"ike": {"encryption": "aes-128", "mode": Phase1Mode.AGGRESSIVE}}, False),
    ],
)
def test_in_ikev1_a_responder_takes_key_and_algorithms_by_the_addresses(changes, apart):
    """Whatever the identities are; the lowest id holds, and the other is told of."""
    one, other = old("one"), old("other", **changes)
    expected = frozenset() if apart else {max(one.id, other.id)}
    assert expected == unlike(one, other)
    assert expected == unlike(other, one)


CONNECTIONS = st.builds(
    lambda name, peer, identity, version, psk, up: make.connection(
        name,
        peer_address=f"198.51.100.{peer}",
        peer_id=identity,
        psk=Secret(psk),
        up=up,
        ike=make.ike_policy(version=version),
        selectors=(make.selector("10.1.0.0/24", f"10.2.{peer}.0/24"),),
    ),
    name=st.sampled_from("abcdef"),
    peer=st.integers(1, 2),
    identity=st.sampled_from(["left", "right"]),
    version=st.sampled_from(IkeVersion),
    psk=st.sampled_from(["one", "two"]),
    up=st.booleans(),
)


def old_one(name, identity, psk):
    """Return a connection of IKEv1 to one address: the first one's key holds for all of them."""
    return make.connection(
        name,
        peer_address="198.51.100.1",
        peer_id=identity,
        psk=Secret(psk),
        ike=make.ike_policy(version=IkeVersion.V1),
    )


CHANGES = st.lists(st.tuples(CONNECTIONS, st.booleans()), max_size=12)
NUMBERS = itertools.count()


@given(CHANGES)
@example([(old_one("a", "left", "one"), False), (old_one("b", "right", "two"), False)])
def test_peerings_after_any_changes_are_those_that_would_be_gathered_anew(changes):
    """What is worked out from those of before, of other connections' too."""
    own = RouterId(make.make_id(f"changing {next(NUMBERS)}"))
    connections, before = {}, None
    for changed, gone in changes:
        connections.pop(changed.id, None)
        if not gone:
            connections[changed.id] = changed
        desired = make.desired(*connections.values(), id=own)
        anew = dataclasses.replace(desired, id=RouterId(make.make_id(f"anew {next(NUMBERS)}")))
        assert peerings(desired) == peerings(anew)
        before = desired  # so that it lives as long as the next one is worked out
    assert before is None or before.id == own
