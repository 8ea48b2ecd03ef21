"""How long connections take until they are up and the API says so; what a restart costs."""

from __future__ import annotations

import dataclasses
import itertools
import re
import time
from collections.abc import Mapping, Sequence

from bench.beside.routers import Routers
from bench.beside.side import Case, Side, seconds_until
from lab.boxes import end
from lab.stream import answers

# A peer of whom the gateway doesn't begin the tunnel begins it itself, so late.
PATIENCE = 3.0
# Statuses are polled every 60 s: when nothing has come for so long, nothing is on its way.
STILL = 120.0
_RECEIVED = re.compile(r"(\d+) packets transmitted, (\d+) received")


@dataclasses.dataclass(slots=True)
class Bringing:
    """What became of connections made one after the other, in seconds from the first POST.

    `own`: how many the gateway began itself. `late`: from an SA to ACTIVE, of each; `each`: how
    long each POST took. `waited`: how long all were waited for, if in vain; `restarted`: from a
    restart of the agent after that until all were up and ACTIVE.
    """

    count: int
    routers: int = 1
    posts: float = 0.0
    up: float | None = None
    active: float | None = None
    own: int = 0
    cpu: float = 0.0
    late: list[float] = dataclasses.field(default_factory=list)
    each: list[float] = dataclasses.field(default_factory=list)
    waited: float | None = None
    restarted: float | None = None


@dataclasses.dataclass(slots=True)
class Awaited:
    """Connections that are waited for, and when each was loaded, up, ACTIVE; seconds."""

    side: Side | Routers
    cases: list[Case]
    began: float
    loaded: set[str] = dataclasses.field(default_factory=set)
    up_at: dict[str, float] = dataclasses.field(default_factory=dict)
    active_at: dict[str, float] = dataclasses.field(default_factory=dict)
    own: int = 0
    still: float = STILL

    def wait(self, limit: float) -> bool:
        """Wait until all are up and ACTIVE; False if they aren't, or nothing comes any more."""
        ends, seen, moved = time.monotonic() + limit, -1, time.monotonic()
        asked, mine = time.monotonic(), {c.id for c in self.cases}
        while not self.done:
            self._look(mine)
            if time.monotonic() > asked + PATIENCE:
                asked = time.monotonic()
                self.loaded |= self.side.loaded() & mine
                missing = [
                    c.far for c in self.cases if c.id in self.loaded and c.id not in self.up_at
                ]
                self.side.peer.initiate(missing)
            reached = len(self.loaded) + len(self.up_at) + len(self.active_at)
            if reached != seen:
                seen, moved = reached, time.monotonic()
            if time.monotonic() > min(ends, moved + self.still):
                return self.done
            time.sleep(0.1)
        return True

    @property
    def done(self) -> bool:
        """Whether all are up and ACTIVE."""
        return len(self.cases) == len(self.up_at) == len(self.active_at)

    def _look(self, mine: set[str]) -> None:
        for key, sas in self.side.up().items():
            if key in mine - self.up_at.keys():
                self.up_at[key] = time.monotonic() - self.began
                self.own += sas[0].get("initiator") == "yes"
        for key, status in self.side.statuses().items():
            if key in mine and status == "ACTIVE":
                self.active_at.setdefault(key, time.monotonic() - self.began)


def bring_up(
    side: Side | Routers, numbers: range, limit: float, more: Sequence[Mapping[str, str]] = ()
) -> Bringing:
    """Make connections to sites of the peer, and wait until all are up and ACTIVE.

    `more`: what the first ones have beside what all have.
    """
    fars = side.sites(numbers)
    side.peer.load()
    found = Bringing(len(fars))
    cpu, began = side.agent_cpu(), time.monotonic()
    pairs = zip(fars, itertools.chain(more, itertools.repeat({})), strict=False)
    cases = []
    for far, attributes in pairs:
        posted = time.monotonic()
        cases.append(side.connect(far, **attributes))
        found.each.append(time.monotonic() - posted)
    found.posts = time.monotonic() - began
    awaited = Awaited(side, cases, began)
    if not awaited.wait(began + limit - time.monotonic()):
        found.waited = time.monotonic() - began
    up_at, active_at = dict(awaited.up_at), dict(awaited.active_at)
    found.up = max(up_at.values()) if len(up_at) == len(cases) else None
    found.active = max(active_at.values()) if len(active_at) == len(cases) else None
    found.late = [max(0.0, active_at[k] - up_at[k]) for k in up_at if k in active_at]
    found.own, found.cpu = awaited.own, side.agent_cpu() - cpu
    if found.waited is not None:
        # What comes next needs them, and an agent that hasn't heard of something asks then.
        restarted = time.monotonic()
        side.restart_agent()
        awaited.still = limit  # it takes one router after the other, and ours may be the last
        if awaited.wait(limit):
            found.restarted = time.monotonic() - restarted
    return found


def told_down(side: Side, limit: float) -> float | None:
    """End a tunnel by its peer, who forgets it; seconds until the API doesn't say ACTIVE.

    None if it does all the time, or if no tunnel is up.
    """
    up = side.up()
    case = next((c for c in side.cases if c.id in up and side.status(c) == "ACTIVE"), None)
    if case is None:
        return None
    began = time.monotonic()
    side.peer.drop(case.far)
    return seconds_until(lambda: side.status(case) != "ACTIVE", began, limit)


@dataclasses.dataclass(frozen=True, slots=True)
class Restart:
    """What the agent's restart cost: IKE SAs that aren't the same, pings lost of how many.

    `lost_at`: when those were sent, in seconds after the agent was told to end.
    """

    rebuilt: int
    of: int
    lost: int
    sent: int
    lost_at: tuple[float, ...] = ()


def restart(side: Side, case: Case, seconds: int = 40) -> Restart:
    """Restart the agent while ten pings a second go through a tunnel that has just answered one.

    So a neighbour that nobody has asked for yet isn't what is counted.
    """
    warm = ["ping", "-n", "-c", "1", "-w", "5", case.far.host]
    side.workload.box.run(warm, netns=side.workload.name, check=False)
    before = {sa["uniqueid"] for sas in side.up().values() for sa in sas}
    ping = ["ping", "-n", "-D", "-i", "0.1", "-c", str(seconds * 10), case.far.host]
    running = side.workload.box.popen(ping, netns=side.workload.name)
    told_at = time.time()
    try:
        side.restart_agent()
        out, _ = running.communicate(timeout=seconds + 60)
    finally:
        end(running)
    after = {sa["uniqueid"] for sas in side.up().values() for sa in sas}
    counts = _RECEIVED.search(out)
    sent, received = map(int, counts.groups()) if counts else (0, 0)
    lost_at = unanswered(answers(out), sent, told_at)
    return Restart(len(before - after), len(before), sent - received, sent, lost_at)


def unanswered(
    came: Sequence[tuple[float, int]], sent: int, since: float, every: float = 0.1
) -> tuple[float, ...]:
    """Return when the pings without an answer were sent, about, in seconds after `since`.

    `came`: when each answer came, and of which of the `sent`; one was sent each `every` seconds.
    """
    if not came:
        return ()
    first = min(at - number * every for at, number in came)
    missing = set(range(1, sent + 1)) - {number for _, number in came}
    return tuple(round(first + number * every - since, 1) for number in sorted(missing))


def idle(side: Side, seconds: float) -> float:
    """Return how much of a core the agent takes while nothing is asked of it, in percent."""
    before = side.agent_cpu()
    time.sleep(seconds)  # a time with nothing in it is what is measured
    return 100 * (side.agent_cpu() - before) / seconds
