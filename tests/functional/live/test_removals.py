"""What somebody takes away by hand comes back by itself, long before the next look for drift."""

from __future__ import annotations

import pytest

from bench.losses.sites import WEST
from bench.losses.stage import Stage
from bench.losses.wires import run
from swanherd.core.model import DataPlane
from swanherd.dataplane.privileged import removals
from tests.functional.live.conftest import PLANE, until

# Seconds; nothing else looks at the routers here.
SOON = 5.0
TUNNEL = "ipsec0" if PLANE is DataPlane.USERSPACE else "tr0"


def network(stage: Stage) -> tuple[object, ...]:
    seen = stage.shape.node.observe(stage.key(WEST))
    return seen.guard, seen.links, seen.routes, seen.rules


@pytest.fixture(autouse=True)
def watched(stage: Stage, fresh: None) -> None:
    """The agent has come to watch; it isn't told of what went before."""
    name = stage.shape.namespace(WEST)
    assert until(lambda: name in removals._watched, SOON)


@pytest.mark.parametrize(
    "harm",
    [
        ("ip", "route", "flush", "table", "all", "dev", TUNNEL),
        ("ip", "rule", "flush", "protocol", "90"),
        ("nft", "flush", "table", "inet", "swanherd"),
        ("ip", "link", "delete", "tr0"),
    ],
    ids=" ".join,
)
def test_it_comes_back(stage: Stage, harm: tuple[str, ...]) -> None:
    before = network(stage)
    run("ip", "netns", "exec", stage.shape.namespace(WEST), *harm)
    assert until(lambda: network(stage) == before, SOON), network(stage)
