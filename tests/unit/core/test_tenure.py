"""Two nodes that were cut off from each other served a router at once; who keeps it renews."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.ike import SaState, TerminateIke
from swanherd.core.model import Role, RouterId
from swanherd.core.tenure import Later, Tenure, doubted, gives_way, hear, tell
from swanherd.core.tunnels import Timing, plan_tunnels
from swanherd.testing import builders as make
from tests.unit.core.seen import DESIRED, charon, ike_sa

KEY = RouterId("qrouter-x")
seconds = st.floats(0, 1e6)
NOW = 1000.0
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


def within(values):
    names = st.sampled_from(("key", "began", "ended"))
    return st.lists(values) | st.dictionaries(names, values)


def told(tenure, *, ended_at, here_later=0.0, clock=0.0):
    """The tenure as another node hears of it, whose clock shows something else."""
    notice = tell(KEY, dataclasses.replace(tenure, ended=ended_at), ended_at + 0.2)
    key, heard = hear(notice + bytes(18), ended_at + 0.2 + clock + here_later)
    assert key == KEY
    return heard


@given(seconds, seconds, st.floats(-1e6, 1e6))
def test_a_notice_tells_the_same_by_the_clock_of_who_hears_it(began, ended, clock):
    """Clocks of nodes have nothing in common but their pace."""
    began, ended = sorted((began, ended))
    heard = told(Tenure(began), ended_at=ended, clock=clock)
    assert heard.began == pytest.approx(began + clock, abs=1e-3)
    assert heard.ended == pytest.approx(ended + clock, abs=1e-3)


@pytest.mark.parametrize(
    "notice", [b"", b"{}", b"[1]", b'{"key": 1, "began": 1}', b"\xff", b"[" * 1400]
)
def test_what_is_no_notice_is_none(notice):
    assert hear(notice, NOW) is None


@pytest.mark.parametrize("ago", ["-1", "-1e9", "-Infinity", "Infinity", "NaN", "1e999", "9" * 400])
@pytest.mark.parametrize("what", ["began", "ended"])
def test_what_was_not_before_now_is_no_notice(what, ago):
    """What ends in a year would be doubted for a year: each look would end every IKE SA."""
    other = {"began": "ended", "ended": "began"}[what]
    notice = f'{{"key": "{KEY}", "{what}": {ago}, "{other}": 1}}'
    assert hear(notice.encode(), NOW) is None


@given(st.binary(max_size=40) | st.recursive(scalars, within).map(json.dumps).map(str.encode))
def test_whatever_is_heard_it_is_a_notice_or_nothing(notice):
    """A frame of whoever is on that network raises nothing."""
    hear(notice, NOW)
    hear(b'{"key": 1, "began": ' + notice + b', "ended": 1}', NOW)


def test_who_began_first_and_keeps_the_address_doubts_what_is_older_than_the_others_end():
    """The peers answered the one that began last."""
    assert doubted(Tenure(100.0), told(Tenure(500.0), ended_at=900.0)) == pytest.approx(900.0)


@pytest.mark.parametrize(
    "own",
    [Tenure(800.0), Tenure(900.7), Tenure(100.0, ended=700.0)],
    ids=["began later", "took over", "serves no more"],
)
def test_whoever_else_hears_it_doubts_nothing(own):
    """A take-over is told of in the same way, and costs no tunnel."""
    assert doubted(own, told(Tenure(500.0), ended_at=900.0)) is None


@pytest.mark.parametrize(
    ("own", "other"), [(None, 500.0), (100.0, None), (None, None)], ids=["own", "other", "both"]
)
def test_if_a_beginning_is_not_known_the_tunnels_are_renewed(own, other):
    """An agent that was restarted meanwhile doesn't know since when the address is there."""
    assert doubted(Tenure(own), told(Tenure(other), ended_at=900.0)) == pytest.approx(900.0)


def test_a_take_over_from_one_that_does_not_know_when_it_began_costs_nothing():
    """It ended before we began."""
    assert doubted(Tenure(900.7), told(Tenure(None), ended_at=900.0)) is None


def planned(before, age, state=SaState.ESTABLISHED):
    home = make.home(redundant=True, doubted=before)
    desired = dataclasses.replace(DESIRED, home=home, role=Role.ACTIVE)
    sa = dataclasses.replace(ike_sa(), age=age, state=state)
    actions, _ = plan_tunnels(desired, charon(sa), Timing(NOW))
    return actions, TerminateIke(sa.unique_id, force=True)


def test_what_is_doubted_ends_at_once_and_what_is_younger_stays():
    """Without waiting for the peer, which knows nothing of it."""
    actions, end = planned(before=990.0, age=60)
    assert actions == (end,)
    assert planned(before=990.0, age=10)[0] == ()
    assert planned(before=990.0, age=0)[0] == ()
    assert planned(before=None, age=60)[0] == ()


LEASE = 60.0


@pytest.mark.parametrize(
    ("own", "later", "others_end", "silent"),
    [
        (100.0, Later(500.0, NOW), None, True),
        (100.0, None, None, False),
        (500.0, Later(100.0, NOW), None, False),
        (500.0, Later(501.0, NOW), None, False),
        (100.0, Later(500.0, NOW - LEASE), None, False),
        (100.0, Later(500.0, NOW), 900.0, False),
        (100.0, Later(500.0, NOW), 400.0, True),
    ],
    ids=[
        "the other began later",
        "nobody said so",
        "it was before us, and the word is of then",
        "both at once",
        "the server isn't heard any more",
        "the other has said that it gave it up",
        "it gave up an earlier one",
    ],
)
def test_who_began_first_leaves_the_tunnels_to_who_began_last(own, later, others_end, silent):
    """While both have the address; and takes them again as soon as nothing says so any more."""
    assert gives_way(own, later, others_end, NOW, LEASE) is silent


@given(seconds, seconds)
def test_of_two_that_have_the_address_never_both_give_way(one, other):
    """Else nobody would serve."""
    both = [
        gives_way(mine, Later(theirs, NOW), None, NOW, LEASE)
        for mine, theirs in ((one, other), (other, one))
    ]
    assert both != [True, True]
