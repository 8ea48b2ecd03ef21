"""Which host serves a router: the VPN goes where OVN has put the router's gateway."""

from __future__ import annotations

import dataclasses
import datetime

from swanherd.core import tenure
from swanherd.core.model import Reason

NO_AGENT = Reason(
    "no_agent",
    "No chassis that may host the router's gateway runs a VPN agent.",
    "The operator must start swanherd-ovn-agent on the gateway chassis.",
)


# By less than this two nodes got an address at the same time: that is how exactly it is told.
SAME_TIME = datetime.timedelta(seconds=tenure.SAME_TIME)


@dataclasses.dataclass(frozen=True, slots=True)
class Gateway:
    """Hosts of a router's gateway: the active one, and all candidates by falling priority."""

    active: str | None = None
    candidates: tuple[str, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where the router's VPN may be: where the gateway is, then the other candidates."""
        first = () if self.active is None else (self.active,)
        return tuple(dict.fromkeys((*first, *self.candidates)))


@dataclasses.dataclass(frozen=True, slots=True)
class Agents:
    """Hosts of VPN agents that are administratively up: those that Neutron knows.

    Of these, the ones that answer; and the ones that are gone: their chassis doesn't answer OVN
    either. While nobody answers it is the bus that is away, and the heartbeats tell nothing.
    """

    known: frozenset[str] = frozenset()
    alive: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()

    @property
    def usable(self) -> frozenset[str]:
        """Hosts to which a router may move."""
        return (self.alive or self.known) - self.gone


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """The host that serves a router, and those that stand by, the next one first.

    `pin` is the host on which an operator wants it; None once that can't be.
    """

    host: str | None = None
    standbys: tuple[str, ...] = ()
    pin: str | None = None


def place(current: Placement, gateway: Gateway, agents: Agents) -> Placement:
    """Return where a router that is placed as `current` should be now."""
    pin = current.pin if _can_stay(current.pin, gateway, agents) else None
    host = pin or choose(current.host, gateway, agents)
    # Who doesn't answer may do so again: a standby costs nothing.
    # Without a host nothing keeps standbys from claiming the ports all at once.
    others = (h for h in gateway.hosts if h in agents.known and h != host)
    standbys = tuple(others) if host else ()
    return Placement(host, standbys, pin)


def choose(current: str | None, gateway: Gateway, agents: Agents) -> str | None:
    """Return the host that should serve a router that `current` serves now; None if none can.

    A lost heartbeat alone moves nothing: where the gateway is, charon goes on without its agent.
    """
    if current == gateway.active and current in agents.known:
        return current
    if gateway.active in agents.usable:
        return gateway.active
    if _can_stay(current, gateway, agents):
        return current
    usable = [host for host in gateway.candidates if host in agents.usable]
    return usable[0] if usable else current


def _can_stay(host: str | None, gateway: Gateway, agents: Agents) -> bool:
    """Tell whether a host may keep a router that OVN doesn't call there."""
    return host in gateway.hosts and host in agents.known - agents.gone


def keep_or_choose(
    current: str | None,
    bound: tuple[str, ...],
    masters: frozenset[str],
    known: frozenset[str],
) -> str | None:
    """Return the host that serves a router of L3 agents: of those that Neutron gave it to.

    The one that serves it stays: a redundant router is moved by the agent that has its address,
    which knows it seconds before Neutron.
    """
    if current in bound and (current in known or not known):
        return current
    usable = [host for host in bound if host in known] or list(bound)
    return next((host for host in usable if host in masters), usable[0] if usable else None)


def began(now: datetime.datetime, held: float | None) -> datetime.datetime | None:
    """Return since when something has been held for so many seconds, to the second."""
    if held is None:
        return None
    return (now - datetime.timedelta(seconds=held)).replace(microsecond=0)


def is_newer(since: datetime.datetime | None, known: datetime.datetime | None) -> bool:
    """Tell whether a host got a redundant router's address after the one that has the router.

    An agent of an older release doesn't say since when: it is believed each time.
    """
    return since is None or known is None or since > known + SAME_TIME


def earliest(
    known: datetime.datetime | None, since: datetime.datetime | None
) -> datetime.datetime | None:
    """Return since when a host has had an address, by all that it has said.

    What is told late on a slow bus looks as if it had begun later than it did.
    """
    return min((at for at in (known, since) if at is not None), default=None)
