"""Which child SAs, policies and children protect the same packets, of however many."""

import dataclasses
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.ike import ChildSa, ObservedCharon, SaState
from swanherd.core.leftovers import leftovers
from swanherd.core.model import ChildDetails, DataPlane, TrafficSelector
from swanherd.core.network import Direction, KernelPolicy, ObservedNetwork
from swanherd.core.overlaps import Overlaps
from swanherd.core.peering import peerings
from swanherd.core.planner import Observed, options_of, plan
from swanherd.core.tunnels import Timing
from swanherd.testing import builders as make
from tests.unit.core.seen import ike_sa
from tests.unit.steps import calls_of


def networks(version):
    """Networks that often overlap: few bits differ, in few lengths."""
    base, bits = ("10.0.0.0", 32) if version == 4 else ("fd00::", 128)
    first = int(ipaddress.ip_address(base))
    return st.builds(
        lambda offset, length: ipaddress.ip_network(
            (first + (offset << bits - 12), bits - length), strict=False
        ),
        st.integers(0, 15),
        st.sampled_from([0, 8, 10, 12, 13, bits - 8]).map(lambda fixed: bits - fixed),
    )


SELECTORS = st.sampled_from([4, 6]).flatmap(
    lambda version: st.builds(TrafficSelector, networks(version), networks(version))
)


@given(st.lists(SELECTORS, max_size=12), SELECTORS)
def test_those_are_found_that_have_packets_in_common(selectors, asked):
    children = [(str(number), selector) for number, selector in enumerate(selectors)]
    found = sorted(Overlaps(children).of(asked), key=lambda child: int(child[0]))
    assert [c for c in children if asked.common(c[1]) is not None] == found


def connections(count, *, peers, length, encryption):
    for number in range(count):
        remote = ipaddress.ip_network((int(ipaddress.ip_address("10.64.0.0")) + number * 256, 24))
        remote = next(remote.subnets(new_prefix=length)) if length > 24 else remote
        peer = str(ipaddress.ip_address("198.18.0.1") + number % peers)
        yield make.connection(
            f"c{number}",
            peer_address=peer,
            peer_id=peer,
            selectors=(make.selector("10.1.0.0/24", str(remote)),),
            ipsec=make.ipsec_policy(encryption=encryption),
        )


def children_of(peering, first):
    for number, (name, pair) in enumerate(peering.config.children, first):
        ends = str(pair.local), str(pair.remote)
        details = ChildDetails(*ends, "aes-256", "sha256", None, 0, 0, 0, 0, 9, None, None)
        spis = frozenset({2 * number, 2 * number + 1})
        yield ChildSa(name, number, SaState.INSTALLED, details, spis)


def steps_of(count, *, peers, up, **change):
    """Return the calls of a look after all have changed; the new ones are `up`, or not yet."""
    old = make.desired(*connections(count, peers=peers, length=24, encryption="aes-256"))
    new = make.desired(*connections(count, peers=peers, **change))
    sas, number = [], 1
    for before, after in zip(peerings(old), peerings(new), strict=True):
        children = [*children_of(before, number)]
        children += children_of(after, number + 1_000_000) if up else ()
        number += len(children)
        config, peer = after.config.name, after.config.connection.peer_address
        more = {"unique_id": number, "remote_host": peer, "children": tuple(children)}
        sas.append(ike_sa(config=config, **more))
    options = options_of(new, DataPlane.KERNEL)
    charon = ObservedCharon(running=True, options=options, ike_sas=tuple(sas))
    observed = Observed(ObservedNetwork(exists=True), charon)
    look = dataclasses.replace(observed, charon=dataclasses.replace(charon))
    plan(new, observed, DataPlane.KERNEL, Timing(0.0))
    return calls_of(lambda: plan(new, look, DataPlane.KERNEL, Timing(0.0)))


@pytest.mark.parametrize("peers", [1, 1000])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize(
    "change",
    [{"length": 24, "encryption": "aes-128"}, {"length": 25, "encryption": "aes-256"}],
    ids=["policy", "networks"],
)
def test_a_change_of_all_takes_steps_as_many_as_there_are(change, up, peers):
    """Four times as many connections take four times as long; compared with each other sixteen."""
    few, many = (steps_of(count, peers=peers, up=up, **change) for count in (50, 200))
    assert many < 5 * few


def steps_at_rest(count, *, peers):
    """Return the calls by which a look finds that charon's policies are all wanted."""
    desired = make.desired(*connections(count, peers=peers, length=24, encryption="aes-256"))
    sas = [
        ike_sa(config=peering.config.name, children=tuple(children_of(peering, number * count)))
        for number, peering in enumerate(peerings(desired))
    ]
    pairs = [pair for peering in peerings(desired) for _, pair in peering.config.children]
    policies = frozenset(KernelPolicy(pair, way) for pair in pairs for way in Direction)
    network = ObservedNetwork(exists=True, kernel_policies=policies)
    charon = ObservedCharon(running=True, ike_sas=tuple(sas))
    assert not list(leftovers(desired, network, charon))
    return calls_of(lambda: list(leftovers(desired, network, charon)))


@pytest.mark.parametrize("peers", [1, 1000])
def test_a_look_for_what_is_left_takes_steps_as_many_as_there_are_policies(peers):
    few, many = (steps_at_rest(count, peers=peers) for count in (50, 200))
    assert many < 5 * few
