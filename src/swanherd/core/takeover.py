"""Who serves a router, as OVN's southbound database tells each agent for itself: pure.

The row of the router's public port names one chassis at a time, and every agent reads the same
row. So no message between agents or from the server decides it.
"""

from __future__ import annotations

import dataclasses
import enum

from swanherd.core.model import Role


@dataclasses.dataclass(frozen=True, slots=True)
class Binding:
    """A Port_Binding (ovn-sb(5)): the chassis that should have it, and the one that has it.

    `up`: that chassis has installed the port's flows.
    """

    requested: str | None
    chassis: str | None
    up: bool


class Hold(enum.StrEnum):
    """Where a port is, as seen by one chassis."""

    HERE = "here"
    COMING = "coming"
    ELSEWHERE = "elsewhere"


def hold_of(binding: Binding | None, chassis: str) -> Hold:
    """Return where the port is, for the chassis of this name."""
    if binding is None or binding.requested != chassis:
        return Hold.ELSEWHERE
    return Hold.HERE if binding.chassis == chassis and binding.up else Hold.COMING


def role_of(hold: Hold, before: Role) -> Role:
    """Return the role of the agent there, which had the role `before`.

    Before the flows are there nothing could be sent. Once active it stays so while no other
    chassis is meant: an ovn-controller that restarts lets the port go for a moment.
    """
    match hold:
        case Hold.HERE:
            return Role.ACTIVE
        case Hold.COMING:
            return before
        case Hold.ELSEWHERE:
            return Role.STANDBY
