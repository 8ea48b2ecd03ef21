"""Changes and faults in a random order; afterwards API, database, OVN and charon are equal.

A run lasts MINUTES, or STEPS where that is given. It prints how to replay it, whatever becomes of
it, and each step is in build/random.log, with the seconds since the begin.
"""

import contextlib
import itertools
import os
import random
import sys
import time

import pytest

from lab import faults
from lab.agreement import UNANSWERED, differences
from lab.layout import ROOT, LabError
from lab.processes import wait_for
from lab.stream import Stream, answers
from lab.vpn import join
from tests.scenario.closed import Gap, closed
from tests.scenario.conftest import BACKEND, KIND

SEED = int(os.environ.get("SEED") or random.randrange(1 << 30))
MINUTES = os.environ.get("MINUTES")
STEPS = int(os.environ.get("STEPS") or 0)
REPLAY = "BACKEND={} KIND={} SEED={} STEPS={} .venv/bin/pytest -q -m long {}"
QUIET = 5  # seconds without an answer that are noted
LOG = ROOT / "build" / "random.log"


class Run:
    """A random history of one joined pair."""

    def __init__(self, pair, seed, log, watch):
        self.pair = pair
        self._watch = watch
        self._gap = None
        self.random = random.Random(seed)
        self.steps = 0
        self._began = time.monotonic()
        self._log = log
        # What the connections to one peer must have in common.
        self._common = {"psk": "the lab's own key"}
        self._changes = (self._mtu, self._psk, self._dpd, self._down_up, self._policy, self._again)
        backend = faults.OVN if pair.one.cloud.plan.has_ovn else faults.OVS
        self._faults = [
            fault for fault in faults.of(backend, pair.one.site.kind) if not fault.long
        ]

    def go_on(self, minutes, steps):
        """Do so many steps; if that is 0, as many as fit in the minutes."""
        while self.steps < steps or (not steps and time.monotonic() - self._began < minutes * 60):
            self.steps += 1
            self.step()

    def step(self):
        """Do one thing, or break one."""
        self.end_gap()
        if self.random.random() < 0.6:
            change = self.random.choice(self._changes)
            self._tell(change.__name__)
            change()
            return
        fault = self.random.choice(self._faults)
        self._tell(fault.name)
        # Of several nodes none may serve for a moment.
        scene = self._again_until(lambda: faults.Scene.of(self.pair.one))
        self._break(fault, scene)
        until = time.monotonic() + self.random.uniform(0, 3)
        try:
            if self.random.random() < 0.5:
                self._try(self._mtu)
            wait_for(lambda: time.monotonic() > until, 10, "the fault's time")
        finally:
            fault.end(scene)

    def _break(self, fault, scene):
        """Begin a fault; what an earlier one has left broken can't be broken again."""
        try:
            fault.begin(scene)
        except LabError as trouble:
            self._tell(f"not there to be broken: {trouble}")

    def _tell(self, what):
        self._log.write(f"{time.monotonic() - self._began:6.1f}  {what}\n")
        self._log.flush()

    def _try(self, change):
        self._tell(f"meanwhile {change.__name__}")
        try:
            change()
        except UNANSWERED as refusal:
            self._tell(f"refused: {refusal}")

    def _put(self, **attributes):
        for ids in self.pair.connections:
            for end, connection_id in zip(self.pair.ends, ids, strict=True):
                self._retried(end, connection_id, attributes)

    def _retried(self, end, connection_id, attributes):
        """As a person would: an API that is just coming back is asked again."""

        def done():
            try:
                end.client.network.update_vpn_ipsec_site_connection(connection_id, **attributes)
            except UNANSWERED as refusal:
                self._tell(f"asked again: {refusal}")
                return False
            return True

        wait_for(done, 60, f"PUT {attributes}", every=0.5)

    def _mtu(self):
        self._put(mtu=self.random.randrange(1280, 1400))

    def _psk(self):
        self._common["psk"] = f"key {self.random.random()}"
        self._put(psk=self._common["psk"])

    def _dpd(self):
        interval = self.random.randrange(2, 10)
        self._common["dpd"] = {
            "action": "restart",
            "interval": interval,
            "timeout": 3 * interval,
        }
        self._put(dpd=self._common["dpd"])

    def _down_up(self):
        self._put(admin_state_up=False)
        self._put(admin_state_up=True)

    def _policy(self):
        algorithm = self.random.choice(("aes-128", "aes-256"))
        for end in self.pair.ends:
            self._again_until(
                lambda e=end: e.client.network.update_vpn_ipsec_policy(
                    e.ipsec.id, encryption_algorithm=algorithm
                )
            )

    def _again(self):
        """Delete the second connection of both sides and make it anew.

        Between these nobody has its packets, and the intruder's go where the router sends them.
        """
        if not self._gap:
            self._gap = Gap(6, time.time())
            self._watch.gaps.append(self._gap)
        for end, connection_id in zip(self.pair.ends, self.pair.connections[1], strict=True):
            self._again_until(
                lambda e=end, c=connection_id: e.client.network.delete_vpn_ipsec_site_connection(c)
            )
            end.made.remove(("connection", connection_id))
        self.pair.connections = (
            self.pair.connections[0],
            self._again_until(lambda: join(*self.pair.ends, 4, 6, **self._common)),
        )

    def end_gap(self):
        """Ask for the second connection's packets again, once both sides have applied it."""
        if self._gap and self._is_applied():
            self._gap.end, self._gap = time.time(), None

    def _is_applied(self):
        both = zip(self.pair.ends, self.pair.connections[1], strict=True)
        try:
            return all(end.connection(one)["revision_applied"] for end, one in both)
        except UNANSWERED:
            return False

    def _again_until(self, act):
        got = []

        def done():
            try:
                got.append(act())
            except UNANSWERED as refusal:
                self._tell(f"asked again: {refusal}")
                return False
            return True

        wait_for(done, 60, "an answer of the API", every=0.5)
        return got[0]


def equal_within(pair, limit):
    """Wait until nothing differs on either side; AssertionError with what still does."""
    left = ["never looked"]

    def equal():
        try:
            left[:] = [
                one
                for number, side in enumerate(pair.ends)
                for one in differences(side, [ids[number] for ids in pair.connections])
            ]
        except UNANSWERED as trouble:
            left[:] = [repr(trouble)]
        return not left

    try:
        wait_for(equal, limit, "API, database, OVN and charon agree", every=1)
    except LabError as error:
        raise AssertionError(left) from error


@contextlib.contextmanager
def pinging(pair, log):
    """Have packets in the tunnel meanwhile; how many got lost, and when, is only noted."""
    pings = Stream.start(pair.here, pair.there.ipv4)
    try:
        yield
    finally:
        log.write(f"{pings.stop()}\n")
        times = [at for at, _ in answers(pings.file.read_text())]
        for before, after in itertools.pairwise(times):
            if after - before > QUIET:
                log.write(f"{before - times[0]:6.1f}  no answer for {after - before:.1f} s\n")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("minutes", [pytest.param(10, marks=pytest.mark.long)])
def test_after_any_history_everything_agrees(breakable, lab, minutes):
    """Nothing differs within 60 s after the last step; nothing ever left or came in in clear."""
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("w") as log, closed(lab, breakable) as watch:
        run = Run(breakable, SEED, log, watch)
        try:
            with pinging(breakable, log):
                run.go_on(float(MINUTES or minutes), STEPS)
                equal_within(breakable, 60)
                run.end_gap()
                for address in breakable.there.addresses:
                    breakable.here.wait_for_ping(address)
        finally:
            replay = REPLAY.format(BACKEND, KIND, SEED, run.steps, "tests/scenario/test_random.py")
            log.write(f"{replay}\n")
            sys.__stdout__.write(f"\nreplay: {replay}\n")
