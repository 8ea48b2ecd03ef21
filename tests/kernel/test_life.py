"""What dies and comes again, under traffic, with SAs in the kernel."""

from __future__ import annotations

import dataclasses
import os
import signal

import pytest

from swanherd.core.model import Dpd, DpdAction, IkeVersion, RouterId
from tests.kernel.stage import (
    EAST,
    INNER_NETWORKS,
    WEST,
    Stage,
    both_families,
    flows,
)
from tests.kernel.wires import Traffic, cut

versions = pytest.mark.parametrize("version", IkeVersion)


def bring_up(stage: Stage, version: IkeVersion, **changes: object) -> None:
    stage.want(*both_families(4, version, **changes))
    stage.rest()


def in_kernel(stage: Stage, router: RouterId) -> set[int]:
    return {sa.spi for sa in stage.agent.node.observe(router).kernel_sas}


def assert_kernel_has_what_charon_knows(stage: Stage, router: RouterId) -> None:
    sas = stage.agent.node.observe(router).kernel_sas
    assert stage.spis(router) >= {sa.spi for sa in sas}
    assert sas


@versions
def test_an_agent_restart_loses_nothing(stage: Stage, version: IkeVersion) -> None:
    """The next agent finds all as it was: no SA is made anew, and no packet is lost."""
    bring_up(stage, version)
    before = stage.spis(WEST)
    with Traffic(flows(4, 6), INNER_NETWORKS) as traffic:
        stage.restart_agent()
        stage.rest()
        seen = traffic.read()
    assert before == stage.spis(WEST)
    assert seen.lost == [0, 0, 0, 0]
    seen.assert_closed()


@versions
def test_a_killed_charon_leaves_its_sas_to_the_next(stage: Stage, version: IkeVersion) -> None:
    """SAs carry traffic on after kill -9; when new ones do, what nobody knows is removed.

    With several pairs, too: the peer isn't told to end the old ones of all (docs/adr/0020).
    """
    bring_up(stage, version)
    old = stage.spis(WEST)
    with Traffic(flows(4, 6), INNER_NETWORKS) as traffic:
        os.kill(stage.charon_pid(WEST), signal.SIGKILL)
        stage.agent.wait(lambda: not old & in_kernel(stage, WEST))
        stage.rest()
        seen = traffic.read()
    seen.assert_closed()
    # The peer uses the new ones when it has them, a way of a message before or after us: 0–5
    # packets (docs/limitations.md).
    assert max(seen.lost) <= 30, seen
    assert_kernel_has_what_charon_knows(stage, WEST)
    assert not old & in_kernel(stage, WEST)


def test_what_a_dead_charon_left_goes_with_its_connection(stage: Stage) -> None:
    """A connection that is deleted while charon is dead leaves neither SA nor policy."""
    bring_up(stage, IkeVersion.V2)
    stage.agent.stop()
    os.kill(stage.charon_pid(WEST), signal.SIGKILL)
    before = stage.desired[WEST]
    stage.desired[WEST] = dataclasses.replace(before, connections=before.connections[:1])
    stage.restart_agent()
    stage.agent.wait(lambda: stage.is_active(WEST) and stage.agent.is_at_rest(WEST))
    seen = stage.agent.node.observe(WEST)
    assert {sa.spi for sa in seen.kernel_sas} <= stage.spis(WEST)
    assert {policy.selector.local.version for policy in seen.kernel_policies} == {4}


@versions
def test_nothing_leaves_in_clear_while_the_peer_is_dead(stage: Stage, version: IkeVersion) -> None:
    """While nobody answers no packet of the pairs is on the wire; afterwards all cross again."""
    bring_up(stage, version, dpd=Dpd(DpdAction.HOLD, 1, 3))
    with Traffic(flows(4, 6), INNER_NETWORKS) as traffic:
        with cut("e"):
            stage.agent.wait(lambda: not stage.is_active(WEST) and not stage.is_active(EAST))
            dead = traffic.read()
        stage.rest(60)
        traffic.read()
        alive = traffic.read()
    dead.assert_closed()
    assert all(dead.lost)
    alive.assert_closed()
    assert alive.lost == [0, 0, 0, 0]
