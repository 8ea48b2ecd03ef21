"""Two namespaces joined by a wire, a charon for each, and waiting without sleeping."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import vici

from swanherd.core.ike import (
    CharonOptions,
    IkeConfig,
    Initiate,
    LoadConfig,
    LoadSecret,
    ObservedCharon,
    StartCharon,
    TerminateIke,
    UnloadConfig,
    UnloadSecret,
)
from swanherd.core.model import (
    DataPlane,
    IkeVersion,
    RouterId,
    Secret,
    SiteConnection,
    TrafficSelector,
)
from swanherd.core.peering import ike_config
from swanherd.dataplane import daemons
from swanherd.swan.adapter import StrongSwan
from swanherd.swan.charon import Surroundings
from swanherd.swan.settings import Retransmission
from swanherd.testing import builders

KEY = Secret("k" * 64)
# The kernel of the machine may have ESP or not (docs: kernel tests run in a kernel that has).
PLANE = DataPlane(os.environ.get("SWANHERD_TEST_DATA_PLANE", "userspace"))
OPTIONS = CharonOptions(PLANE)
WEST_ADDRESS, EAST_ADDRESS = "192.0.2.1", "192.0.2.2"
WEST_NET, EAST_NET = "10.91.0.0/24", "10.92.0.0/24"
BRISK = Retransmission(timeout=0.3, base=1.5, tries=3, limit=1.0)


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout


class Looks:
    """What `on_event` asked for; waiting for a state looks again only when asked to."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    def __call__(self, _: RouterId) -> None:
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def until(self, met: Callable[[], bool], limit: float = 10.0) -> None:
        deadline = time.monotonic() + limit
        while True:
            with self._condition:
                before = self._count
            if met():
                return
            with self._condition:
                if self._count == before:
                    left = deadline - time.monotonic()
                    asked = self._condition.wait_for(lambda: self._count != before, left)  # noqa: B023
                    assert asked, "no event came"


@dataclasses.dataclass
class Stage:
    """Both ends; `swan` serves them as two routers of one node."""

    state: Path
    west: RouterId
    east: RouterId
    namespaces: dict[RouterId, str]
    looks: Looks
    swan: StrongSwan

    def new_agent(self) -> StrongSwan:
        """Another adapter on the same state: what an agent is after its restart."""
        surroundings = Surroundings(
            self.state, self.spawn, self.namespace_inode, daemons, time.monotonic
        )
        return StrongSwan(surroundings, self.looks, BRISK)

    def spawn(
        self, router_id: RouterId, argv: Sequence[str], env: Mapping[str, str], output: str
    ) -> int:
        command = ("ip", "netns", "exec", self.namespaces[router_id], *argv)
        with open(output, "ab") as file:
            process = subprocess.Popen(
                command, env=dict(env), stdout=file, stderr=file, start_new_session=True
            )
        threading.Thread(target=process.wait, daemon=True).start()
        return process.pid

    def namespace_inode(self, router_id: RouterId) -> int | None:
        name = self.namespaces.get(router_id)
        path = Path("/run/netns") / name if name else None
        return path.stat().st_ino if path is not None and path.exists() else None

    def start(self, options: CharonOptions = OPTIONS) -> None:
        for router in (self.west, self.east):
            self.swan.apply(router, StartCharon(options))

    def load(self, router: RouterId, connection: SiteConnection) -> IkeConfig:
        config = ike_config(connection, KEY)
        self.swan.apply(router, LoadSecret(config.connection))
        self.swan.apply(router, LoadConfig(config))
        return config

    def initiate(self, router: RouterId, config: IkeConfig) -> None:
        for child, _ in config.children:
            self.swan.apply(router, Initiate(config.name, child))

    def wait(self, router: RouterId, met: Callable[[ObservedCharon], bool]) -> ObservedCharon:
        """Return the first observation that is as wanted, looking only when an event says so."""
        seen: list[ObservedCharon] = []

        def look() -> bool:
            seen.append(self.swan.observe(router))
            return met(seen[-1])

        try:
            self.looks.until(look)
        except AssertionError:
            raise AssertionError(f"last seen: {seen[-1]}") from None
        return seen[-1]

    def fault(self, router: RouterId, config: IkeConfig, code: str) -> None:
        """Wait until the config's fault has that code."""
        self.wait(router, lambda o: (config.name, code) in {(f.config, f.code) for f in o.faults})

    def pid(self, router: RouterId) -> int:
        import json

        return int(json.loads((self.state / router / "charon.json").read_text())["pid"])


def pair(**changes: object) -> tuple[SiteConnection, SiteConnection]:
    """Return a connection as west and as east have it."""
    fields: dict[str, object] = {
        "local_address": ipaddress.ip_address(WEST_ADDRESS),
        "peer_address": EAST_ADDRESS,
        "peer_id": EAST_ADDRESS,
        "selectors": (builders.selector(WEST_NET, EAST_NET),),
    }
    west = builders.connection("west", **(fields | changes))
    return west, mirror(west)


def mirror(connection: SiteConnection, **changes: object) -> SiteConnection:
    """Return the peer's view of a connection."""
    local_id = connection.local_id or str(connection.local_address)
    view = dataclasses.replace(
        connection,
        id=builders.make_id(f"mirror of {connection.id}"),
        local_address=ipaddress.ip_address(connection.peer_address),
        peer_address=str(connection.local_address),
        local_id=connection.peer_id,
        peer_id=local_id,
        selectors=tuple(TrafficSelector(s.remote, s.local) for s in connection.selectors),
    )
    return dataclasses.replace(view, **changes)


def children_up(config: IkeConfig) -> Callable[[ObservedCharon], bool]:
    """Tell whether all children of the config are installed."""
    names = {name for name, _ in config.children}

    def met(observed: ObservedCharon) -> bool:
        return names <= {
            child.name
            for sa in observed.ike_sas
            if sa.config == config.name
            for child in sa.children
            if child.state == "INSTALLED"
        }

    return met


def ask(stage: Stage, router: RouterId, command: str, event: str) -> list[dict[str, Any]]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(stage.state / router / "charon.vici"))
        return list(vici.Session(sock).streamed_request(command, event))


class Tunnel:
    """A connection that is up while the block runs."""

    def __init__(self, stage: Stage, west: SiteConnection, east: SiteConnection) -> None:
        self.stage = stage
        self.ends = ((stage.west, west), (stage.east, east))
        self.configs: list[IkeConfig] = []

    def __enter__(self) -> IkeConfig:
        self.configs = [self.stage.load(router, c) for router, c in self.ends]
        self.stage.initiate(self.stage.west, self.configs[0])
        for (router, _), config in zip(self.ends, self.configs, strict=True):
            self.stage.wait(router, children_up(config))
        return self.configs[0]

    def __exit__(self, *_: object) -> None:
        stage = self.stage
        for (router, _), config in zip(self.ends, self.configs, strict=True):
            stage.swan.apply(router, UnloadConfig(config.name))
            stage.swan.apply(router, UnloadSecret(config.connection.id))
            for sa in stage.swan.observe(router).ike_sas:
                stage.swan.apply(router, TerminateIke(sa.unique_id, force=True))
            stage.wait(router, lambda o: not o.ike_sas)

    def negotiated(self) -> tuple[dict[str, str], ...]:
        """Return what list-sas says of the IKE SA, then of each child as they were made."""
        (message,) = ask(self.stage, self.stage.west, "list-sas", "list-sa")
        (ike,) = message.values()
        children = sorted(ike["child-sas"].values(), key=lambda child: int(child["uniqueid"]))
        return tuple(
            {k: v.decode() for k, v in sa.items() if isinstance(v, bytes)}
            for sa in (ike, *children)
        )


def policies(version: IkeVersion, **changes: str) -> dict[str, Any]:
    return {
        "ike": builders.ike_policy(version=version, **changes),
        "ipsec": builders.ipsec_policy(**changes),
    }


@contextmanager
def make_stage() -> Iterator[Stage]:
    tag = uuid.uuid4().hex[:6]
    west, east = RouterId(str(uuid.uuid4())), RouterId(str(uuid.uuid4()))
    namespaces = {west: f"swan-{tag}-w", east: f"swan-{tag}-e"}
    state = Path(tempfile.mkdtemp(prefix=f"swan-{tag}-"))
    looks = Looks()
    stage = Stage(state, west, east, namespaces, looks, None)  # type: ignore[arg-type]
    try:
        _wire(stage)
        stage.swan = stage.new_agent()
        yield stage
    finally:
        _strike(stage)


def _wire(stage: Stage) -> None:
    west, east = stage.namespaces[stage.west], stage.namespaces[stage.east]
    for name in (west, east):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    run("ip", "-n", west, "link", "add", "wire", "type", "veth", "peer", "wire", "netns", east)
    # Userspace ESP needs an address of each local selector in the namespace.
    for name, outside, inside in (
        (west, (f"{WEST_ADDRESS}/24", "2001:db8::1/64"), ("10.91.0.1/32", "fd91::1/128")),
        (
            east,
            (f"{EAST_ADDRESS}/24", "2001:db8::2/64"),
            ("10.92.0.1/32", "10.93.0.1/32", "fd92::1/128"),
        ),
    ):
        for device, addresses in (("wire", outside), ("lo", inside)):
            for address in addresses:
                nodad = ("nodad",) if ":" in address else ()
                run("ip", "-n", name, "address", "add", address, "dev", device, *nodad)
        run("ip", "-n", name, "link", "set", "wire", "up")


def _strike(stage: Stage) -> None:
    if stage.swan is not None:
        stage.swan.close()
    for name in stage.namespaces.values():
        done = subprocess.run(
            ("ip", "netns", "pids", name), capture_output=True, text=True, timeout=10, check=False
        )
        for pid in map(int, done.stdout.split()):
            os.kill(pid, 9)
        subprocess.run(("ip", "netns", "del", name), timeout=10, check=False)
    shutil.rmtree(stage.state, ignore_errors=True)
