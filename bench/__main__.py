"""`make bench`: figures of this machine, printed and written to build/bench.json.

Brings up a lab of its own (SWANHERD_LAB, default `bench`). All times are seconds of wall clock
as a user sees them through the API; memory is the resident set (RSS) of whole processes.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import math
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from bench.moments import moments
from bench.results import Result, write
from lab import services
from lab import up as lifecycle
from lab.boxes import Box
from lab.cloud import Cloud
from lab.layout import ROOT, Lab, LabError, Shape
from lab.processes import beside, wait_for
from lab.sites import Workload, boot, make_public, make_site
from lab.user import enter
from lab.vpn import End, connect, make_end, wait_status
from swanherd.cmd.swanherdctl import ask

TRIES = int(os.environ.get("TRIES", "20"))
CONNECTIONS = 10  # on the router whose memory is measured


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """Two ends with a workload each."""

    one: End
    other: End
    here: Workload
    there: Workload

    @property
    def cidrs(self) -> tuple[str, str]:
        """The subnets of both ends."""
        (one,), (other,) = self.one.site.subnets, self.other.site.subnets
        return one, other


def main() -> int:
    """Measure everything; the exit status is 1 if a promise isn't kept."""
    lab = Lab(os.environ.get("SWANHERD_LAB", "bench"), Shape())
    # In a lab's network there is no registry from which it could be installed.
    making = [sys.executable, "-m", "tests.oracles.environments", "vpnaas-29"]
    subprocess.run(making, cwd=ROOT, check=True)
    try:
        began = time.monotonic()
        lifecycle.up(lab)
        results = [Result("lab_up_s", time.monotonic() - began, "s")]
        enter(lab)
        results += measure(lab)
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if not os.environ.get("KEEP"):
            lifecycle.down(lab)
    failed = False
    for stage in (many_connections, requests, demo_timings):
        try:
            results += stage()
        except LabError as error:
            failed = True
            print(f"bench: {error}", file=sys.stderr)
    return write(results) or int(failed)


def measure(lab: Lab) -> Iterator[Result]:
    """Yield the figures of a running lab."""
    clouds = Cloud(lab, "a"), Cloud(lab, "b")
    for cloud in clouds:
        make_public(cloud)
    yield Result("agent_rss_idle_mb", agent_memory(clouds[0]), "MB", 120)
    stage = make_stage(clouds)
    wait_for(lambda: charons(clouds[0].central), 30, "charon runs")
    tries = [one_try(stage) for _ in range(TRIES)]
    yield Result("first_ping_p95_s", p95([t[0] for t in tries]), "s", 3)
    yield Result("first_ping_median_s", median([t[0] for t in tries]), "s")
    yield Result("event_to_status_p95_s", p95([t[1] for t in tries]), "s", 2)
    with older(stage):
        tries = [one_try(stage) for _ in range(TRIES)]
        yield Result("first_ping_ikev1_p95_s", p95([t[0] for t in tries]), "s", 3)
    yield from changes(stage)
    yield from memory_of_router(stage)


def make_stage(clouds: Sequence[Cloud]) -> Stage:
    """Make two sites with workloads and VPN services."""
    ends, workloads = [], []
    for number, cloud in enumerate(clouds, 1):
        client = cloud.connect()
        site = make_site(cloud, client, f"bench-{cloud.name}", [f"10.{number}.0.0/24"])
        workloads.append(boot(cloud, client, site, "bench"))
        ends.append(make_end(cloud, client, site))
    return Stage(ends[0], ends[1], workloads[0], workloads[1])


def one_try(stage: Stage) -> tuple[float, float]:
    """Return the seconds from the second POST to the first ping, and from an SA to its ACTIVE."""
    ends, (near, far) = (stage.one, stage.other), stage.cidrs
    with contextlib.ExitStack() as stack:
        heard = [
            stack.enter_context(moments(end.cloud.central, end.site.router_id)) for end in ends
        ]
        first = connect(stage.one, stage.other.address(4), [near], [far])
        posted = time.monotonic()
        second = connect(stage.other, stage.one.address(4), [far], [near])
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor())
        active = pool.map(active_at, ends, (first, second))
        stage.here.wait_for_ping(stage.there.ipv4, 30)
        pinged = time.monotonic()
        late = max(seen - up.first() for seen, up in zip(active, heard, strict=True))
    for end in ends:
        remove_connections(end)
    for end in ends:
        wait_for(lambda e=end: not configs(e), 20, "charon has no config")  # type: ignore[misc]
    return pinged - posted, late


@contextlib.contextmanager
def older(stage: Stage) -> Iterator[None]:
    """Let both ends' next connections speak IKEv1."""
    ends = (stage.one, stage.other)
    for end in ends:
        end.client.network.update_vpn_ike_policy(end.ike.id, ike_version="v1")
    yield
    for end in ends:
        end.client.network.update_vpn_ike_policy(end.ike.id, ike_version="v2")


def active_at(end: End, connection_id: str) -> float:
    """Return when the API said ACTIVE (monotonic seconds; it is asked every 0.05 s)."""
    wait_status(end, connection_id, "ACTIVE")
    return time.monotonic()


def remove_connections(end: End) -> None:
    """Delete the connections and groups of an end."""
    network = end.client.network
    for kind, resource_id in sorted(end.made):
        if kind == "connection":
            network.delete_vpn_ipsec_site_connection(resource_id)
        else:
            network.delete_vpn_endpoint_group(resource_id)
    end.made.clear()


def changes(stage: Stage) -> Iterator[Result]:
    """Yield how long a PUT takes until charon has it."""
    near, far = stage.cidrs
    first = connect(stage.one, stage.other.address(4), [near], [far])
    second = connect(stage.other, stage.one.address(4), [far], [near])
    wait_status(stage.one, first, "ACTIVE")
    wait_status(stage.other, second, "ACTIVE")
    network, times, answered = stage.one.client.network, [], []
    for number in range(TRIES):
        before = configs(stage.one)
        began = time.monotonic()
        network.update_vpn_ipsec_site_connection(
            first, dpd={"action": "restart", "interval": 20 + number, "timeout": 120}
        )
        answered.append(time.monotonic() - began)
        wait_for(lambda: configs(stage.one) - before, 20, "charon has the change", every=0.02)  # noqa: B023
        times.append(time.monotonic() - began)
        wait_status(stage.one, first, "ACTIVE")
    yield Result("put_to_effect_p95_s", p95(times), "s", 1)
    yield Result("put_p95_s", p95(answered), "s")
    for end in (stage.one, stage.other):
        remove_connections(end)


def memory_of_router(stage: Stage) -> Iterator[Result]:
    """Yield what a router with ten connections costs: charon and the agent's growth."""
    cloud = stage.one.cloud
    near, _ = stage.cidrs
    for number in range(CONNECTIONS):
        connect(stage.one, f"198.51.100.{240 - number}", [near], [f"10.77.{number}.0/24"])
    wait_for(lambda: len(configs(stage.one)) == CONNECTIONS, 30, "all are loaded")
    box = cloud.central
    yield Result("agent_rss_mb", agent_memory(cloud), "MB", 120)
    (pid,) = charons(box)
    yield Result("charon_rss_10_connections_mb", rss(pid), "MB", 12)
    remove_connections(stage.one)


def configs(end: End) -> set[str]:
    """Return the names of the configs that charon has for the end's router."""
    root = pathlib.Path(f"/proc/{end.cloud.central.init().pid}/root")
    socket = root / "var/lib/swanherd/agent.sock"
    view = ask(socket, {"command": "show", "router": end.site.router_id})
    loaded: list[dict[str, Any]] = view["observed"]["charon"]["configs"]
    return {config["name"] for config in loaded}


def agent_memory(cloud: Cloud) -> float:
    """Return the agent's resident memory in MB."""
    process = services.find(cloud.central, "swanherd-ovn-agent").main
    return rss(process.pid)


def charons(box: Box) -> list[int]:
    """Return the process ids (outside) of the box's IKE daemons."""
    return beside(box.init().pid, "charon-systemd")


def rss(pid: int) -> float:
    """Return a process' resident set in MB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile: of 20 values the 19th."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def median(values: Sequence[float]) -> float:
    """Return the middle one (the upper of two)."""
    return sorted(values)[len(values) // 2]


def many_connections(count: int = 1000) -> Iterator[Result]:
    """Yield the figures of many connections on one router, out of `bench.scale`."""
    command = [sys.executable, "-m", "bench.scale", "--connections", str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise LabError(f"{count} connections: exit status {done.returncode}")
    seen = json.loads(done.stdout)
    yield Result(f"up_{count}_s", seen["up_s"], "s")
    yield Result(f"edit_{count}_cpu_ms", seen["edit_cpu_ms"], "ms", 50)
    yield Result(f"agent_rss_{count}_mb", seen["rss_mb"], "MB", 120)
    yield Result(f"scrape_{count}_s", seen["scrape_s"], "s", 0.5)
    yield Result(f"restart_{count}_s", seen["restart_s"], "s", 10)
    yield Result(f"restart_{count}_lost", seen["restart_lost"], "", 0)
    yield Result(f"restart_{count}_rebuilt", seen["restart_rebuilt"], "", 0)


def requests(count: int = 1000) -> Iterator[Result]:
    """Yield what the API costs beside neutron-vpnaas, out of the test that measures it."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/functional/server/test_speed.py"]
    measured = ROOT / "build/api.json"
    measured.unlink(missing_ok=True)  # an earlier run's figures aren't this one's
    done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
    if not measured.exists():
        raise LabError(f"the API's costs weren't measured: exit status {done.returncode}")
    seen = json.loads(measured.read_text())
    for name, unit in ((f"list_{count}_queries", ""), (f"list_{count}_s", "s")):
        peer = seen[f"list_{count}_neutron_vpnaas_{unit or 'queries'}"]
        yield Result(name, seen[name], unit, 6 if not unit else peer, peer)
    yield Result("post_p95_s", seen["post_p95_s"], "s", 0.15)


def demo_timings() -> Iterator[Result]:
    """Yield the last demo's times, if there was one."""
    try:
        timings = json.loads((ROOT / "build/demo.json").read_text())["timings"]
    except (OSError, ValueError, KeyError):
        return
    if "first_ping" in timings:
        yield Result("demo_first_ping_s", timings["first_ping"], "s", 90)


if __name__ == "__main__":
    sys.exit(main())
