"""Each fault, under traffic and with a change made meanwhile, is repaired without a hand.

Afterwards the API, the agent and the wire agree, within 30 s after the cause is gone; no packet is
ever in clear. The times are printed and kept in build/recovery.json.
"""

import json
import sys
import threading
import time

import pytest
from openstack import exceptions

from lab import faults
from lab.agreement import differences
from lab.capture import Capture
from lab.layout import ROOT, LabError
from lab.processes import wait_for
from lab.stream import Stream

# The first test makes the ground.
pytestmark = pytest.mark.timeout(600)

LIMIT = 30  # seconds from the end of the cause
TABLE = ROOT / "build" / "recovery.json"


@pytest.fixture(scope="module")
def table():
    """What was measured, by fault."""
    rows = {}
    yield rows
    TABLE.parent.mkdir(exist_ok=True)
    known = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    TABLE.write_text(json.dumps(known | rows, indent=1))
    told = "{0:34} {seconds:6.1f} s  lost {lost:5}  clear {clear}\n"
    sys.stdout.write("\n" + "".join(told.format(name, **row) for name, row in rows.items()))


class Change:
    """Another mtu for one connection, asked for while a fault lasts; it may be refused then."""

    def __init__(self, end, connection_id, mtu):
        self.answer = None
        self._ask = lambda: end.client.network.update_vpn_ipsec_site_connection(
            connection_id, mtu=mtu
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self._ask()
            self.answer = "done"
        except exceptions.SDKException as refusal:  # an API in trouble says so
            self.answer = repr(refusal)

    def wait(self):
        self._thread.join(90)
        assert self.answer, "PUT was never answered"


def settled(pair):
    """Tell whether packets pass, and API, database, OVN and charon of both sides agree."""
    if not all(pair.here.pings(a, wait=0.5) for a in pair.there.addresses):
        return False
    sides = [[ids[n] for ids in pair.connections] for n in (0, 1)]
    try:
        return not any(map(differences, pair.ends, sides))
    except (exceptions.SDKException, LabError):  # an API or an agent isn't back yet
        return False


def endured(pair, fault, mtu):
    """Let a fault happen; return the seconds from its end until all is well again."""
    fault.begin(pair.one)
    began = time.monotonic()
    change = Change(pair.one, pair.connections[0][0], mtu)
    wait_for(lambda: time.monotonic() - began >= fault.hold, fault.hold + 5, "the fault's time")
    fault.end(pair.one)
    gone = time.monotonic()
    wait_for(lambda: settled(pair), LIMIT * 3, f"all is well after {fault.name}", every=0.1)
    took = time.monotonic() - gone
    change.wait()
    # The change may have been answered after that.
    wait_for(lambda: settled(pair), LIMIT, f"the change made in {fault.name}", every=0.1)
    return took


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.name, marks=[pytest.mark.long] if fault.long else [])
        for fault in faults.FAULTS
    ],
)
def test_a_fault_repairs_itself(breakable, lab, table, fault):
    """All is well within 30 s after the cause is gone; nothing was in clear."""
    wait_for(lambda: settled(breakable), 60, "all is well before")
    inner = " or ".join(
        f"host {a}" for w in (breakable.here, breakable.there) for a in w.addresses
    )
    with Capture.on_wire(lab, breakable.one.cloud.plan, inner) as wire:
        streams = [Stream.start(breakable.here, address) for address in breakable.there.addresses]
        try:
            took = endured(breakable, fault, 1280 + len(table))
        finally:
            lost = sum(each.stop().lost for each in streams)
        clear = len(wire.lines())
    table[fault.name] = {"seconds": round(took, 1), "lost": lost, "clear": clear}
    assert clear == 0
    assert took <= LIMIT
