"""What the API shows of a service or connection: pure rules, drawn in docs/statuses.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Mapping, Sequence

from swanherd.core.model import Reason, RowStatus, Status

NO_ADDRESS = "no_public_address"
NORTHBOUND_PENDING = "northbound_pending"
AGENT_LOST = "agent_lost"


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What the server itself knows of a row.

    `up` is the administrative state (a connection's and its service's), `was_up` whether it was
    ever ACTIVE, `age` the seconds since it was created, `problem` a cause that the server found.
    """

    is_service: bool
    up: bool
    was_up: bool
    age: float
    problem: Reason | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """What the API shows, and whether the row has ever been ACTIVE."""

    status: Status
    reason: Reason | None
    was_up: bool


def waiting(facts: Facts, reason: Reason | None = None) -> Shown:
    """Return what is shown while a change isn't applied: pending, unless it can't ever be."""
    if facts.problem is not None:
        return Shown(Status.ERROR, facts.problem, facts.was_up)
    status = Status.PENDING_UPDATE if facts.was_up else Status.PENDING_CREATE
    return Shown(status, reason, facts.was_up)


def reported(
    facts: Facts, report: RowStatus, *, northbound: bool, pending_create_timeout: float
) -> Shown:
    """Return what is shown after an agent has applied the row's revision and says `report`.

    `northbound`: the backend has applied that revision too. A connection that was never up stays
    PENDING_CREATE, with the cause, until the timeout (seconds): Heat takes the first DOWN of a
    new connection for a failure, and the peer is often made a moment later.
    """
    if facts.problem is not None:
        return waiting(facts)
    match report.status:
        case Status.ERROR:
            return Shown(Status.ERROR, report.reason, facts.was_up)
        case Status.ACTIVE if not northbound:
            text = "The tunnel is up; the cloud's routing isn't yet."
            return waiting(facts, Reason(NORTHBOUND_PENDING, text))
        case Status.ACTIVE:
            return Shown(Status.ACTIVE, report.reason, was_up=True)
        case Status.DOWN if _shows_down(facts, pending_create_timeout):
            return Shown(Status.DOWN, report.reason, facts.was_up)
        case _:
            return waiting(facts, report.reason)


def _shows_down(facts: Facts, pending_create_timeout: float) -> bool:
    if not facts.up:
        return True
    if facts.is_service:
        return False
    return facts.was_up or facts.age >= pending_create_timeout


def lost(facts: Facts, host: str) -> Shown:
    """Return what is shown when the agent that has the row is gone."""
    reason = Reason(
        AGENT_LOST,
        f"The VPN agent on {host} doesn't answer.",
        "The operator must bring the agent back.",
    )
    if facts.problem is not None:
        return waiting(facts)
    return Shown(Status.DOWN, reason, facts.was_up)


def detached(local: Mapping[str, Iterable[str]], attached: Container[str]) -> dict[str, Reason]:
    """Return the cause for each row that has a local subnet which isn't on the router.

    Requests can't make that, but the tables of another plugin may have it: a tunnel would be up
    to which no packet comes.
    """
    lost = {row_id: [s for s in subnets if s not in attached] for row_id, subnets in local.items()}
    return {row_id: _detached(subnets) for row_id, subnets in lost.items() if subnets}


def _detached(subnet_ids: Sequence[str]) -> Reason:
    first, more = subnet_ids[0], len(subnet_ids) - 1
    which = f"{first} and {more} more" if more else first
    return Reason(
        "local_subnet_detached",
        f"The router has no interface in the local subnet {which}.",
        "Attach it to the router again, or use local subnets that the router has.",
    )


def superseded(successor_id: str) -> Reason:
    """Return the cause of a connection whose networks a newer one has."""
    return Reason(
        "superseded",
        f"The newer connection {successor_id} has the same networks and carries their traffic.",
        "Delete one of the two; this one takes over again when the other goes.",
    )


def missing_address(family: int) -> Reason:
    """Return the cause of a connection whose peer is of a family without a public address."""
    return Reason(
        NO_ADDRESS,
        f"The VPN has no public IPv{family} address to reach the peer from.",
        f"Use a peer address of the other family, or an external network with IPv{family}.",
    )
