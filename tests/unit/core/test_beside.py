"""An IKE SA of IKEv1 that carries nothing, beside or instead of one that does."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.ike import LoadedConfig, SaState, TerminateIke
from swanherd.core.model import Dpd, DpdAction, IkeVersion
from swanherd.core.peering import ike_config
from swanherd.core.races import RACE
from swanherd.core.tunnels import Timing, plan_tunnels
from swanherd.testing import builders as make
from tests.unit.core.seen import DESIRED, charon, fault, ike_sa

CODES = ("peer_refused", "dpd_timeout", "esp_proposal_mismatch", "psk_mismatch", "peer_silent")


def planned(*sas, action=DpdAction.RESTART, faults=(), now=0.0):
    """Return the plan for IKE SAs and faults of one connection of IKEv1."""
    connection = make.connection(
        ike=make.ike_policy(version=IkeVersion.V1), dpd=Dpd(action, 10, 25)
    )
    config = ike_config(connection, DESIRED.naming_key)
    loaded = LoadedConfig(config.name, frozenset(n for n, _ in config.children))
    seen = charon(
        *[dataclasses.replace(sa, config=config.name) for sa in sas],
        configs=[loaded],
        faults=[dataclasses.replace(each, config=config.name) for each in faults],
        secrets=frozenset({config.connection.id}),
    )
    return plan_tunnels(make.desired(connection), seen, Timing(now))[0]


FAULTS = st.none() | st.builds(
    fault, st.floats(-400, -20), st.floats(-20, 0), st.sampled_from(CODES)
)


@given(
    st.integers(0, 4000),
    st.integers(-RACE, RACE),
    st.booleans(),
    st.permutations([1, 2]),
    st.sampled_from([action for action in DpdAction if action is not DpdAction.RESTART_BY_PEER]),
    FAULTS,
)
def test_a_second_one_of_the_same_side_within_seconds_ends_nothing(
    age, apart, mine, ids, action, failure
):
    """Neither the one that carries nor the empty one: the peer may have the children there.

    charon moves them to what came up last, on the responder's side alone, and nobody can tell
    from outside. A side that begins twice at once isn't one of ours (`_initiate` waits for what
    is coming), and what it leaves over ends with its lifetime, or when it isn't answered.
    """
    full = ike_sa(ids[0], initiator=mine, age=age)
    empty = ike_sa(ids[1], initiator=mine, age=max(0, age + apart), children=())
    assert planned(full, empty, action=action, faults=[failure] if failure else []) == ()


@pytest.mark.parametrize("age", [2, 40, 3000])
def test_the_renewal_of_an_empty_one_ends_nothing(age):
    """What is renewed has been replaced by what came later, not by what was there before it."""
    renewed = ike_sa(2, state=SaState.REKEYING, children=())
    assert planned(ike_sa(1, age=age), renewed) == ()
    assert planned(ike_sa(3, age=age), renewed) == (TerminateIke(2, force=True),)


@given(st.integers(0, 4), st.floats(-400, 0), st.floats(0, 9))
def test_one_that_is_seconds_old_is_not_taken_for_hollow(age, first, last):
    """The peer may be about to begin; what is told of an earlier one says nothing of it."""
    assert not any(
        isinstance(each, TerminateIke)
        for each in planned(
            ike_sa(1, age=age, children=()), faults=[fault(first, last, "peer_refused")], now=9.0
        )
    )
