"""`python -m bench.scale`: many connections on one router and on many; prints JSON.

Without a cloud: the real agent, its real bus, and a stand-in for the server.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import planes
from bench.scale import wanted
from bench.scale.pings import Pings
from bench.scale.stage import Stage, staged
from lab.processes import beside
from swanherd.cmd.swanherdctl import ask
from swanherd.core.model import DataPlane, DesiredRouter


def main() -> int:
    """Measure what the arguments say."""
    parser = argparse.ArgumentParser(prog="bench.scale", description=__doc__)
    parser.add_argument("--routers", type=int, default=1)
    parser.add_argument("--connections", type=int, default=1000, help="in all")
    parser.add_argument("--name", default="scalebench", help="the lab's name")
    parser.add_argument("--edits", type=int, default=10)
    parser.add_argument(
        "--idle", type=float, default=45, help="seconds to watch for; 0: not at all"
    )
    parser.add_argument("--soak", type=float, default=0, help="seconds to watch memory for")
    parser.add_argument(
        "--upgrade-from",
        type=Path,
        metavar="SRC",
        help="another version's folder `src`: its agent begins, the restart is to this one's",
    )
    parser.add_argument("--profile", help="a file, not below /tmp, for cProfile's figures")
    planes.add_options(parser)
    options = parser.parse_args()
    machine = planes.Machine()
    plane = DataPlane(options.plane)
    with staged(options.name, count=options.connections, plane=plane) as stage:
        figures = dict(measure(stage, options))
    shape = {name: getattr(options, name) for name in ("plane", "routers", "connections")}
    document = {**machine.plain(), **shape, "figures": figures}
    print(json.dumps(figures, indent=2))
    if options.out:
        planes.write(Path(options.out), document)
    return 0


def measure(stage: Stage, options: Any) -> Iterator[tuple[str, Any]]:
    """Yield figures by name."""
    stage.start_agent(source=options.upgrade_from and options.upgrade_from.resolve())
    stage.server.wait_compared(60)
    yield "rss_idle_mb", rss(stage.agent)
    each = options.connections // options.routers
    routers = [
        wanted.router(r, 1, tuple(wanted.connection(r * each + i, r) for i in range(each)))
        for r in range(options.routers)
    ]
    began = time.monotonic()
    stage.peers.load([c for r in routers for c in r.connections])
    say(f"peers loaded: {time.monotonic() - began:.1f} s")
    stage.place([router.id for router in routers])
    cpu = cpu_of(stage.agent)
    began = time.monotonic()
    stage.server.set(routers)
    for router in routers:
        stage.plug(router.id)
    say(f"plugged: {time.monotonic() - began:.1f} s")
    stage.server.wait_active(600)
    yield "up_s", time.monotonic() - began
    yield "up_cpu_s", cpu_of(stage.agent) - cpu
    say(f"all are up: {time.monotonic() - began:.1f} s")
    settle(stage)
    yield "rss_mb", rss(stage.agent)
    yield "rss_charons_mb", sum(rss(pid) for pid in charons(stage))
    yield from scrapes(stage)
    if options.profile:
        Path(options.profile).with_suffix(".begin").unlink(missing_ok=True)
        # Only what an edit costs: what came before is no part of the figures.
        stage.stop_agent()
        stage.start_agent(str(Path(options.profile).resolve()))
        stage.server.wait_compared(60)
        settle(stage, limit=20.0)
        Path(options.profile).with_suffix(".begin").touch()
        time.sleep(1.0)  # the profiler looks for it all the time
    if not options.profile:
        yield from resync(stage, routers)
    if options.edits:
        yield from edits(stage, routers, options.edits)
    if options.profile:
        stage.stop_agent()
        return
    if options.idle:
        yield from idle(stage, options.idle)
    change = stage.upgrade_agent if options.upgrade_from else stage.restart_agent
    yield from restart(stage, routers, change)
    if options.soak:
        yield from soak(stage, routers, options.soak)


# Seconds after which what follows an edit is done.
_WINDOW = 2.0


def settle(stage: Stage, quiet: float = 3.0, limit: float = 120.0) -> None:
    """Wait until the agent hardly works for some seconds; with a profiler it never does."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        before = cpu_of(stage.agent)
        time.sleep(quiet)
        if cpu_of(stage.agent) - before < 0.05 * quiet:
            return


def scrapes(stage: Stage, count: int = 10) -> Iterator[tuple[str, Any]]:
    """Yield what it costs to read the agent's metrics."""
    url = "http://127.0.0.1:9699/metrics"
    times, cpu, page = [], cpu_of(stage.agent), b""
    for _ in range(count):
        began = time.monotonic()
        with urllib.request.urlopen(url, timeout=30) as answer:
            page = answer.read()
        times.append(time.monotonic() - began)
    yield "scrape_s", median(times)
    yield "scrape_cpu_ms", (cpu_of(stage.agent) - cpu) / count * 1000
    yield "scrape_kb", len(page) / 1024
    yield "scrape_samples", sum(not line.startswith(b"#") for line in page.splitlines())


def resync(stage: Stage, routers: list[DesiredRouter]) -> Iterator[tuple[str, Any]]:
    """Yield how long it takes until all routers are told of after a hint of each, and its CPU."""
    stage.server.wait_compared(60)
    settle(stage, 1.0, 15.0)
    routers[:] = [dataclasses.replace(r, revision=r.revision + 1) for r in routers]
    cpu, began = cpu_of(stage.agent), time.monotonic()
    stage.server.set(routers)
    stage.server.wait_told(120)
    yield "resync_s", time.monotonic() - began
    yield "resync_cpu_s", cpu_of(stage.agent) - cpu


def edits(stage: Stage, routers: list[DesiredRouter], count: int) -> Iterator[tuple[str, Any]]:
    """Yield what one changed connection costs, from the hint until all is quiet again.

    What the agent does anyway (peers' probes, whole lists) is measured just before each of them.
    """
    router, times, costs, rests = routers[0], [], [], []
    for number in range(count):
        stage.server.wait_compared(60)
        settle(stage, 1.0, 15.0)
        changed = wanted.connection(number % len(router.connections), 0, edits=number + 1)
        connections = tuple(changed if c.id == changed.id else c for c in router.connections)
        router = wanted.router(0, router.revision + 1, connections)
        stage.peers.load([changed])
        cpu, began = cpu_of(stage.agent), time.monotonic()
        time.sleep(_WINDOW)
        rest = (cpu_of(stage.agent) - cpu) / (time.monotonic() - began)
        cpu, began = cpu_of(stage.agent), time.monotonic()
        stage.server.set([router])
        stage.server.wait_row(router, changed.id, 30)
        times.append(time.monotonic() - began)
        time.sleep(_WINDOW)
        whole = cpu_of(stage.agent) - cpu
        rests.append(rest * (time.monotonic() - began))
        costs.append(whole - rests[-1])
    routers[0] = router
    yield "edit_s", median(times)
    yield "edit_cpu_ms", max(0.0, median(costs)) * 1000
    yield "edit_p90_cpu_ms", max(0.0, p90(costs)) * 1000
    yield "edit_rest_cpu_ms", median(rests) * 1000
    say(f"edits: {[round(c * 1000) for c in costs]} ms, {[round(t, 2) for t in times]} s")


def idle(stage: Stage, seconds: float) -> Iterator[tuple[str, Any]]:
    """Yield the share of a core that the agent takes when nothing happens."""
    settle(stage)
    cpu = cpu_of(stage.agent)
    time.sleep(seconds)
    yield "idle_cpu_percent", (cpu_of(stage.agent) - cpu) / seconds * 100


def restart(
    stage: Stage, routers: list[DesiredRouter], change: Callable[[], None]
) -> Iterator[tuple[str, Any]]:
    """Yield how long a restart takes until all is compared, and what it cost the tunnels."""
    before = stage.peers.sas()
    hosts = [wanted.remote_host(n) for n in range(len(routers[0].connections))]
    pings = Pings(stage.workload(), hosts, 200)
    time.sleep(1)
    began = time.monotonic()
    change()
    while not ready(stage, len(routers)):
        time.sleep(0.05)
    yield "restart_s", time.monotonic() - began
    yield "restart_cpu_s", cpu_of(stage.agent)
    settle(stage)
    lost = pings.stop()
    yield "restart_pings", pings.sent
    yield "restart_lost", lost
    yield "restart_rebuilt", len(before ^ stage.peers.sas())
    yield "live_sas", len(before)


def ready(stage: Stage, count: int) -> bool:
    """Tell whether the agent has compared every router with what should be, and none waits."""
    try:
        # Of a thousand connections all reports would take it longer than what is measured.
        seen = ask(stage.socket, {"command": "agent", "brief": True})
    except (OSError, ValueError):
        return False
    return bool(seen["routers"] + seen["standby_routers"] == count and seen["queue"] == 0)


def soak(stage: Stage, routers: list[DesiredRouter], seconds: float) -> Iterator[tuple[str, Any]]:
    """Yield the agent's and its daemons' memory over time, with an edit every two seconds."""
    end, number = time.monotonic() + seconds, 1000
    seen, daemons = [rss(stage.agent)], [sum(map(rss, charons(stage)))]
    router = routers[0]
    while time.monotonic() < end:
        number += 1
        changed = wanted.connection(number % len(router.connections), 0, edits=number)
        connections = tuple(changed if c.id == changed.id else c for c in router.connections)
        router = wanted.router(0, router.revision + 1, connections)
        stage.peers.load([changed])
        stage.server.set([router])
        stage.server.wait_row(router, changed.id, 60)
        seen.append(rss(stage.agent))
        daemons.append(sum(map(rss, charons(stage))))
        time.sleep(_WINDOW)  # the pace
    for name, values in (("soak_rss_mb", seen), ("soak_rss_charons_mb", daemons)):
        yield name, [round(value, 1) for value in values[:: max(1, len(values) // 20)]]
    yield "soak_edits", number - 1000


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process has used, to the nanosecond."""
    return time.clock_gettime(~pid << 3 | 2)  # its clock's number (clock_getcpuclockid(3))


def rss(pid: int) -> float:
    """Return a process' resident set in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def charons(stage: Stage) -> list[int]:
    """Return the process ids of the agent's daemons."""
    return beside(stage.node.init().pid, "charon-systemd")


def median(values: list[float]) -> float:
    """Return the middle one (the upper of two)."""
    return sorted(values)[len(values) // 2]


def p90(values: list[float]) -> float:
    """Return the least one that nine of ten don't exceed: of fewer than ten the largest."""
    return sorted(values)[-(len(values) // 10) - 1]


def say(text: str) -> None:
    """Tell a person how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
