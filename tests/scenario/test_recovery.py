"""Each fault, under traffic and with a change made meanwhile, is repaired without a hand.

Afterwards the API, the agent and the wire agree, within 30 s after the cause is gone; no packet is
ever in clear. `make recovery` makes the tables of docs/self-healing.md from the times.
"""

import dataclasses
import itertools
import threading
import time

import pytest

from lab import faults, recovery
from lab.agreement import UNANSWERED, differences
from lab.layout import LabError
from lab.processes import wait_for
from lab.stream import Stream
from lab.vpn import serving, views
from tests.scenario.closed import closed
from tests.scenario.conftest import BACKEND, KIND, SHAPES

# The first test makes the ground.
pytestmark = pytest.mark.timeout(900)

_mtus = itertools.count(1280)
# What the faults happen on (lab/recovery.py).
STAGE = "-".join(filter(None, (BACKEND, KIND)))
_served_by = faults.OVN if SHAPES[BACKEND].cloud("a").has_ovn else faults.OVS
BREAKS = faults.of(_served_by, KIND)


class Change:
    """Another mtu for one connection, asked for while a fault lasts; it may be refused then."""

    def __init__(self, end, connection_id, mtu):
        self.answer = None
        body = {"ipsec_site_connection": {"mtu": mtu}}
        # As long as a person would wait: a gateway without power says nothing, not even no.
        self._ask = lambda: end.client.network.put(
            f"/vpn/ipsec-site-connections/{connection_id}", json=body, timeout=60
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self._ask()
            self.answer = "done"
        except UNANSWERED as refusal:  # an API in trouble says so, or is away
            self.answer = repr(refusal)

    def wait(self):
        self._thread.join(90)
        assert self.answer, "PUT was never answered"


def unsettled(pair):
    """Return what isn't well: packets that don't pass, and what isn't the same of each side."""
    silent = [
        f"no answer of {a}" for a in pair.there.addresses if not pair.here.pings(a, wait=0.5)
    ]
    if silent:
        return silent
    sides = [[ids[n] for ids in pair.connections] for n in (0, 1)]
    try:
        return [
            one for end, ids in zip(pair.ends, sides, strict=True) for one in differences(end, ids)
        ]
    except UNANSWERED as trouble:  # an API or an agent isn't back yet
        return [repr(trouble)]


def wait_settled(pair, limit, what, every=0.1):
    """Wait until all is well, and return what was the last that wasn't; LabError with it."""
    left = []

    def settled():
        now = unsettled(pair)
        left[:] = now or left
        return not now

    try:
        wait_for(settled, limit, what, every)
    except LabError as error:
        raise LabError(f"{error}: {left}") from None
    return left


def endured(pair, scene, fault, mtu):
    """Let a fault happen; return when it ended, and the seconds until all was well again.

    And after how many of them each of what others have was there again; and what was the last
    that wasn't well.
    """
    fault.begin(scene)
    began = time.monotonic()
    change = Change(pair.one, pair.connections[0][0], mtu)
    wait_for(lambda: time.monotonic() - began >= fault.hold, fault.hold + 5, "the fault's time")
    fault.end(scene)
    ended, gone = time.time(), time.monotonic()
    others = answered(scene, fault.back, gone)
    last = wait_settled(pair, 3 * recovery.LIMIT, f"all is well after {fault.name}")
    took = time.monotonic() - gone
    change.wait()
    # The change may have been answered after that.
    wait_settled(pair, recovery.LIMIT, f"the change made in {fault.name}")
    return ended, round(took, 1), others, last


def answered(scene, parts, since):
    """Wait for what others have, one after the other; return when each was there."""
    seen = {}
    for what, is_there in parts:
        wait_for(
            lambda there=is_there: there(scene),
            recovery.PATIENCE,
            f"{what} after {seen}",
            every=0.1,
        )
        seen[what] = round(time.monotonic() - since, 1)
    return seen


def stands_by(scene, fault, ended):
    """Let the node that went stand by again; return after how many seconds each part was there.

    Neutron's are others'; that the daemon is there and loaded within LIMIT after these is ours.
    Nothing of one that serves again, since no other could: that all is well was seen already.
    """
    node = scene.node.name
    if serving(scene.end).name == node:
        return {}
    since = time.monotonic() - (time.time() - ended)
    seen = answered(scene, fault.standby, since)

    def is_ready():
        told = views(scene.end, nodes=[scene.node]).get(node) or {"report": None}
        return told["report"] and told["report"]["ready"]

    wait_for(is_ready, recovery.LIMIT, f"{node} is ready after {seen}")
    return seen | {"ready to stand by": round(time.monotonic() - since, 1)}


def marks(fault):
    """Return what pytest should know of a fault."""
    long = [pytest.mark.long] if fault.long else []
    if "ha" in KIND and fault.name.startswith("gateway port"):
        why = "Neutron doesn't tell keepalived of the new device, which gets no address"
        return [*long, pytest.mark.skip(reason=why)]
    return long


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, id=fault.name, marks=marks(fault)) for fault in BREAKS],
)
def test_a_fault_repairs_itself(breakable, lab, fault):
    """All is well within 30 s after the cause is gone; nothing left in clear, nothing came in."""
    wait_settled(breakable, 60, "all is well before")
    scene = faults.Scene.of(breakable.one)
    ended, took, others, last = time.time(), None, {}, []
    with closed(lab, breakable, inwards=not fault.opens) as watch:
        streams = [Stream.start(breakable.here, address) for address in breakable.there.addresses]
        try:
            ended, took, others, last = endured(breakable, scene, fault, next(_mtus))
        finally:
            first = max(each.first_answer(ended) for each in streams) - ended if took else 0.0
            lost = sum(each.stop().lost for each in streams)
            counts = (lost, len(watch.clear()), recovery.load())
            theirs = max(others.values(), default=0.0)
            row = recovery.Row(fault.name, took, *counts, theirs, round(first, 1), others)
            recovery.write(row, recovery.file_of(STAGE))
    assert row.ok, last
    if fault.standby and "ha" in KIND:
        seen = stands_by(scene, fault, ended)
        recovery.write(dataclasses.replace(row, parts=row.parts | seen), recovery.file_of(STAGE))
        wait_settled(breakable, recovery.LIMIT, "all is well with a standby")
