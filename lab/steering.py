"""What can break of a distributed router on a compute node, which only steers there."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from lab.boxes import Box
from lab.ovs import L3_AGENT
from lab.scene import OVS, Act, Fault, Scene


def _node(scene: Scene) -> Box:
    """Return the node of the router's workload."""
    return scene.cloud.computes[0]


def _by_hand(*commands: Sequence[str]) -> Act:
    def act(scene: Scene) -> None:
        for argv in commands:
            _node(scene).run(argv, f"qrouter-{scene.end.site.router_id}")

    return act


def _flushed(what: str, *command: str) -> Fault:
    """Return that what is ours of the routing is gone, of both families."""
    both = (("ip", family, *command, "protocol", "90") for family in ("-4", "-6"))
    name = f"{what} flushed on the compute node"
    return Fault(name, _by_hand(*both), on=[OVS], distributed=True)


FAULTS = (
    Fault(
        "kill -9 of the compute node's L3 agent",
        lambda scene: scene.cloud.stop_service(L3_AGENT, signal.SIGKILL, _node(scene)),
        lambda scene: scene.cloud.start_service(L3_AGENT, _node(scene)),
        on=[OVS],
        distributed=True,
    ),
    _flushed("rules", "rule", "flush"),
    _flushed("routes", "route", "flush", "table", "all"),
    Fault(
        "guard flushed on the compute node",
        _by_hand(("nft", "flush", "table", "inet", "swanherd")),
        on=[OVS],
        distributed=True,
    ),
)
