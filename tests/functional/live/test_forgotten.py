"""An attempt of which the peer has forgotten: its refusal was lost on the way."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import pytest

from bench.losses.sites import EAST, WEST, Site
from bench.losses.stage import Stage
from bench.losses.wires import run
from swanherd.core.ike import SaState
from swanherd.core.model import DataPlane, Initiator, RowStatus

if os.environ.get("SWANHERD_TEST_DATA_PLANE") == DataPlane.KERNEL:
    pytest.skip("there all messages have one port", allow_module_level=True)


def refused(row: RowStatus) -> bool:
    return row.reason is not None and row.reason.code in ("psk_or_id_mismatch", "local_id_refused")


@contextlib.contextmanager
def without_refusals(stage: Stage, site: Site) -> Iterator[None]:
    """Let nothing out that the site says after the first messages, which have another port."""
    inside = ("ip", "netns", "exec", stage.shape.namespace(site), "nft")
    run(*inside, "add table inet lost")
    try:
        run(*inside, "add chain inet lost out { type filter hook output priority 0; }")
        run(*inside, "add rule inet lost out udp sport 4500 drop")
        yield
    finally:
        run(*inside, "delete table inet lost")


def is_forgotten(stage: Stage) -> bool:
    """Tell whether west asks on in an attempt of which east knows nothing any more."""
    return not stage.observed(EAST) and any(
        sa.state is SaState.CONNECTING and sa.answered and sa.unanswered is not None
        for sa in stage.observed(WEST)
    )


def test_a_refusal_that_is_lost_is_not_waited_for(stage: Stage) -> None:
    """Nobody says it again: the next attempt comes long before charon gives up, 93 s later."""
    accepted = stage.connections[EAST]["own"].peer_id
    stage.change(EAST, peer_id="other.example.org", initiator=Initiator.RESPONSE_ONLY)
    stage.wait(WEST, refused)
    until = time.monotonic() + 30
    with without_refusals(stage, EAST):
        while not is_forgotten(stage):
            assert time.monotonic() < until
            stage.cloud.until(lambda: False, 0.1)
    stage.change(EAST, peer_id=accepted)
    stage.settle()
