"""What is told of a daemon that died and can't be started, whatever its side was to do."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import pytest

from bench.losses.sites import EAST, WEST
from bench.losses.stage import Stage
from bench.losses.wires import run
from swanherd.core.model import Dpd, DpdAction, Initiator, Status

_DAEMON = "/usr/sbin/charon-systemd"


@contextlib.contextmanager
def without_daemon(stage: Stage) -> Iterator[None]:
    """Kill west's daemon; until the end of the block none can be started."""
    run("mount", "--bind", "/bin/false", _DAEMON)
    try:
        os.kill(stage.pid(WEST), signal.SIGKILL)
        yield
    finally:
        run("umount", _DAEMON)


@pytest.mark.parametrize("begins", [True, False], ids=["begins", "responds"])
def test_a_daemon_that_cannot_start_is_the_cause(stage: Stage, *, begins: bool) -> None:
    """Within 2 s, for all connections of the router; after it everything is back."""
    stage.change(EAST if begins else WEST, initiator=Initiator.RESPONSE_ONLY)
    # Who begins has to find out that its peer has forgotten everything.
    stage.change(EAST, dpd=Dpd(DpdAction.RESTART, 1, 2))
    stage.settle()
    since = time.monotonic()
    with without_daemon(stage):
        for name in ("own", "beside"):
            row = stage.wait(
                WEST,
                lambda r: r.reason is not None and r.reason.code == "charon_start_failed",
                name,
            )
            assert row.status in (Status.DOWN, Status.ERROR)
        assert time.monotonic() - since < 2
    stage.settle()
    row = stage.wait(WEST, lambda r: r.status is Status.ACTIVE)
    assert row.reason is None
