"""Each cause of failure has its own code, sentence and hint in the API, on both sides.

All faults happen at once: connections that a responder can tell apart share a pair of routers.
One end begins, the other only responds. An agent's faults and this process have one monotonic
clock, so the API's delay is measured from when the gateway knew.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import threading
import time

import pytest

from lab.boxes import end as end_process
from lab.layout import ROOT, LabError
from lab.processes import wait_for
from lab.vpn import doctor, remove_end, views
from swanherd.cmd import findings
from tests.scenario import closed
from tests.scenario.causes import KEY, OTHER_KEY, ROOMS, break_all, make_room

# The first test waits for all faults, and for the doctor, on a busy machine perhaps.
pytestmark = [pytest.mark.timeout(2400), pytest.mark.long]

INTRUDER = 1.0  # seconds between two of its rounds: there are dozens of networks
WITHIN = 2.0  # seconds from the gateway's knowing to the API's showing


class Watch:
    """Reads both clouds' connections again and again; remembers when each code came first."""

    def __init__(self, clouds):
        self._stop = threading.Event()
        self.first = {}  # connection id → code → (when, the sentence)
        self.now = {}
        self._threads = [threading.Thread(target=self._run, args=(c,)) for c in clouds]
        for thread in self._threads:
            thread.start()

    def _run(self, cloud):
        network = cloud.connect().network
        # It would look for proxies in os.environ, which pytest changes for each test meanwhile.
        network.session.session.trust_env = False
        while not self._stop.wait(0.1):
            reply = network.get("/vpn/ipsec-site-connections")
            for each in reply.json()["ipsec_site_connections"]:
                self.now[each["id"]] = each
                if each["status_code"]:
                    told = (time.monotonic(), each["status_reason"])
                    self.first.setdefault(each["id"], {}).setdefault(each["status_code"], told)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture(scope="module")
def rooms(clouds):
    """All pairs of routers, two at once: of four, Neutron's API has stood still twice.

    The first alone: a project's first redundant router makes a network for all of them, and of
    two at once Neutron refuses one.
    """

    def make(number, name):
        links, version = ROOMS[name]
        return make_room(clouds, 200 + number, links, ike={"ike_version": version})

    first, *others = ROOMS
    rooms = {first: make(0, first)}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        made = {name: pool.submit(make, n, name) for n, name in enumerate(others, 1)}
        rooms |= {name: future.result() for name, future in made.items()}
    yield rooms
    if os.environ.get("KEEP"):
        return
    for room in rooms.values():
        for each in room.ends:
            remove_end(each)


@dataclasses.dataclass
class Story:
    """What happened: by connection, the codes; by router, the faults that its agent knew.

    `doctors`: by connection, what `swanherdctl doctor` says of it while it is broken; `left`: what
    it says of those that were mended and don't come up; `seen`: the wires and the workloads
    while it was broken.
    """

    links: dict
    watch: Watch
    known: dict
    doctors: dict
    left: dict
    seen: closed.Watch


@pytest.fixture(scope="module")
def story(clouds, rooms):
    """Break everything, look, mend everything."""
    watch = Watch(clouds)
    try:
        acts = break_all(rooms)
        links = {f"{name}/{k.name}": k for name, room in rooms.items() for k in room.links}
        for link, _ in acts:
            wait_for(lambda k=link: _active(watch, k), 90, f"{link.name} is up before")
        sides = [side for room in rooms.values() for side in room.sides()]
        try:
            with closed.watched(clouds[0].lab, sides, INTRUDER) as seen, _pinging(sides):
                for _, act in acts:
                    act()
                _wait(lambda: all(_told(watch, k) for k in links.values()), 45)
                known = _known(rooms)
                doctors = _doctors(links.values())
        finally:
            for link in links.values():
                link.mend()
        _wait(lambda: all(_active(watch, k) for k in links.values()), 120)
        left = _doctors([k for k in links.values() if not _active(watch, k)], "left")
        known |= {k: t for each in links.values() for k, t in each.knew.items()}
        yield Story(links, watch, known, doctors, left, seen)
    finally:
        watch.stop()


@contextlib.contextmanager
def _pinging(sides):
    """Let each workload ask all of its peers all the time, whether they answer or not."""
    script = 'for a; do ping -q -i 0.5 "$a" & done; wait'
    with contextlib.ExitStack() as stack:
        for side in sides:
            argv = ["sh", "-c", script, "sh", *side.theirs]
            process = side.workload.box.popen(argv, netns=side.workload.name)
            stack.callback(process.communicate)
            stack.callback(end_process, process)
        yield


def _wait(condition, limit):
    """Wait at most so long; each test says what hasn't come."""
    with contextlib.suppress(LabError):
        wait_for(condition, limit, "")


def _active(watch, link):
    states = [watch.now.get(i, {}) for i in link.ids]
    return all(s.get("status") == "ACTIVE" and s["status_code"] is None for s in states)


def _told(watch, link):
    codes = [watch.first.get(i, {}) for i in link.ids]
    if link.name == "twin":
        both = [watch.first.get(i, {}) for other in link.room.links for i in other.ids]
        return sum("indistinguishable" in c for c in both) == 2
    return all(w is None or w in c for w, c in zip(link.expected, codes, strict=True))


def _known(rooms):
    """Return when each agent first knew a fault: (router, code) → monotonic seconds."""
    known = {}
    for room in rooms.values():
        for end in room.ends:
            for view in views(end).values():
                for fault in view["observed"]["charon"]["faults"]:
                    known[end.site.router_id, fault["code"]] = fault["first"]
    return known


def _doctors(links, name="doctor"):
    """Ask the doctor about these connections; build/<name>.txt has it as people read it."""
    ends = [(link.ids[n], end) for link in links for n, end in enumerate(link.room.ends)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = {i: pool.submit(doctor, end, i) for i, end in ends}
        told = {i: answer.result() for i, answer in asked.items()}
    tables = ["\n".join(findings.render(result)) for result in told.values()]
    (ROOT / "build" / f"{name}.txt").write_text("\n\n".join(tables) + "\n")
    return told


NAMES = [
    *(
        f"{v}/{name}"
        for v in ("v1", "v2")
        for name in ("deleted", "esp", "ts", "silent", "refuses")
    ),
    *("v2/psk", "v1-psk/psk", "v2-id/id", "v1-id/id", "v2-ike/ike", "v1-ike/ike", "v1-dpd/dpd"),
    *(
        "v2-dead/charon",
        "address/v2",
        "address/v1",
        "v2-twin/plain",
        "v2-twin/twin",
        "v1-twin/plain",
        "v1-twin/twin",
    ),
]


@pytest.mark.parametrize("side", [0, 1], ids=["begins", "responds"])
@pytest.mark.parametrize("name", NAMES)
def test_the_cause_is_told(story, name, side):
    """Its code with a sentence, at most 2 s after the gateway knew; gone once it is mended."""
    link = story.links[name]
    told = {code: text for code, (_, text) in story.watch.first.get(link.ids[side], {}).items()}
    expected = link.expected[side]
    if expected is not None:
        assert expected in told
        assert len(told[expected]) > 20
        end = link.room.ends[side]
        knew = story.known.get((end.site.router_id, expected))
        if knew is not None:
            assert story.watch.first[link.ids[side]][expected][0] - knew < WITHIN
    now = story.watch.now[link.ids[side]]
    seen = "\n".join(findings.render(story.left.get(link.ids[side], {"placed_here": False})))
    assert (now["status"], now["status_code"]) == ("ACTIVE", None), seen


# What the doctor adds to a cause: the check that fails, on the side that begins.
CHECKS = {"silent": ("peer reached", "silent"), "charon": ("charon", "not running")}
# What ended while it was up, and is tried again: by now another cause may have come after it.
TRIED_AGAIN = ("deleted", "dpd")
NO_ADDRESS = ("public_port_no_address", "no_public_address")


@pytest.mark.parametrize("side", [0, 1], ids=["begins", "responds"])
@pytest.mark.parametrize("name", NAMES)
def test_the_doctor_names_the_cause(story, name, side):
    """By its code, with what is wanted, what is, the plan, the way to the peer; and no secret."""
    link = story.links[name]
    told = story.doctors[link.ids[side]]
    found = told["findings"]
    expected = link.expected[side]
    if expected not in (None, "admin_down", "waiting_for_peer"):
        assert told["verdict"] == "failed"
        codes = {expected}
        if link.name in TRIED_AGAIN:
            codes |= story.watch.first[link.ids[side]].keys()
        hints = [f["hint"] for f in found if f["seen"].partition(": ")[0] in codes]
        assert hints
        assert all(hints)
    checks = {f["check"]: f for f in found if f["subject"] in ("router", link.ids[side])}
    assert {"revision", "charon", "plan", "clock"} <= checks.keys()
    if expected not in NO_ADDRESS:  # else there is nothing to ask a peer from
        assert {"status", "route to the peer", "peer reached", "path MTU"} <= checks.keys()
    if side == 0 and link.name in CHECKS:
        check, seen = CHECKS[link.name]
        assert checks[check]["verdict"] != "ok"
        assert seen in checks[check]["seen"]
    assert not any(key in json.dumps(told) for key in (KEY, OTHER_KEY))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_connections_that_cannot_be_told_apart_say_so(story, version):
    """One of the two shows it, on each side."""
    links = [story.links[f"{version}-twin/plain"], story.links[f"{version}-twin/twin"]]
    for side in (0, 1):
        codes = [set(story.watch.first.get(link.ids[side], {})) for link in links]
        assert sum("indistinguishable" in each for each in codes) == 1


def test_whatever_is_broken_nothing_is_in_clear(story):
    """Nothing protected leaves a router or comes in, while all of this is broken."""
    closed.hold(story.seen)
