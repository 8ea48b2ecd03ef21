"""What the agent's gateways carry, beside gateways that somebody configured by hand."""

from __future__ import annotations

import contextlib
import json
import pathlib
import statistics
import time
from collections.abc import Mapping

import pytest

from swanherd.core.model import HomeNamespace, IkeVersion, Status
from swanherd.testing import builders as make
from tests.functional.l3.stand import EAST, WEST, Plan, desired, detours, distributed, legacy
from tests.kernel import by_hand
from tests.kernel.homes import own_namespaces
from tests.kernel.stage import HERE, INNER, THERE, Stage, ends
from tests.kernel.wires import Connection, connected

OUT = pathlib.Path(__file__).resolve().parents[2] / "build" / "kernel" / "throughput.json"
# A piece takes some 50 ms: what slows the machine down for longer slows both ways alike.
PIECE = 1_000_000
# A fixed number, whatever they show: to go on until a ratio holds would find one that does.
ROUNDS = 150
# Of the medians, the agent's by the other's.
LIMIT = 0.95
# Times that a stalled connection is made anew: a guest may not run for seconds.
STALLS = 2

# Namespace and address of both ends.
Way = tuple[str, str, str, str]


class Pipe:
    """A connection that stays open, so that no piece pays for a slow start."""

    def __init__(self, way: Way, opened: contextlib.ExitStack) -> None:
        self._way = way
        self._opened = opened
        self._connection: Connection | None = None
        self.stalls = 0

    def measured(self) -> float:
        """Return Mbit/s of one piece."""
        while True:
            try:
                if self._connection is None:
                    self._connection = self._opened.enter_context(connected(*self._way))
                began = time.perf_counter()
                assert self._connection.send(PIECE) == PIECE
                return PIECE * 8 / 1e6 / (time.perf_counter() - began)
            except TimeoutError:
                self._connection = None
                self.stalls += 1
                assert self.stalls <= STALLS, f"{self._way} stalls"


def compare(shape: str, ways: Mapping[str, Way]) -> None:
    """Measure both ways in turn, leave the figures, and hold the agent's to the limit."""
    figures: dict[str, list[float]] = {name: [] for name in ways}
    with contextlib.ExitStack() as opened:
        pipes = {name: Pipe(way, opened) for name, way in ways.items()}
        for pipe in pipes.values():
            for _ in range(3):
                pipe.measured()
        for _ in range(ROUNDS):
            for name, pipe in pipes.items():
                figures[name].append(pipe.measured())
    medians = {name: statistics.median(values) for name, values in figures.items()}
    ratio = medians["agent"] / medians["by_hand"]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    told = json.loads(OUT.read_text()) if OUT.exists() else {}
    stalls = {name: pipe.stalls for name, pipe in pipes.items()}
    told[shape] = {"Mbit/s": figures, "medians": medians, "ratio": ratio, "stalls": stalls}
    OUT.write_text(json.dumps(told, indent=2) + "\n")
    assert ratio >= LIMIT, medians


def test_as_fast_as_by_hand(stage: Stage, tmp_path: pathlib.Path) -> None:
    """The agent's guard, routes and MSS clamp cost at most a twentieth of the throughput."""
    west, east = ends("alone", 4, 4, IkeVersion.V2)
    stage.want([west], [east])
    stage.rest()
    with by_hand.gateways(tmp_path):
        here, there = by_hand.WORKLOADS
        agent = (HERE, INNER[4][0], THERE, INNER[4][1])
        compare("qvpn", {"agent": agent, "by_hand": (HERE, here, THERE, there)})


@pytest.mark.parametrize("shape", ["qrouter", pytest.param("snat", marks=pytest.mark.long)])
def test_as_fast_as_by_hand_in_routers_own_namespaces(tmp_path: pathlib.Path, shape: str) -> None:
    """Beside two of the same with Neutron's rules, whose tunnel isn't the agent's."""
    lay = {"qrouter": legacy, "snat": distributed}[shape]
    with own_namespaces() as stand:
        for here, there in ((EAST, WEST), (WEST, EAST)):
            site = stand.site(here, lay)
            home = make.home()
            if lay is distributed:
                home = make.home(HomeNamespace.CENTRAL, distributed=True, detours=detours(here))
            site.source.desired = desired(here, there, home)
            if lay is distributed:
                site.settle(site.steering)
            site.turn()
        for site in stand.sites:
            site.until(Status.ACTIVE)
        with by_hand.routers(tmp_path, lay):
            one, other = by_hand.ROUTERS
            compare(shape, {"agent": between(WEST, EAST), "by_hand": between(one, other)})


def between(one: Plan, other: Plan) -> Way:
    return f"vm-{one.name}", one.inner(5)[0], f"vm-{other.name}", other.inner(5)[0]
