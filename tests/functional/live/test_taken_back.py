"""A change that is taken back while the SAs of before are still there."""

from __future__ import annotations

import dataclasses

from bench.losses.sites import EAST, WEST
from bench.losses.stage import Stage
from swanherd.core.model import Initiator, Secret, Status, TrafficSelector
from swanherd.testing import builders


def test_what_comes_later_comes_up_though_the_sas_stay(stage: Stage) -> None:
    """An IKE SA keeps the config it was made with, to which no child is added any more.

    Who only responds can't begin the new child itself; whether the peer may, charon says by the
    config that was loaded first.
    """
    stage.change(EAST, initiator=Initiator.RESPONSE_ONLY)
    stage.settle()
    before = {sa.initiator_spi for sa in stage.observed(EAST)}
    key = stage.connections[EAST]["own"].psk
    stage.change(EAST, psk=Secret("another"))
    stage.wait(EAST, lambda row: row.status is Status.PENDING_UPDATE)
    stage.change(EAST, psk=key)
    stage.settle()
    assert {sa.initiator_spi for sa in stage.observed(EAST)} == before
    pair = builders.selector("10.4.0.0/24", "10.8.0.0/24")
    for site, added in ((WEST, pair), (EAST, TrafficSelector(pair.remote, pair.local))):
        own = stage.connections[site]["own"]
        stage.want(site, own=dataclasses.replace(own, selectors=(*own.selectors, added)))
    stage.settle()
