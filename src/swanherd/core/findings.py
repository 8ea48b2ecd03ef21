"""What is known of a router that an operator asks about, and what is said of it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from swanherd.core.model import DataPlane, DesiredRouter, Reason, RouterReport
from swanherd.core.planner import Observed, Plan


class Verdict(enum.StrEnum):
    """What a finding means; UNKNOWN is what couldn't be looked at."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Answer(enum.StrEnum):
    """What came back from a port of the peer."""

    ANSWERED = "answered"
    REFUSED = "refused"  # ICMP says that nobody listens there
    UNREACHABLE = "unreachable"  # ICMP says that the host or network isn't reached
    SILENT = "silent"


@dataclasses.dataclass(frozen=True, slots=True)
class PathSeen:
    """The way to a peer as packets found it.

    `route` is None without one; `ports` tells what IKE's ports did; `echo` whether a ping was
    answered, and `largest` the largest answered one, as an IP packet in bytes.
    """

    route: str | None
    ports: tuple[tuple[int, Answer], ...] = ()
    echo: bool = False
    largest: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ClockSeen:
    """The node's clock: whether the kernel is told the time, and by how much it was set since.

    `stepped` in seconds, between the agent's start and now; `synchronised` None: not known.
    """

    synchronised: bool | None
    stepped: float


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is known of one router; `paths` by the peer's address as it is wanted."""

    desired: DesiredRouter
    observed: Observed
    plan: Plan
    plane: DataPlane
    now: float
    clock: ClockSeen
    report: RouterReport | None = None
    failed: Reason | None = None
    paths: Mapping[str, PathSeen] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `subject` is "router", or a connection's id."""

    subject: str
    check: str
    verdict: Verdict
    wanted: str
    seen: str
    hint: str = ""


def finding(
    subject: str,
    check: str,
    wanted: str,
    seen: str,
    *,
    good: bool,
    hint: str = "",
    bad: Verdict = Verdict.FAILED,
) -> Finding:
    """Return what a look at one thing found; the hint is for what isn't good."""
    return Finding(subject, check, Verdict.OK if good else bad, wanted, seen, "" if good else hint)
