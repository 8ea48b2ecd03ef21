"""A peer has begun to negotiate, and charon doesn't know yet with which config."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.processes import wait_for
from swanherd.core.ike import TerminateIke
from swanherd.core.model import DataPlane, IkeVersion
from swanherd.core.tunnels import Timing, plan_tunnels
from swanherd.testing import builders
from tests.functional.swan.stage import PLANE, Stage, ask, children_up, pair, policies, run

pytestmark = pytest.mark.skipif(
    PLANE is DataPlane.KERNEL, reason="there all messages have one port"
)


@contextmanager
def deaf(namespace: str) -> Iterator[None]:
    """Let in the first messages of a negotiation, and not those on the other port."""
    inside = ("ip", "netns", "exec", namespace, "nft")
    run(*inside, "add table inet lost")
    try:
        run(*inside, "add chain inet lost in { type filter hook input priority 0; }")
        run(*inside, "add rule inet lost in udp dport 4500 drop")
        yield
    finally:
        run(*inside, "delete table inet lost")


@pytest.mark.parametrize("version", IkeVersion)
def test_a_look_ends_no_attempt_of_a_peer(started: Stage, version: IkeVersion) -> None:
    """It would ask on for minutes, and charon itself ends what nobody goes on with."""
    west, east = pair(**policies(version))
    theirs, ours = started.load(started.east, east), started.load(started.west, west)
    with deaf(started.namespaces[started.west]):
        started.initiate(started.east, theirs)
        wait_for(lambda: began(started), 10, "the peer has begun", every=0.05)
        observed = started.swan.observe(started.west)
        ends, _ = plan_tunnels(builders.desired(west), observed, Timing(now=0.0))
        for action in ends:
            if isinstance(action, TerminateIke):
                started.swan.apply(started.west, action)
    started.wait(started.west, children_up(ours))


def began(stage: Stage) -> bool:
    return any("(unnamed)" in sa for sa in ask(stage, stage.west, "list-sas", "list-sa"))
