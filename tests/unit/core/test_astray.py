"""A peer that asks in an old IKE SA for a child that was loaded later, and is refused."""

import dataclasses

import pytest

from swanherd.core.astray import SURE
from swanherd.core.ike import ChildSa, LoadedConfig, Refusal, SaState, TerminateChild, TerminateIke
from swanherd.core.model import IkeVersion, Initiator
from swanherd.core.peering import peerings
from swanherd.core.tunnels import Timing, plan_tunnels
from swanherd.testing import builders as make
from tests.unit.core.seen import charon, ike_sa

OLD, NEW = make.selector("10.1.0.0/24", "10.2.0.0/24"), make.selector("10.1.0.0/24", "10.3.0.0/24")
LOADED_AT = 1000.0
LATER = LOADED_AT + SURE


def planned(asked=NEW, at=LATER, loaded=LOADED_AT, age=100, since=0.0, **changes):
    """What is planned 2 s after charon had that; the IKE SA has the old one of two children."""
    changes = {"initiator": Initiator.RESPONSE_ONLY, "selectors": (OLD, NEW)} | changes
    desired = make.desired(make.connection(**changes))
    (peering,) = peerings(desired)
    name = peering.config.name
    old = next(child for child, pair in peering.config.children if pair == OLD)
    sa = ike_sa(7, name, age=age, children=(ChildSa(old, 70, SaState.INSTALLED),))
    observed = charon(
        sa,
        configs=(LoadedConfig(name, peering.children),),
        secrets=frozenset({peering.config.connection.id}),
    )
    observed = dataclasses.replace(
        observed,
        refusals={name: Refusal(frozenset({asked}), at)},
        loaded={name: loaded} if loaded is not None else {},
        since=since,
    )
    return plan_tunnels(desired, observed, Timing(LATER + 2))[0]


def test_it_ends_so_that_the_peer_begins_one_that_has_the_child():
    assert planned() == (TerminateIke(7, force=False),)


def test_in_ikev1_its_children_end_first():
    """A responder of IKEv1 would keep them until their lifetime ends."""
    ends = planned(ike=make.ike_policy(version=IkeVersion.V1))
    assert ends == (TerminateChild(70), TerminateIke(7, force=False))


def test_a_part_of_the_pair_is_refused_no_otherwise():
    """A config that has the pair agrees to a part of it (RFC 7296 §2.9)."""
    wider = make.selector("10.1.0.0/16", "10.3.0.0/16")
    assert planned(asked=wider) == (TerminateIke(7, force=False),)


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("it has that one", {"asked": OLD}),
        ("nobody wants that", {"asked": make.selector("10.1.0.0/24", "10.9.0.0/24")}),
        ("another family", {"asked": make.selector("fd01::/64", "fd02::/64")}),
        ("not loaded yet, perhaps", {"at": LATER - 0.1}),
        ("made of what is loaded", {"age": 1}),
        ("made since this agent began", {"loaded": None, "since": LOADED_AT, "age": 1}),
    ],
)
def test_it_stays_where_another_would_refuse_it_too(case, changes):
    assert planned(**changes) == (), case


def test_after_a_restart_of_the_agent_what_was_there_before_is_old():
    """When it was loaded nobody knows any more."""
    assert planned(loaded=None, since=LOADED_AT) == (TerminateIke(7, force=False),)


def test_what_is_ours_to_begin_is_begun():
    """For that charon takes the config that is loaded."""
    kinds = {type(a).__name__ for a in planned(initiator=Initiator.BI_DIRECTIONAL)}
    assert kinds == {"Initiate"}
