"""Dead peer detection on live tunnels: the peer's daemon is stopped, and goes on later."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import signal
import time
from collections.abc import Iterator

import pytest

from bench.losses.measure import Sender
from bench.losses.rows import sas
from bench.losses.sites import EAST, SOUTH, WEST, Site
from bench.losses.stage import Stage
from swanherd.core.ike import Initiate, TerminateIke
from swanherd.core.model import Dpd, DpdAction, IkeVersion, Initiator, RowStatus, Status
from swanherd.testing import builders
from tests.functional.live.conftest import until
from tests.functional.live.test_attributes import ike_of

_RESPONSE = 0x20  # of IKEv2 (RFC 7296 §3.1)


@contextlib.contextmanager
def silent(stage: Stage, site: Site = EAST) -> Iterator[float]:
    """Stop the site's daemon; it answers again after the block. Yields when it was stopped."""
    pid = stage.pid(site)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield time.monotonic()
    finally:
        os.kill(pid, signal.SIGCONT)


def dead(row: RowStatus) -> bool:
    return row.reason is not None and row.reason.code == "dpd_timeout"


def ike_ids(stage: Stage) -> set[int]:
    """West's IKE SAs to east."""
    return {sa.unique_id for sa in stage.observed(WEST)}


def watch(stage: Stage, action: DpdAction, interval: int, timeout: int) -> None:
    stage.change(WEST, dpd=Dpd(action, interval, timeout))
    stage.settle()


def test_interval_and_timeout_are_honoured(stage: Stage) -> None:
    """Under traffic, `timeout` after the last sign of life, within a second or 10 %; then back."""
    for interval, timeout in ((1, 4), (2, 3)):
        watch(stage, DpdAction.RESTART, interval, timeout)
        with Sender() as sender:
            sender.ask("more 20")
            with silent(stage) as since:
                stage.wait(WEST, dead)
                took = time.monotonic() - since
        assert abs(took - timeout) <= max(1.0, timeout / 10), (interval, timeout, took)
        stage.wait(WEST, lambda row: row.status is Status.ACTIVE)


def test_a_peer_that_dies_while_a_child_is_asked_for_is_found(stage: Stage) -> None:
    """In time, though IKEv1's charon waits for that answer alone, and asks on for minutes."""
    watch(stage, DpdAction.RESTART, 1, 4)
    own = stage.connections[WEST]["own"]
    more = builders.selector("10.4.0.0/24", "10.8.0.0/24")
    with silent(stage) as since:
        stage.want(WEST, own=dataclasses.replace(own, selectors=(*own.selectors, more)))
        stage.wait(WEST, dead)
        took = time.monotonic() - since
    assert took <= 4 + 1


def test_an_ike_sa_that_the_peer_has_forgotten_is_given_up(stage: Stage) -> None:
    """Nothing was agreed on in it, and the peer ended it without a word; the cause stays."""
    watch(stage, DpdAction.RESTART, 1, 3)
    policy = stage.connections[EAST]["own"].ipsec
    stage.change(
        EAST,
        ipsec=dataclasses.replace(policy, encryption="aes-128"),
        initiator=Initiator.RESPONSE_ONLY,
    )
    for sa in stage.observed(WEST):
        stage.swan.apply(WEST.router_id, TerminateIke(sa.unique_id, force=False))
    stage.wait(WEST, lambda r: r.reason is not None and r.reason.code == "esp_proposal_mismatch")
    with silent(stage):
        ((forgotten, config),) = {(sa.unique_id, sa.config) for sa in stage.observed(WEST)}
        loaded = next(c for c in stage.swan.observe(WEST.router_id).configs if c.name == config)
        stage.swan.apply(WEST.router_id, Initiate(config, min(loaded.children)))
        gone = until(lambda: forgotten not in ike_ids(stage), 12)
    assert gone
    stage.change(EAST, ipsec=policy)
    stage.settle()


@contextlib.contextmanager
def questions(stage: Stage) -> Iterator[list[float]]:
    """Collect when west asks its idle peer east, which asks nothing itself."""
    kind = 5 if stage.settings.version is IkeVersion.V1 else 37  # RFC 2408 §3.1, RFC 7296 §3.1
    (sa,) = stage.observed(WEST)
    asked: list[float] = []
    with ike_of(WEST.public[0]) as sent:
        yield asked
    for at, message in sent:
        of_it = message[:8] == bytes.fromhex(sa.initiator_spi)
        if of_it and message[18] == kind and not message[19] & _RESPONSE:
            asked.append(at)


def pauses(times: list[float]) -> list[float]:
    return [later - sooner for sooner, later in itertools.pairwise(times)]


def idle(stage: Stage, seconds: float) -> None:
    until = time.monotonic() + seconds
    stage.cloud.until(lambda: time.monotonic() > until, seconds + 0.1)


def watch_alone(stage: Stage, interval: int, timeout: int) -> None:
    """Let west alone ask."""
    stage.change(EAST, dpd=Dpd(DpdAction.DISABLED, 1, 2))
    watch(stage, DpdAction.RESTART, interval, timeout)


def test_an_idle_peer_is_asked_each_interval(stage: Stage) -> None:
    """Neither more often nor less, to the second that charon counts in."""
    watch_alone(stage, 2, 60)
    idle(stage, 3)  # what the changes have left
    with questions(stage) as asked:
        idle(stage, 9)
    assert len(asked) >= 3
    assert all(abs(pause - 2) <= 1 for pause in pauses(asked)), asked


@pytest.mark.long
def test_a_long_interval_and_timeout_are_honoured(stage: Stage) -> None:
    """Of a tunnel without traffic: `timeout` after the peer's last answer, within 10 %."""
    interval, timeout = 15, 35
    watch_alone(stage, interval, timeout)
    with ike_of(EAST.public[0]) as answered, questions(stage) as asked:
        idle(stage, 3.4 * interval)
        with silent(stage):
            stopped = time.time()
            assert stage.cloud.until(lambda: is_dead(stage), 2 * timeout)
            found = time.time()
    before = [at for at in asked if at < stopped]
    assert len(before) >= 3
    assert all(abs(pause - interval) <= interval / 10 for pause in pauses(before)), before
    last = max(at for at, _ in answered if at < stopped)
    assert abs(found - last - timeout) <= timeout / 10, found - last


def is_dead(stage: Stage) -> bool:
    row = stage.row(WEST)
    return row is not None and dead(row)


@pytest.mark.parametrize(
    "action", [DpdAction.HOLD, DpdAction.RESTART, DpdAction.RESTART_BY_PEER], ids=str
)
def test_hold_and_restart_set_up_anew(stage: Stage, action: DpdAction) -> None:
    """By themselves, for as long as it takes."""
    watch(stage, action, 1, 2)
    before = ike_ids(stage)
    with silent(stage):
        stage.wait(WEST, dead)
    stage.wait(WEST, lambda row: row.status is Status.ACTIVE)
    assert not before & ike_ids(stage)


def test_clear_leaves_it_to_the_peer(stage: Stage) -> None:
    """Nothing of ours initiates after the peer was found dead; the peer can."""
    watch(stage, DpdAction.CLEAR, 1, 2)
    stage.change(EAST, dpd=Dpd(DpdAction.DISABLED, 1, 2))
    stage.settle()
    with silent(stage):
        stage.wait(WEST, dead)
    stage.look_at_all()
    assert not stage.observed(WEST)
    stage.wait(WEST, dead)
    # East is told that nothing is there any more, and begins anew.
    for sa in stage.observed(EAST):
        stage.swan.apply(EAST.router_id, TerminateIke(sa.unique_id, force=True))
    stage.wait(WEST, lambda row: row.status is Status.ACTIVE)
    assert not any(sa.initiator for sa in stage.observed(WEST))


def test_disabled_asks_nothing(stage: Stage) -> None:
    """A peer that is silent for a while is never found dead; its tunnel goes on."""
    watch(stage, DpdAction.DISABLED, 1, 2)
    stage.change(EAST, dpd=Dpd(DpdAction.DISABLED, 1, 2))
    stage.settle()
    before = sas(stage)
    with silent(stage) as since:
        stage.cloud.until(lambda: time.monotonic() - since > 4, 4.5)
    row = stage.row(WEST)
    assert row is not None
    assert row.status is Status.ACTIVE
    assert before == sas(stage)


def test_who_is_not_watched_is_not_asked(stage: Stage) -> None:
    """Neither if it is disabled nor with an interval of 0: no IKE message leaves an idle side.

    What two changes at once leave to settle may take some seconds; who is watched is asked on.
    """
    asked = []
    hold = DpdAction.HOLD
    for dpd in (Dpd(DpdAction.DISABLED, 1, 2), Dpd(hold, 0, 2), Dpd(hold, 1, 4)):
        for site in (WEST, EAST):
            stage.change(site, dpd=dpd)
        stage.settle()
        asked.append(not any(falls_silent(stage) for _ in range(5)))
    assert asked == [False, False, True]


def falls_silent(stage: Stage) -> bool:
    """Whether west sends no IKE message for 2.5 s."""
    until = time.monotonic() + 2.5
    with ike_of(WEST.public[0]) as sent:
        stage.cloud.until(lambda: time.monotonic() > until, 2.6)
    return not sent


def test_restart_by_peer_takes_along_what_else_goes_to_that_peer(stage: Stage) -> None:
    """Another connection to the same address, with identities of its own, is set up anew too."""
    stage.second_to_the_same_peer()
    stage.settle()
    stage.change(WEST, "second", dpd=Dpd(DpdAction.HOLD, 60, 120))
    watch(stage, DpdAction.RESTART_BY_PEER, 1, 2)
    before = sas(stage)
    with silent(stage):
        stage.wait(WEST, dead)
        stage.wait(WEST, dead, "second")
    stage.settle()
    kept = {sa for sa in before if sa in sas(stage)}
    # Only what goes to another peer is what it was.
    assert len(kept) == len(stage.connections[SOUTH]["beside"].selectors), (before, sas(stage))
