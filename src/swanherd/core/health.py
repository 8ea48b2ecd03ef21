"""Whether an agent works, and what of it doesn't: pure, from what it last noticed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from swanherd.core.model import Reason, RouterId
from swanherd.core.turns import Turns

# Seconds that a turn may take, or that a router may wait for one: longer than any wait of a turn
# (the server's answer 15 s, charon's start 15 s, another's lock 30 s) and some of them in a row.
STUCK = 180.0
# Comparisons with the server that may fail in a row before the bus counts as away.
MISSED = 3

TURN_STUCK = Reason(
    "wheel_stuck",
    "A turn doesn't end.",
    "Restart the agent, which costs no tunnel anything, and keep its log.",
)
NOT_TURNING = Reason(
    "wheel_idle",
    "Routers wait and none is looked at.",
    "Restart the agent, which costs no tunnel anything, and keep its log.",
)
BUS_AWAY = Reason(
    "server_unreachable",
    "The Neutron server didn't answer the last comparisons.",
    "Look at the message bus and at the Neutron server; tunnels go on as they were last wanted.",
)
SOUTHBOUND_AWAY = Reason(
    "southbound_unreachable",
    "OVN's southbound database doesn't answer.",
    "Look at ovn_sb_connection and at the database; after fence_after the agent stops sending.",
)
FENCED = Reason(
    "fenced",
    "The southbound database has been away for too long: this agent sends nothing.",
    "Look at ovn_sb_connection and at the database; another gateway may serve meanwhile.",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Southbound:
    """What is known of OVN's southbound database: whether it is current, and the fence."""

    current: bool
    fenced: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Vitals:
    """What an agent noticed; times in monotonic seconds.

    `answered` is when the server last answered a comparison, None if it never did, and
    `compare_interval` how often it is asked. `silent` are the routers whose charon should run and
    doesn't answer, with the reason's code. `southbound` is None where there is no OVN.
    """

    now: float
    turns: Turns
    waiting: int
    answered: float | None
    compare_interval: float
    silent: Mapping[RouterId, str]
    southbound: Southbound | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `vital`: a restart of the agent would help if it fails."""

    name: str
    ok: bool
    vital: bool
    reason: Reason | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """`alive`: no restart is needed. `ready`: the agent does all that it should."""

    alive: bool
    ready: bool
    checks: tuple[Check, ...]


CHECKS = ("wheel", "charon", "bus", "southbound")


def health_of(vitals: Vitals) -> Health:
    """Return the health of an agent."""
    checks = [
        _check("wheel", _of_wheel(vitals), vital=True),
        _check("charon", _of_charons(vitals.silent)),
        _check("bus", None if _hears_server(vitals) else BUS_AWAY),
    ]
    if vitals.southbound is not None:
        checks.append(_check("southbound", _of_southbound(vitals.southbound)))
    return Health(
        alive=all(check.ok for check in checks if check.vital),
        ready=all(check.ok for check in checks),
        checks=tuple(checks),
    )


def _check(name: str, reason: Reason | None, *, vital: bool = False) -> Check:
    return Check(name, ok=reason is None, vital=vital, reason=reason)


def _of_wheel(vitals: Vitals) -> Reason | None:
    running = vitals.turns.running.values()
    if running and vitals.now - min(running) > STUCK:
        return TURN_STUCK
    if vitals.waiting and not running and vitals.now - vitals.turns.ended > STUCK:
        return NOT_TURNING
    return None


def _of_charons(silent: Mapping[RouterId, str]) -> Reason | None:
    if not silent:
        return None
    first = min(silent)
    text = f"strongSwan doesn't answer for {len(silent)} router(s), {first} for one."
    return Reason(silent[first], text, f"swanherdctl show {first} tells more.")


def _hears_server(vitals: Vitals) -> bool:
    if vitals.answered is None:
        return False
    return vitals.now - vitals.answered <= MISSED * vitals.compare_interval


def _of_southbound(southbound: Southbound) -> Reason | None:
    if southbound.fenced:
        return FENCED
    return None if southbound.current else SOUTHBOUND_AWAY
