"""Where something breaks, and what a fault is: for `lab.faults`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from lab.boxes import Box
from lab.cloud import Cloud
from lab.layout import Chassis
from lab.vpn import End, serving

OVN, OVS = "ovn", "ovs"  # what a cloud's routers are served by


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """Where something breaks: one end of a tunnel, and the gateway node that serves it."""

    end: End
    node: Box

    @classmethod
    def of(cls, end: End) -> Scene:
        """Return where the end's router is served now."""
        gateways = end.cloud.gateways
        return cls(end, gateways[0] if len(gateways) == 1 else serving(end))

    @property
    def cloud(self) -> Cloud:
        """The end's cloud."""
        return self.end.cloud

    @property
    def chassis(self) -> Chassis:
        """The node as the cloud's plan has it."""
        return next(c for c in self.cloud.plan.chassis if c.name == self.node.name)


Act = Callable[[Scene], object]
# What others have to be there again, in this order, and whether it is.
Back = Sequence[tuple[str, Callable[[Scene], bool]]]


def _nothing(_scene: Scene) -> None:
    """End what ends by itself, or needs repair and no end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """What breaks, and what its end is (a supervisor starts a program again, power comes back).

    `hold`: for how many seconds it lasts. `back`: what others have in it (the bus, the cloud's
    APIs), each with whether it answers again; `standby`: what they have to have on a node that
    went, so that it can stand by again for a redundant router. `long`: too slow for every run of
    the tests, or much like what other tests do in every run. `on`: the backends that can have it;
    `redundant`: only a router that several nodes can serve can; `distributed`: only one that has
    a part on the node of its workload; `opens`: it takes away what keeps clear packets out.
    """

    name: str
    begin: Act
    end: Act = _nothing
    hold: float = 0
    long: bool = False
    back: Back = ()
    standby: Back = ()
    on: Sequence[str] = (OVN, OVS)
    redundant: bool = False
    distributed: bool = False
    opens: bool = False
