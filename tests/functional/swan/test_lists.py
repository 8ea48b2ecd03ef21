"""What is listed in part is what a whole list would tell."""

from __future__ import annotations

import pytest

from lab.processes import wait_for
from swanherd.core.ike import SaState, TerminateChild, TerminateIke, UnloadConfig
from swanherd.swan.lists import WHOLE
from tests.functional.swan.stage import Stage, children_up, pair


def whole(stage: Stage) -> object:
    """Return what an agent sees that knows nothing yet."""
    fresh = stage.new_agent()
    try:
        seen = fresh.observe(stage.west)
    finally:
        fresh.close()
    return seen.configs, seen.secrets, {(sa.config, sa.unique_id) for sa in seen.ike_sas}


def seen(stage: Stage) -> object:
    observed = stage.swan.observe(stage.west)
    return (
        observed.configs,
        observed.secrets,
        {(sa.config, sa.unique_id) for sa in observed.ike_sas},
    )


def test_after_each_action_a_look_in_part_sees_what_a_whole_one_does(started: Stage) -> None:
    """Loading, coming up, ending and unloading; well before everything is listed anew."""
    west, east = pair()
    started.load(started.east, east)
    assert seen(started) == whole(started)
    config = started.load(started.west, west)
    assert seen(started) == whole(started)
    started.initiate(started.west, config)
    up = started.wait(started.west, children_up(config))
    assert seen(started) == whole(started)
    (sa,) = up.ike_sas
    started.swan.apply(started.west, TerminateChild(sa.children[0].unique_id))
    started.swan.apply(started.west, TerminateIke(sa.unique_id, force=True))
    started.wait(started.west, lambda o: not o.ike_sas)
    started.swan.apply(started.west, UnloadConfig(config.name))
    assert seen(started) == whole(started)


@pytest.mark.parametrize("command", ["rekey", "terminate"])
def test_what_others_do_to_an_sa_is_seen_by_its_events(started: Stage, command: str) -> None:
    """A peer's rekeying of the child, and its end of the IKE SA."""
    west, east = pair()
    theirs = started.load(started.east, east)
    config = started.load(started.west, west)
    started.initiate(started.west, config)
    before = started.wait(started.west, children_up(config)).ike_sas[0].children[0].unique_id
    commands = started.swan._router(started.east).commands
    name = "child" if command == "rekey" else "ike"
    value = theirs.children[0][0] if command == "rekey" else theirs.name
    commands.request(command, {name: value} | ({"timeout": -1} if name == "ike" else {}))

    def is_gone() -> bool:
        sas = started.swan.observe(started.west).ike_sas
        children = (child for sa in sas for child in sa.children)
        return before not in {c.unique_id for c in children if c.state is SaState.INSTALLED}

    # A child that another replaces is no reason to look; what looks sees it.
    wait_for(is_gone, 10, "the new child is seen", every=0.05)


def test_an_sa_that_the_kernel_has_is_listed_before_its_event_is_here(started: Stage) -> None:
    """Else it would be taken for one that a dead charon has left, and removed."""
    west, east = pair()
    started.load(started.east, east)
    config = started.load(started.west, west)
    started.swan.observe(started.west)
    # Whatever charon tells comes too late.
    started.swan._router(started.west).lists.changed = lambda *_: None
    started.initiate(started.west, config)
    wait_for(lambda: spis(started), 10, "the child is up", every=0.05)
    assert not started.swan.observe(started.west).spis
    assert started.swan.observe(started.west, spis(started)).spis == spis(started)


def spis(stage: Stage) -> frozenset[int]:
    """Return what an agent sees that knows nothing yet."""
    fresh = stage.new_agent()
    try:
        return fresh.observe(stage.west).spis
    finally:
        fresh.close()


def test_what_others_load_is_seen_when_all_is_listed_again(started: Stage) -> None:
    """No event tells of it; the next whole list does."""
    west, _ = pair()
    config = started.load(started.west, west)
    started.swan.observe(started.west)
    router = started.swan._router(started.west)
    router.commands.request("unload-conn", {"name": config.name})
    router.lists._clock = lambda: started.swan._clock() + WHOLE
    assert started.swan.observe(started.west, recent=True).configs
    assert started.swan.observe(started.west).configs == frozenset()
