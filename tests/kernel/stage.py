"""Two routers of one agent, with a network behind each and the internet between them.

    lan-w ── transit bridge ── qvpn-<west> ── public bridge ── inet ── … qvpn-<east> ── … lan-e

Everything of the agent is real: the wheel, the planner, the node, charon, the kernel's XFRM. Only
what it wants comes from the test instead of a server, and Linux bridges stand for OVN. `lan-w`
and `lan-e` are the router (169.254.0.1) and a workload (10.x.0.10) in one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from swanherd.agent.node import OvnNode
from swanherd.core.failures import Failure
from swanherd.core.model import (
    Attachment,
    DataPlane,
    DesiredRouter,
    IkeVersion,
    PortId,
    RouterId,
    RouterReport,
    SiteConnection,
    Status,
)
from swanherd.core.planner import Plan
from swanherd.core.tunnels import Timing
from swanherd.dataplane import daemons, namespace
from swanherd.dataplane.privileged import inside
from swanherd.ovn.vswitch import PluggedPort
from swanherd.reconcile.loop import World, preview
from swanherd.reconcile.wheel import Wheel
from swanherd.swan.adapter import StrongSwan
from swanherd.swan.charon import Surroundings
from swanherd.swan.settings import Retransmission
from swanherd.testing import builders
from tests.functional.swan.stage import mirror
from tests.kernel.wires import wire_up

BRISK = Retransmission(timeout=0.5, base=1.5, tries=3, limit=1.0)

WEST = RouterId(builders.make_id("west"))
EAST = RouterId(builders.make_id("east"))
OUTER = {4: ("203.0.113.2", "198.51.100.2"), 6: ("2001:db8:a::2", "2001:db8:b::2")}
INNER = {4: ("10.1.0.10", "10.2.0.10"), 6: ("fd01::10", "fd02::10")}
NETWORKS = {4: ("10.1.0.0/24", "10.2.0.0/24"), 6: ("fd01::/64", "fd02::/64")}
INNER_NETWORKS = ["10.0.0.0/8", "fd00::/8"]
HERE, THERE = "lan-w", "lan-e"

_PUBLIC = {
    WEST: (("203.0.113.2/24", "2001:db8:a::2/64"), ("203.0.113.1", "2001:db8:a::1")),
    EAST: (("198.51.100.2/24", "2001:db8:b::2/64"), ("198.51.100.1", "2001:db8:b::1")),
}
_ROUTER_ADDRESSES = {WEST: ("10.1.0.1", "fd01::1"), EAST: ("10.2.0.1", "fd02::1")}
_SIDE = {WEST: "w", EAST: "e"}


class LinuxBridges:
    """The bridge that the node plugs its ports into: a Linux bridge named by the port's id."""

    def __init__(self) -> None:
        self._ports: dict[str, PluggedPort] = {}

    def plug(self, port_name: str, port_id: PortId, mac: str, router_id: RouterId) -> None:
        with IPRoute() as ip:
            (device,) = ip.link_lookup(ifname=port_name)
            (bridge,) = ip.link_lookup(ifname=port_id)
            ip.link("set", index=device, master=bridge, state="up")
        self._ports[port_name] = PluggedPort(port_id, mac, router_id)

    def unplug(self, port_name: str) -> None:
        self._ports.pop(port_name, None)

    def evict(self, port_name: str, router_id: RouterId) -> None:
        self._ports.pop(port_name, None)

    def ports(self) -> dict[str, PluggedPort]:
        return dict(self._ports)


# Seconds in which nothing is to happen of itself: more than what was before may be left beside.
_A_WHILE = 5.0


class Agent:
    """What an agent process holds; the test is its server."""

    def __init__(
        self,
        state: Path,
        bridges: LinuxBridges,
        desired: dict[RouterId, Any],
        maker: namespace.Maker = namespace.HERE,
    ) -> None:
        self._desired = desired
        self._changed = threading.Condition()
        self.reports: dict[RouterId, RouterReport] = {}
        surroundings = Surroundings(
            state, namespace.spawn, namespace.namespace_inode, daemons, time.monotonic
        )
        self.swan = StrongSwan(surroundings, self._on_event, BRISK)
        self.node = OvnNode(bridges, maker=maker)
        self.world = World(self, self.node, self.swan, DataPlane.KERNEL)
        self.wheel = Wheel(self.world, self, Timing(0.0), time.monotonic, random.random)
        self.wheel.start(2)
        self._stopping = threading.Event()
        self._drift = threading.Thread(target=self._look_again, daemon=True)
        self._drift.start()

    def _look_again(self) -> None:
        """Look for drift as the agent does, which does so every 20 s; another may be beside it."""
        while not self._stopping.wait(5):
            for router in tuple(self._desired):
                self.wheel.look_again(router)

    def stop(self) -> None:
        self._stopping.set()
        self._drift.join()
        self.wheel.stop()
        self.swan.close()

    def get_router(self, router_id: RouterId) -> DesiredRouter | None:
        return self._desired.get(router_id)

    def get_revisions(self) -> dict[RouterId, int]:
        return {i: d.revision for i, d in self._desired.items()}

    def report(self, reports: Sequence[RouterReport]) -> None:
        with self._changed:
            self.reports |= {r.router_id: r for r in reports}
            self._changed.notify_all()

    def _on_event(self, router_id: RouterId) -> None:
        self.wheel.look_again(router_id)

    def wait(self, met: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until it is so; looked at with each report, and now and then."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not met():
                left = deadline - time.monotonic()
                assert left > 0, f"not in {seconds} s; reports: {self.reports}"
                self._changed.wait(min(left, 0.2))

    def is_at_rest(self, router_id: RouterId) -> bool:
        """Tell whether nothing is left to do."""
        plan = self._plan(router_id)
        return plan is not None and not plan.actions

    def is_at_rest_for_good(self, router_id: RouterId) -> bool:
        """Tell whether time alone leaves nothing to do soon either.

        In IKEv1 what was before stays for seconds beside the children that take its place.
        """
        plan = self._plan(router_id)
        if plan is None or plan.actions:
            return False
        return plan.look_again is None or plan.look_again > _A_WHILE

    def _plan(self, router_id: RouterId) -> Plan | None:
        try:
            seen = preview(router_id, self.world, Timing(time.monotonic()))
        except Failure:
            return None
        return seen[2] if seen is not None else None


@dataclasses.dataclass
class Stage:
    """Everything that a test has: what is wanted, the agent, and hands on the network."""

    state: Path
    bridges: LinuxBridges = dataclasses.field(default_factory=LinuxBridges)
    desired: dict[RouterId, DesiredRouter] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.agent = Agent(self.state, self.bridges, self.desired)

    def restart_agent(self) -> None:
        self.agent.stop()
        self.agent = Agent(self.state, self.bridges, self.desired)
        for router in self.desired:
            self.agent.wheel.look_again(router)

    def want(self, west: Sequence[SiteConnection], east: Sequence[SiteConnection]) -> None:
        """Let both routers have these connections."""
        for router, connections in ((WEST, west), (EAST, east)):
            self.want_of(router, connections)

    def want_of(self, router: RouterId, connections: Sequence[SiteConnection]) -> None:
        before = self.desired.get(router)
        self.desired[router] = dataclasses.replace(
            desired_router(router, connections), revision=before.revision + 1 if before else 1
        )
        self.agent.wheel.look_again(router)

    def charon_pid(self, router: RouterId) -> int:
        return int(json.loads((self.state / router / "charon.json").read_text())["pid"])

    def spis(self, router: RouterId) -> set[int]:
        """Return what charon knows."""
        charon = self.agent.swan.observe(router)
        return {spi for sa in charon.ike_sas for child in sa.children for spi in child.spis}

    def statuses(self, router: RouterId) -> dict[str, Status]:
        """Return what is reported of the wanted revision; nothing while that isn't applied."""
        report = self.agent.reports.get(router)
        if report is None or report.revision != self.desired[router].revision:
            return {}
        return {row.id: row.status for row in report.connections}

    def is_active(self, *routers: RouterId) -> bool:
        """Tell whether all connections are."""
        return all(
            self.statuses(router)
            == {c.id: Status.ACTIVE for c in self.desired[router].connections}
            for router in routers or (WEST, EAST)
        )

    def wait_active(self, *routers: RouterId, seconds: float = 30) -> None:
        self.agent.wait(lambda: self.is_active(*routers), seconds)

    def rest(self, seconds: float = 30) -> None:
        """Wait until all is as wanted, old SAs ended too."""
        self.agent.wait(
            lambda: all(map(self.agent.is_at_rest_for_good, (WEST, EAST))) and self.is_active(),
            seconds,
        )


def desired_router(router: RouterId, connections: Sequence[SiteConnection]) -> DesiredRouter:
    side = _SIDE[router]
    number = {"w": 1, "e": 2}[side]
    addresses, gateways = _PUBLIC[router]
    public, transit = (
        Attachment(
            PortId(f"br-{kind}{side}"),
            f"02:00:00:0{digit}:00:0{number}",
            tuple(map(ipaddress.ip_interface, at)),
            tuple(map(ipaddress.ip_address, via)),
            1500,
        )
        for digit, kind, at, via in (
            (1, "p", addresses, gateways),
            (2, "t", ("169.254.0.2/30", "fd99::2/126"), ("169.254.0.1", "fd99::1")),
        )
    )
    return builders.desired(
        *connections,
        id=router,
        public=public,
        transit=transit,
        router_addresses=tuple(map(ipaddress.ip_address, _ROUTER_ADDRESSES[router])),
    )


def ends(
    name: str, inner: int, outer: int, version: IkeVersion, **changes: Any
) -> tuple[SiteConnection, SiteConnection]:
    """Return a connection as west and as east have it; both initiate, as in two clouds."""
    here, there = OUTER[outer]
    fields: dict[str, Any] = {
        "local_address": ipaddress.ip_address(here),
        "peer_address": there,
        "peer_id": there,
        "ike": builders.ike_policy(version=version),
        "selectors": (builders.selector(*NETWORKS[inner]),),
    }
    west = builders.connection(name, **(fields | changes))
    return west, mirror(west)


def both_families(
    outer: int, version: IkeVersion, **changes: Any
) -> tuple[list[SiteConnection], list[SiteConnection]]:
    """Return a connection of each inner family, as west and as east have them."""
    pairs = [ends(f"inner{v}", v, outer, version, **changes) for v in (4, 6)]
    west, east = zip(*pairs, strict=True)
    return list(west), list(east)


def flows(*inner: int) -> list[tuple[str, str, str, str]]:
    """Return both directions of each inner family."""
    return [
        flow
        for version in inner
        for west, east in [INNER[version]]
        for flow in ((HERE, west, THERE, east), (THERE, east, HERE, west))
    ]


@contextlib.contextmanager
def make_stage(state: Path) -> Iterator[Stage]:
    """Wire everything up; in user-mode Linux all of it ends with the kernel."""
    wire_up()
    stage = Stage(state)
    try:
        yield stage
    finally:
        stage.agent.stop()
        for router in (WEST, EAST):
            name = namespace.name_of(router)
            if inside.is_there(name):
                for pid in _pids(name):
                    subprocess.run(["kill", "-9", pid], check=False)


def _pids(name: str) -> list[str]:
    done = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
    return done.stdout.split()
