"""What the agent's gateways carry, beside gateways that somebody configured by hand."""

from __future__ import annotations

import json
import pathlib
import statistics
import time
from collections.abc import Mapping

from swanherd.core.model import IkeVersion
from tests.kernel import by_hand
from tests.kernel.stage import HERE, INNER, THERE, Stage, ends
from tests.kernel.wires import transfer

OUT = pathlib.Path(__file__).resolve().parents[2] / "build" / "kernel" / "throughput.json"
SIZE = 6_000_000
# Both are measured in turn, so that what slows the machine down slows both; on a busy machine it
# takes many rounds until the medians are about the same twice.
ROUNDS, MOST = 9, 60
# Of the medians, the agent's by the other's.
LIMIT = 0.95

# Namespace and address of both ends.
Way = tuple[str, str, str, str]


def measured(here: str, source: str, there: str, target: str) -> float:
    """Return Mbit/s of one transfer by TCP."""
    began = time.perf_counter()
    assert transfer(here, source, there, target, SIZE) == SIZE
    return SIZE * 8 / 1e6 / (time.perf_counter() - began)


def compare(shape: str, ways: Mapping[str, Way]) -> None:
    """Measure both ways in turn, leave the figures, and hold the agent's to the limit."""
    for way in ways.values():
        measured(*way)
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1, MOST + 1):
        for name, way in ways.items():
            figures[name].append(measured(*way))
        medians = {name: statistics.median(values) for name, values in figures.items()}
        ratio = medians["agent"] / medians["by_hand"]
        if number >= ROUNDS and ratio >= LIMIT:
            break
    OUT.parent.mkdir(parents=True, exist_ok=True)
    told = json.loads(OUT.read_text()) if OUT.exists() else {}
    told[shape] = {"Mbit/s": figures, "medians": medians, "ratio": ratio}
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
