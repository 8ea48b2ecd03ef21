import dataclasses

import pytest

from swanherd.core.health import CHECKS, MISSED, STUCK, Southbound, Vitals, health_of
from swanherd.core.model import RouterId
from swanherd.core.turns import BOUNDS, Turns

NOW = 1000.0
WELL = Vitals(
    now=NOW,
    turns=Turns(ended=NOW - 5),
    waiting=0,
    answered=NOW - 1,
    compare_interval=20.0,
    silent={},
    southbound=Southbound(current=True, fenced=False),
)
ROUTER = RouterId("11111111-2222-4333-8444-555555555555")


def failed(**changes):
    health = health_of(dataclasses.replace(WELL, **changes))
    return health, {check.name: check.reason.code for check in health.checks if not check.ok}


def test_an_agent_that_works_is_alive_and_ready():
    """With each check named, and without the southbound one where there is no OVN."""
    health, wrong = failed()
    assert (health.alive, health.ready, wrong) == (True, True, {})
    assert tuple(check.name for check in health.checks) == CHECKS
    assert "southbound" not in {c.name for c in failed(southbound=None)[0].checks}


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"turns": Turns(ended=NOW, running={ROUTER: NOW - STUCK - 1})}, {"wheel": "wheel_stuck"}),
        ({"turns": Turns(ended=NOW - STUCK - 1), "waiting": 1}, {"wheel": "wheel_idle"}),
    ],
)
def test_only_a_wheel_that_stands_still_asks_for_a_restart(changes, wrong):
    """A turn that doesn't end, or routers that wait and nobody turns."""
    health, found = failed(**changes)
    assert (health.alive, found) == (False, wrong)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"answered": None}, {"bus": "server_unreachable"}),
        ({"answered": NOW - 20 * MISSED - 1}, {"bus": "server_unreachable"}),
        ({"southbound": Southbound(False, False)}, {"southbound": "southbound_unreachable"}),
        ({"southbound": Southbound(False, True)}, {"southbound": "fenced"}),
        ({"silent": {ROUTER: "charon_silent"}}, {"charon": "charon_silent"}),
    ],
)
def test_what_is_away_makes_it_not_ready_but_leaves_it_alive(changes, wrong):
    """A restart brings back no bus and no database, and would cost what the agent knows."""
    health, found = failed(**changes)
    assert (health.alive, health.ready, found) == (True, False, wrong)


def test_idle_is_not_stuck():
    """Without a router nothing turns for days."""
    assert failed(turns=Turns(ended=0.0))[0].ready
    long = Turns(ended=0.0, running={ROUTER: NOW - 1})
    assert failed(turns=long, waiting=1)[0].ready


def test_turns_are_sorted_by_how_long_they_took():
    """Each in one bucket, and those that haven't ended in none."""
    turns = Turns(ended=0.0)
    for number, took in enumerate((0.0, BOUNDS[0], BOUNDS[0] + 0.001, 1000.0)):
        router_id = RouterId(str(number))
        turns = turns.began(router_id, 0.0).done(router_id, took, failed=took > 100)
    assert turns.buckets[:2] == (2, 1)
    assert (turns.buckets[-1], turns.count, turns.failed, turns.running) == (1, 4, 1, {})
    assert turns.began(ROUTER, 9.0).running == {ROUTER: 9.0}
