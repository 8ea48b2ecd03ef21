"""Fail closed in both directions, watched while something else happens.

On both clouds' public wires no packet of a protected address is in clear. And an intruder on
these wires sends in clear what only a tunnel may bring, all the time: none of it ever reaches a
workload.
"""

import contextlib
import dataclasses
import itertools
import json
import math
import subprocess

from lab.boxes import Box, end
from lab.capture import Capture
from lab.layout import INTERNET_BOX
from lab.processes import wait_for
from lab.sites import Workload
from lab.vpn import End
from tests.functional.dataplane.packets import udp

EVERY = 0.1  # seconds between two rounds of the intruder
PORT = 49413
FREE = PORT + 1  # of what is of no selector
NOT_FREE = f"not udp dst port {FREE}"
INTRUDER_MAC = bytes.fromhex("025ec2000001")
# Ports of Neutron's that take a router's packets from the public wire.
DOORS = ("network:router_gateway", "network:vpn_router_gateway")


def beside(address):
    """Return an address of that family that is in no selector."""
    return "fd00:ffff::5" if ":" in address else "10.255.255.5"


def hosts(workloads):
    """Return a filter for what is from or to any of the workloads."""
    return " or ".join(f"host {a}" for w in workloads for a in w.addresses)


def works(pair, limit=60):
    """Both sides say ACTIVE, and both workloads reach all addresses of the other one."""
    pair.up(limit)
    for workload, other in ((pair.here, pair.there), (pair.there, pair.here)):
        for address in other.addresses:
            workload.wait_for_ping(address, limit)


@contextlib.contextmanager
def whole(lab, pair):
    """The tunnel works before and after; meanwhile nothing is in clear on cloud a's wire.

    For what changes a router's own ports: an intruder (`closed`) knows those of the beginning.
    """
    with Capture.on_wire(lab, pair.one.cloud.plan, hosts((pair.here, pair.there))) as wire:
        works(pair)
        yield
        works(pair)
        assert wire.lines() == []


@dataclasses.dataclass(frozen=True)
class Side:
    """An end with a workload, and the other addresses of what its connections protect."""

    end: End
    workload: Workload
    theirs: tuple


def sides(pair):
    """Return both sides of a pair of joined ends."""
    return (
        Side(pair.one, pair.here, pair.there.addresses),
        Side(pair.other, pair.there, pair.here.addresses),
    )


@dataclasses.dataclass
class Gap:
    """A time in which no connection has the packets of an IP version: they go as any others do."""

    version: int
    begin: float  # time.time()
    end: float = math.inf

    def has(self, at, line):
        """Tell whether a packet is of it: when it was seen, and tcpdump's line."""
        word = {4: "IP", 6: "IP6"}[self.version]
        return self.begin <= at <= self.end and word in line.split()[:2]


@dataclasses.dataclass
class Watch:
    """What has been seen so far: on the public wires, and at the workloads of the intruder's."""

    wires: list
    inside: list  # a capture and the workload's addresses, for each workload
    gaps: list = dataclasses.field(default_factory=list)

    def clear(self):
        """Return the packets in clear on a public wire, a line of tcpdump each.

        What the intruder sends of no selector may come back, with the router's own address: one
        that forwards without having the network, as one that stands by or isn't made yet, sends
        it where it sends all.
        """
        return [line for wire in self.wires for line in self._asked(wire.seen(NOT_FREE))]

    def arrived(self):
        """Return the intruder's packets that came to a workload."""
        return [line for capture, _ in self.inside for line in self._asked(capture.seen(NOT_FREE))]

    def _asked(self, seen):
        return [line for at, line in seen if not any(gap.has(at, line) for gap in self.gaps)]

    def reached(self):
        """Whether what is of no selector came to every workload in each family: so it can."""
        return all(
            capture.count(f"udp dst port {FREE} and dst host {address}")
            for capture, addresses in self.inside
            for address in addresses
        )


@contextlib.contextmanager
def watched(lab, watching, every=EVERY):
    """Have both eyes on these sides while the block runs; give what they see."""
    workloads = [side.workload for side in watching]
    plans = {side.end.cloud.plan.name: side.end.cloud.plan for side in watching}
    with contextlib.ExitStack() as stack:
        wires = [
            stack.enter_context(Capture.on_wire(lab, plan, hosts(workloads)))
            for plan in plans.values()
        ]
        inside = [(stack.enter_context(_at(w)), w.addresses) for w in workloads]
        stack.enter_context(_intruder(lab, watching, every))
        yield Watch(wires, inside)


@contextlib.contextmanager
def closed(lab, *pairs, inwards=True):
    """Hold the law while the block runs: nothing leaves in clear, and nothing comes in.

    And the intruder would have come in without it. Where the guard itself is taken away, `inwards`
    is not asked.
    """
    with watched(lab, [side for pair in pairs for side in sides(pair)]) as watch:
        yield watch
        hold(watch, inwards=inwards)


def hold(watch, *, inwards=True):
    """What was watched so far is what the law says."""
    assert watch.clear() == []
    assert not (inwards and watch.arrived()), watch.arrived()
    wait_for(watch.reached, 20, "the intruder's other packets arrive", every=0.2)


@contextlib.contextmanager
def _at(workload):
    """Capture the intruder's packets at a workload, which says nothing of them."""
    rule = ["INPUT", "-p", "udp", "--dport", f"{PORT}:{FREE}", "-j", "DROP"]
    programs = {f"ip{'6' * (':' in a)}tables" for a in workload.addresses}
    for program in programs:
        workload.run([program, "-A", *rule])
    try:
        with Capture.start(
            workload.box, "eth0", f"udp dst portrange {PORT}-{FREE}", netns=workload.name
        ) as seen:
            yield seen
    finally:
        for program in programs:
            workload.run([program, "-D", *rule])


@contextlib.contextmanager
def _intruder(lab, watching, every):
    """Send on every wire between the internet and a node of the sides' clouds."""
    clouds = {side.end.cloud.plan.name: side.end.cloud for side in watching}
    networks = {name: cloud.connect("admin").network for name, cloud in clouds.items()}
    frames = {}
    for side in watching:
        made = [frame.hex() for frame in _frames(side, networks[side.end.cloud.plan.name])]
        for chassis in side.end.cloud.plan.chassis:
            if chassis.public:
                frames.setdefault(f"p-{chassis.name}", []).extend(made)
    argv = ["python", "-m", "lab.inject", str(every)]
    program = Box(lab, INTERNET_BOX).popen(argv, stdin=subprocess.PIPE)
    with program:
        try:
            program.stdin.write(f"{json.dumps(frames)}\n")
            program.stdin.flush()
            yield
            assert program.poll() is None, program.stderr.read()
        finally:
            end(program)


def _frames(side, network):
    """Yield what comes to a cloud: as if from the peer's workload, or from its own to the peer's.

    And what nobody protects, which the router lets in. By each door; each has a length of its own.
    """
    lengths = itertools.count(1)
    ports = network.ports(device_id=side.end.site.router_id)
    ports = [port for port in ports if port.device_owner in DOORS]
    for port in sorted(ports, key=lambda p: DOORS.index(p.device_owner)):
        for here in side.workload.addresses:
            peers = [a for a in side.theirs if (":" in a) == (":" in here)]
            protected = [way for a in peers for way in ((a, here), (here, a))]
            ways = [(*way, PORT) for way in protected]
            for source, target, number in (*ways, (beside(here), here, FREE)):
                data = bytes(next(lengths))
                yield _frame(port.mac_address, udp(source, target, data, number))


def _frame(mac, packet):
    kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    return bytes.fromhex(mac.replace(":", "")) + INTRUDER_MAC + kind + packet
