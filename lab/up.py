"""Bring a lab up and take it down."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import fcntl
import functools
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence

from lab import (
    bus,
    database,
    keystone,
    neutron,
    openvswitch,
    ovn,
    ovs,
    predecessor,
    services,
    wires,
)
from lab.boxes import OWN_DIRECTORIES, Box, holders, tail
from lab.clients import connect, write_configuration
from lab.layout import (
    CACHE,
    INTERNET_BOX,
    ROOT,
    STATE,
    USER_BOX,
    VENV,
    WEB_HOST,
    CloudPlan,
    Lab,
    LabError,
)
from lab.netns import within
from lab.processes import kill, reap, wait_for
from lab.services import Service
from lab.steps import Step, Timing, run

MADE = ".made"  # which mount points in /var/lib didn't exist before the first lab
# Seconds that agents have until they live: half a minute alone, but other labs may come up beside.
_AGENTS = 180


def up(lab: Lab) -> dict[str, Timing]:
    """Bring the lab up, from nothing or a crashed run's rest; return when what was done."""
    with locked(lab):
        begin = time.monotonic()
        clean(lab)
        prepare(lab)
        timings = run(_steps(lab))
        total = {"all": Timing(0, time.monotonic() - begin)} | timings
        seconds = {name: dataclasses.asdict(t) for name, t in total.items()}
        (lab.state / "timings.json").write_text(json.dumps(seconds, indent=1))
        return total


def down(lab: Lab) -> None:
    """Remove everything of the lab, except caches."""
    with locked(lab):
        clean(lab)


@contextlib.contextmanager
def locked(lab: Lab) -> Iterator[None]:
    """Hold the lab's lock; LabError if another process changes this lab now."""
    CACHE.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (CACHE / f"{lab.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"another process brings lab {lab.name} up or down") from None
        yield


def clean(lab: Lab) -> None:
    """End all boxes of the lab, with all in them, and remove its files."""
    found = holders(lab).values()
    kill([process for holder in found for process in (*holder.children(), holder)])
    reap()
    for unfinished in CACHE.glob(lab.unfinished("*").name):
        shutil.rmtree(unfinished)
    # A dead box's last processes may still be leaving: their files are busy until then.
    wait_for(lambda: _remove(lab.state), 10, f"removing {lab.state}")
    _remove_what_labs_share()


def _remove_what_labs_share() -> None:
    """Remove directories that were made for labs, if this was the last one."""
    with _machine_lock():
        if not STATE.exists() or any(p.name != MADE for p in STATE.iterdir()):
            return
        for made in (STATE / MADE).glob("*"):
            with contextlib.suppress(OSError):  # somebody else uses it by now
                pathlib.Path(made.read_text()).rmdir()
        shutil.rmtree(STATE)


@contextlib.contextmanager
def _machine_lock() -> Iterator[None]:
    """Hold what keeps labs that come and go at the same time apart, for a moment."""
    with (CACHE / "machine.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove(path: pathlib.Path) -> bool:
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return not path.exists()
    except OSError:
        return False
    return True


def prepare(lab: Lab) -> None:
    """Make the lab's directories and its configuration; boxes come after."""
    for cloud in lab.clouds:
        if not cloud.venv.exists():
            make = f"{VENV}/bin/python -m tests.oracles.environments {cloud.venv.name}"
            raise LabError(f"there is no {cloud.venv}: {make}")
        if cloud.predecessor:
            predecessor.check()
    with _machine_lock():
        STATE.mkdir(mode=0o700, exist_ok=True)
        lab.state.mkdir(mode=0o700)
        (STATE / MADE).mkdir(exist_ok=True)
        for directory in OWN_DIRECTORIES:
            if not os.path.isdir(directory):
                (STATE / MADE / directory.replace("/", "_")).write_text(directory)
                pathlib.Path(directory).mkdir(parents=True)
    lab.shape_file.write_text(json.dumps(dataclasses.asdict(lab.shape)))
    names = [
        f"{chassis.management(cloud.number)} {chassis.name}"
        for cloud in lab.clouds
        for chassis in cloud.chassis
    ]
    hosts = ["127.0.0.1 localhost", "::1 localhost", *names]
    (lab.state / "hosts").write_text("\n".join(hosts) + "\n")
    write_configuration(lab)
    for cloud in lab.clouds:
        for chassis in cloud.chassis:
            neutron.write_configuration(lab, cloud, chassis)


def _steps(lab: Lab) -> list[Step]:
    steps = [
        Step("boxes and wires", functools.partial(_make_boxes, lab)),
        Step("MariaDB", functools.partial(_start_database, lab), ["boxes and wires"]),
        Step("internet", functools.partial(_start_internet, lab), ["boxes and wires"]),
    ]
    for cloud in lab.clouds:
        steps += _cloud_steps(lab, cloud)
    return steps


def _cloud_steps(lab: Lab, cloud: CloudPlan) -> list[Step]:
    def step(name: str, work: Callable[..., object], *after: str) -> Step:
        names = [a if a in ("MariaDB", "boxes and wires") else f"{cloud.name}: {a}" for a in after]
        return Step(f"{cloud.name}: {name}", functools.partial(work, lab, cloud), names)

    has_agents = lab.shape.swanherd and neutron.has_swanherd_agent() and cloud.has_ovn
    switch, start_switch = ("OVN", _start_ovn) if cloud.has_ovn else ("switches", _start_switches)
    steps = [
        step(switch, start_switch, "boxes and wires"),
        step("Keystone", _start_keystone, "boxes and wires"),
        step("RabbitMQ", _start_bus, "boxes and wires"),
        # OVN's driver connects to its databases as it starts.
        step("Neutron API", neutron.start_api, "MariaDB", *(["OVN"] if cloud.has_ovn else [])),
        step("RPC server", neutron.start_rpc, "Neutron API", "RabbitMQ"),
        step("workers", neutron.start_workers, "Neutron API", "RabbitMQ"),
    ]
    last = "RPC server"
    if has_agents:
        last = "VPN agents started"
        steps += [step(last, _start_agents, "RPC server")]
    elif not cloud.has_ovn:
        last = "agents started"
        steps += [step(last, _start_ovs_agents, "RPC server", switch)]
    return [*steps, step("agents alive", _wait_for_agents, "Keystone", "workers", last)]


def _make_boxes(lab: Lab) -> None:
    boxes = [Box(lab, name) for name in lab.box_names]
    run_quietly([functools.partial(box.start) for box in boxes])
    wires.lay_common(lab)
    for cloud in lab.clouds:
        for chassis in cloud.chassis:
            wires.lay_chassis(lab, cloud, chassis.name)


def run_quietly(works: Sequence[Callable[[], object]]) -> None:
    """Do independent pieces of work at once; the first problem is raised when all have ended."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result()


def _start_internet(lab: Lab) -> None:
    """Let the internet's host tell each client its address: on TCP port 80, IPv4 and IPv6."""
    inet = Box(lab, INTERNET_BOX)
    python = f"{VENV}/bin/python"
    argv = ("nsenter", f"--net=/run/netns/{WEB_HOST}", python, str(ROOT / "lab/whoami.py"))
    services.start(inet, Service("whoami", argv))


def _start_database(lab: Lab) -> str:
    return database.start(lab, functools.partial(neutron.migrate, lab))


def _start_ovn(lab: Lab, cloud: CloudPlan) -> None:
    ovn.start_central(lab, cloud)
    run_quietly([functools.partial(ovn.start_chassis, lab, cloud, c) for c in cloud.chassis])
    ovn.wait_for_chassis(lab, cloud)


def _start_switches(lab: Lab, cloud: CloudPlan) -> None:
    works = [functools.partial(openvswitch.start, lab, cloud, c, {}) for c in cloud.chassis]
    run_quietly(works)


def _start_ovs_agents(lab: Lab, cloud: CloudPlan) -> None:
    topics = (*ovs.TOPICS, *(predecessor.TOPICS if cloud.predecessor else ()))
    ovs.wait_for_rpc(lab, cloud, topics)
    for chassis in cloud.chassis:
        ovs.start_agent(lab, cloud, chassis, ovs.L2_AGENT)
        if cloud.predecessor and chassis.gateway:
            predecessor.start_agent(lab, cloud, chassis)
        else:
            ovs.start_agent(lab, cloud, chassis, ovs.L3_AGENT)


def _start_keystone(lab: Lab, cloud: CloudPlan) -> str:
    note = keystone.start(lab, cloud)
    keystone.wait(lab, cloud)
    return note


def _start_bus(lab: Lab, cloud: CloudPlan) -> None:
    bus.start(lab, cloud)
    bus.wait(lab, cloud)


def _start_agents(lab: Lab, cloud: CloudPlan) -> None:
    start = predecessor.start_agent if cloud.predecessor else neutron.start_agent
    if cloud.predecessor:
        ovs.wait_for_rpc(lab, cloud, predecessor.TOPICS)
    for chassis in cloud.gateways:
        start(lab, cloud, chassis)


def _agents(lab: Lab, cloud: CloudPlan) -> set[tuple[str, str]]:
    """Return the host and the program of each agent that must be there."""
    kinds = ("ovn-controller",) if cloud.has_ovn else (ovs.L2_AGENT, ovs.L3_AGENT)
    wanted = {(c.name, kind) for c in cloud.chassis for kind in kinds}
    if cloud.has_ovn and lab.shape.swanherd and neutron.has_swanherd_agent():
        agent = predecessor.AGENT if cloud.predecessor else neutron.AGENT
        wanted |= {(c.name, agent) for c in cloud.gateways}
    return wanted


def _wait_for_agents(lab: Lab, cloud: CloudPlan) -> str:
    """Wait until the API shows every agent alive, and every service still runs."""
    missing = _agents(lab, cloud)

    def listed() -> list[str]:
        for chassis in cloud.chassis:
            services.check(Box(lab, chassis.name))
        agents = [a for a in network.agents() if a.is_alive]
        missing.difference_update((a.host, a.binary) for a in agents)
        return [] if missing else [f"{a.agent_type} {a.host}" for a in agents]

    def poll() -> list[str]:
        return wait_for(listed, _AGENTS, f"{cloud.name}: agents alive", every=0.5)

    user = Box(lab, USER_BOX)
    network = within(user, lambda: connect(lab, f"admin-{cloud.name}").network)
    try:
        return ", ".join(within(user, poll))
    except LabError as error:
        if not missing:
            raise
        logs = (tail(lab.log(host, binary)) for host, binary in sorted(missing))
        raise LabError("; ".join([f"{error}, missing {sorted(missing)}", *logs])) from None
