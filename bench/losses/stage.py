"""Routers joined by tunnels as the agent makes them.

West and east are the ones that rows change: their connection `own` protects two pairs of
networks. `beside` is another connection of west, to another peer. Far west and far east have
nothing to do with either. All routers are served by one wheel, as on one node.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import vici

from bench.losses.shapes import BesideOvn, OfL3Agent, Shape
from bench.losses.sites import EAST, SITES, WEST, Site, connections_of
from bench.losses.tidy import is_tidy
from bench.losses.wires import WIRE, run
from swanherd.agent.drift import Drift
from swanherd.agent.life import Life
from swanherd.agent.names import NAMES_INTERVAL, Names, look_up
from swanherd.agent.node import Bridge, OvnNode
from swanherd.core.ike import IkeSa, SaState
from swanherd.core.model import (
    ConnectionId,
    DataPlane,
    DesiredRouter,
    IkeVersion,
    RouterId,
    RouterReport,
    RowStatus,
    Service,
    ServiceId,
    SiteConnection,
    Status,
    TrafficSelector,
)
from swanherd.core.tunnels import Timing
from swanherd.dataplane import daemons, namespace
from swanherd.reconcile.loop import World
from swanherd.reconcile.ports import Node
from swanherd.reconcile.resolver import ResolvingSource
from swanherd.reconcile.wheel import Wheel
from swanherd.swan.adapter import StrongSwan
from swanherd.swan.charon import Surroundings
from swanherd.swan.settings import Retransmission
from swanherd.testing import builders

GRACE = 3.0  # seconds that the old SA stays while the peer refuses the new one
LIMIT = 30.0  # seconds to wait for anything


class Never(AssertionError):
    """What a row waits for doesn't come."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What a stage is: `delay_ms` one way, `make_node` for kernels that need another guard.

    `l3`: the routers are those of an L3 agent, not of OVN.
    """

    plane: DataPlane
    version: IkeVersion
    delay_ms: float = 0
    grace: float = GRACE
    path_mtu: int = 1500
    retransmission: Retransmission = Retransmission()  # noqa: RUF009 (frozen)
    make_node: Callable[[Bridge], Node] = OvnNode
    l3: bool = False


class Cloud:
    """Source and reporter of the wheel: what is wanted, and what was last said of it."""

    def __init__(self) -> None:
        self.wanted: dict[RouterId, DesiredRouter] = {}
        self._said: dict[RouterId, RouterReport] = {}
        self._changed = threading.Condition()

    def get_router(self, router_id: RouterId) -> DesiredRouter | None:
        """Return what the router should be."""
        return self.wanted.get(router_id)

    def get_revisions(self) -> Mapping[RouterId, int]:
        """Return the routers' revisions."""
        return {i: desired.revision for i, desired in self.wanted.items()}

    def report(self, reports: Sequence[RouterReport]) -> None:
        """Take in what an agent says."""
        with self._changed:
            self._said |= {report.router_id: report for report in reports}
            self._changed.notify_all()

    def row(self, router_id: RouterId, connection_id: ConnectionId) -> RowStatus | None:
        """Return what was said of a connection under its router's present revision."""
        report = self._said.get(router_id)
        if report is None or report.revision != self.wanted[router_id].revision:
            return None
        return next((row for row in report.connections if row.id == connection_id), None)

    def until(self, met: Callable[[], bool], limit: float = LIMIT) -> bool:
        """Wait for reports until something is so; return whether it came."""
        with self._changed:
            return self._changed.wait_for(met, limit)


class Stage:
    """The running stage; a context manager. It needs namespaces of its own: see `alone`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.cloud = Cloud()
        self._state = Path(tempfile.mkdtemp(prefix="losses-"))
        self.connections = {s: connections_of(s, settings.version) for s in SITES}
        self.shape: Shape = (
            OfL3Agent(settings.delay_ms)
            if settings.l3
            else BesideOvn(settings.delay_ms, settings.make_node)
        )
        self.key = self.shape.key
        self._revision = 0
        # The services that are administratively down.
        self.off: frozenset[ServiceId] = frozenset()
        self.look_up = look_up
        self.start_agent()

    def __enter__(self) -> Stage:
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _begin(self) -> None:
        for site in SITES:
            self.shape.lay(site)
            self.want(site)
        self.settle()

    def __exit__(self, *_: object) -> None:
        self.stop_agent()
        namespace.wait_for_removals((), 0.0)  # and so lets go of those that it watched
        for site in SITES:
            for pid in map(int, _pids(self.shape.namespace(site))):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for name in (self.shape.namespace(site), site.workload):
                subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)
        for bridge in (WIRE, *(site.transit_bridge for site in SITES)):
            run("ip", "link", "del", bridge)
        shutil.rmtree(self._state, ignore_errors=True)

    def start_agent(self) -> None:
        """Start what an agent process is; the daemons of the last one go on."""
        surroundings = Surroundings(
            self._state, self.shape.spawn, namespace.namespace_inode, daemons, time.monotonic
        )
        self.swan = StrongSwan(
            surroundings,
            lambda router_id: self.wheel.look(router_id),
            self.settings.retransmission,
        )
        self._names = Names(lambda name: self.look_up(name), time.monotonic)
        self._peers = ResolvingSource(self.cloud, self._names.resolve)
        world = World(self._peers, self.shape.node, self.swan, self.settings.plane)
        timing = Timing(0.0, grace=self.settings.grace)
        self.wheel = Wheel(world, self.cloud, timing, time.monotonic, random.random)
        self.wheel.start(workers=2)
        self._life = Life()
        self._life.every(NAMES_INTERVAL, self._follow_names, "names")
        wheel = self.wheel
        Drift(wheel.looks, wheel.look_again, self._life, namespace.wait_for_removals).start()

    def stop_agent(self) -> None:
        """Stop it; nothing that it made is touched."""
        self._life.end()
        self.wheel.stop()
        self.swan.close()

    def _follow_names(self) -> None:
        """Look again where a peer's name has moved, as agents do."""
        for router_id in self._peers.users(self._names.refresh(self._peers.names())):
            self.wheel.look(router_id)

    def look_at_all(self) -> None:
        """Let the wheel turn for every router, as an agent does at its start."""
        for site in SITES:
            self.wheel.look_again(self.key(site))

    def want(self, site: Site, **changes: SiteConnection | None) -> None:
        """Want these connections of the site, by name; None removes one. A new revision."""
        self.connections[site] |= {n: c for n, c in changes.items() if c is not None}
        for name in [n for n, c in changes.items() if c is None]:
            self.connections[site].pop(name, None)
        self._revision += 1
        # As the server tells it: a connection is up if its service is, too.
        connections = {
            name: dataclasses.replace(c, up=c.up and c.service_id not in self.off)
            for name, c in self.connections[site].items()
        }
        desired = self.shape.desired(site, connections, self._revision, self.settings.path_mtu)
        services = {c.service_id for c in connections.values()}
        told = tuple(Service(i, up=i not in self.off) for i in sorted(services))
        desired = dataclasses.replace(desired, services=told)
        self.cloud.wanted[self.key(site)] = desired
        self.wheel.look_again(self.key(site))

    def change(self, site: Site, name: str = "own", **attributes: Any) -> None:
        """Change attributes of one connection of the site."""
        changed = dataclasses.replace(self.connections[site][name], **attributes)
        self.want(site, **{name: changed})

    def reset(self) -> None:
        """Go back to what every row begins with, and wait until all is so."""
        for site in SITES:
            first = connections_of(site, self.settings.version)
            if self.connections[site] != first:
                self.connections[site] = first
                self.want(site)
        self.settle()

    def row(self, site: Site, name: str = "own") -> RowStatus | None:
        """Return what is said of a connection, None while its revision isn't applied."""
        return self.cloud.row(self.key(site), self.connections[site][name].id)

    def wait(self, site: Site, met: Callable[[RowStatus], bool], name: str = "own") -> RowStatus:
        """Wait until what is said of a connection is as wanted, and return it."""

        def ready() -> bool:
            row = self.row(site, name)
            return row is not None and met(row)

        if not self.cloud.until(ready):
            raise Never(f"{site.name} {name}: the last report was {self.row(site, name)}")
        row = self.row(site, name)
        assert row is not None
        return row

    def second_to_the_same_peer(self) -> None:
        """Let west and east have a second connection, with identities of its own."""
        west = builders.selector("10.1.0.0/24", "10.8.0.0/24")
        for here, there, pair in (
            (WEST, EAST, west),
            (EAST, WEST, TrafficSelector(west.remote, west.local)),
        ):
            second = dataclasses.replace(
                self.connections[here]["own"],
                id=ConnectionId(builders.make_id(f"{here.name} second")),
                local_id=f"second.{here.name}",
                peer_id=f"second.{there.name}",
                selectors=(pair,),
            )
            self.want(here, second=second)

    def pid(self, site: Site) -> int:
        """Return the process id of the site's charon."""
        record = json.loads((self._state / self.key(site) / "charon.json").read_text())
        return int(record["pid"])

    def observed(self, site: Site, name: str = "own") -> tuple[IkeSa, ...]:
        """Return the IKE SAs to the peer of one connection."""
        peer = self.connections[site][name].peer_address
        sas = self.swan.observe(self.key(site)).ike_sas
        return tuple(sa for sa in sas if sa.remote_host == peer)

    def raw_sas(self, site: Site) -> list[dict[str, Any]]:
        """Return what charon itself tells of the IKE SAs to the other of west and east."""
        peer = self.connections[site]["own"].peer_address
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self._state / self.key(site) / "charon.vici"))
            told = list(vici.Session(sock).streamed_request("list-sas", "list-sa"))
        sas: list[dict[str, Any]] = [sa for message in told for sa in message.values()]
        return [sa for sa in sas if sa["remote-host"].decode() == peer]

    def established(self, site: Site) -> list[dict[str, Any]]:
        """Return those that are established: one that begins has no identities, say, yet."""
        return [sa for sa in self.raw_sas(site) if sa["state"].decode() == SaState.ESTABLISHED]

    def identities(self, site: Site) -> set[tuple[str, str]]:
        """Return local and remote identity of those IKE SAs, as charon writes them."""
        sas = self.established(site)
        return {(sa["local-id"].decode(), sa["remote-id"].decode()) for sa in sas}

    def settle(self) -> None:
        """Wait until every connection is ACTIVE and no IKE SA of another generation is left."""
        for site in SITES:
            for name in self.connections[site]:
                self.wait(site, lambda row: row.status is Status.ACTIVE, name)
        deadline = time.monotonic() + LIMIT
        while left := [site.name for site in SITES if not self._is_tidy(site)]:
            if time.monotonic() > deadline:
                raise Never(f"old SAs stay at {left}: {self._told(left)}")
            self.cloud.until(lambda: False, 0.05)

    def _is_tidy(self, site: Site) -> bool:
        return is_tidy(self.swan.observe(self.key(site)))

    def _told(self, names: Sequence[str]) -> str:
        """Return what is known of the IKE SAs of these sites, a line for each."""
        return "\n".join(
            f"{site.name}: {sa}"
            for site in SITES
            if site.name in names
            for sa in self.swan.observe(self.key(site)).ike_sas
        )


def _pids(name: str) -> list[str]:
    done = subprocess.run(
        ("ip", "netns", "pids", name), check=False, capture_output=True, text=True
    )
    return done.stdout.split()
