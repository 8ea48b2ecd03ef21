"""Both sides began, and each with another child."""

from __future__ import annotations

import pytest

from bench.losses.sites import EAST, WEST, Site
from bench.losses.stage import Stage
from swanherd.core.ike import ChildSa, Initiate, SaState, TerminateIke
from tests.functional.live.conftest import until

BOTH = (WEST, EAST)
# The network behind east of the child that each side begins with.
FIRST = {WEST: "10.2.0.0/24", EAST: "10.3.0.0/24"}


def behind_east(child: ChildSa, site: Site) -> str:
    assert child.selector is not None
    return str(child.selector.remote if site is WEST else child.selector.local)


def held(stage: Stage, site: Site) -> list[list[str]]:
    """Return the networks behind east that each of the site's IKE SAs has children for."""
    return sorted(
        sorted(behind_east(c, site) for c in sa.children if c.state is SaState.INSTALLED)
        for sa in stage.observed(site)
    )


def part(stage: Stage) -> None:
    """Let both charons begin at once, as often as it takes until there are two IKE SAs."""
    begins = {
        site: Initiate(sa.config, child.name)
        for site in BOTH
        for sa in stage.observed(site)
        for child in sa.children
        if behind_east(child, site) == FIRST[site]
    }
    apart = [[network] for network in FIRST.values()]
    stage.wheel.stop()
    for _ in range(40):
        # Whatever the last try still negotiates comes up between.
        assert until(lambda: not any([ended(stage, site) for site in BOTH]), 5)
        for site, begin in begins.items():
            stage.swan.apply(site.router_id, begin)
        if until(lambda: all(held(stage, site) == apart for site in BOTH), 0.5):
            return
    pytest.fail("the two sides never began at once")


def ended(stage: Stage, site: Site) -> bool:
    """End every IKE SA of a site; tell whether it had any."""
    found = stage.observed(site)
    for sa in found:
        stage.swan.apply(site.router_id, TerminateIke(sa.unique_id, force=True))
    return bool(found)


def test_children_that_are_in_an_ike_sa_of_each_side_come_together(stage: Stage) -> None:
    """In seconds, and then there is one IKE SA on both sides, with each child once."""
    part(stage)
    stage.stop_agent()
    stage.start_agent()
    stage.look_at_all()
    whole = [sorted(FIRST.values())]
    until(lambda: all(held(stage, site) == whole for site in BOTH), 20)
    assert [held(stage, site) for site in BOTH] == [whole, whole]
    assert len({sa.initiator_spi for site in BOTH for sa in stage.observed(site)}) == 1
