"""What an agent's metrics are: pure, from a snapshot of what the wheel has already seen.

Labels are ids of Neutron's and words of ours: no name, address or key of anybody's.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Iterable, Iterator, Mapping

from swanherd.core.health import Health
from swanherd.core.home import parse_key, runs_charon
from swanherd.core.model import (
    ConnectionId,
    DataPlane,
    DesiredRouter,
    Reason,
    Role,
    RouterId,
    RouterReport,
    RowStatus,
    SiteConnection,
    Status,
)
from swanherd.core.naming import pair_of, peering_of
from swanherd.core.peering import children_of, peerings
from swanherd.core.tally import Tally, Traffic
from swanherd.core.turns import BOUNDS, Turns

# What a label may hold; anything else is `other`.
_PLAIN = re.compile(r"[A-Za-z0-9_.+-]{1,64}")

OWN_NAMESPACE = "qvpn"


class Kind(enum.StrEnum):
    """The types of Prometheus that are used."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """A metric by its name, what its numbers mean, and its labels."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()


_ROUTER = ("router_id", "namespace")
_CONNECTION = ("router_id", "connection_id")

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "swanherd_agent_info",
            Kind.GAUGE,
            "Always 1: the agent's version, its backend (`ovn` or `l3`) and who encrypts "
            "(`kernel` or `userspace`).",
            ("version", "backend", "data_plane"),
        ),
        Metric(
            "swanherd_check_ok",
            Kind.GAUGE,
            "1 if a check of the agent's health passes: `wheel`, `charon`, `bus`, and with OVN "
            "`southbound`; else 0.",
            ("check",),
        ),
        Metric(
            "swanherd_fenced",
            Kind.GAUGE,
            "1 while the agent sends nothing, since the southbound database has been away for "
            "longer than `fence_after`; else 0.",
        ),
        Metric(
            "swanherd_queue_length",
            Kind.GAUGE,
            "Routers (on L3 agents: their namespaces) that wait for a turn or have one.",
        ),
        Metric(
            "swanherd_turn_duration_seconds",
            Kind.HISTOGRAM,
            "How long turns took: to ask, look, plan, act and look again at one router.",
        ),
        Metric(
            "swanherd_turns_failed_total", Kind.COUNTER, "Turns that failed and were tried again."
        ),
        Metric(
            "swanherd_turn_running_seconds",
            Kind.GAUGE,
            "For how long the longest of the present turns has been going on; 0 if there is none.",
        ),
        Metric(
            "swanherd_routers",
            Kind.GAUGE,
            "Routers that the agent serves (`active`) or stands by for (`standby`).",
            ("role",),
        ),
        Metric(
            "swanherd_router_ready",
            Kind.GAUGE,
            "1 if the router's namespace is as wanted, charon runs and has every connection.",
            _ROUTER,
        ),
        Metric(
            "swanherd_router_failing",
            Kind.GAUGE,
            "1 while the last turn for the router has failed, with the code of the cause.",
            (*_ROUTER, "code"),
        ),
        Metric(
            "swanherd_charon_up",
            Kind.GAUGE,
            "1 if the router's charon answered when it was last looked at, else 0.",
            _ROUTER,
        ),
        Metric(
            "swanherd_charon_resident_memory_bytes",
            Kind.GAUGE,
            "Memory of the router's charon.",
            _ROUTER,
        ),
        Metric(
            "swanherd_connection_enabled",
            Kind.GAUGE,
            "1 if the connection and its service are administratively up, else 0. Connections "
            "are told by the agent that serves the router, not by those that stand by.",
            _CONNECTION,
        ),
        Metric(
            "swanherd_connection_up",
            Kind.GAUGE,
            "1 if the connection is ACTIVE: every pair of its networks is carried as the API has "
            "it now; else 0.",
            _CONNECTION,
        ),
        Metric(
            "swanherd_connection_status",
            Kind.GAUGE,
            "Always 1; the label is the status that the agent reports.",
            (*_CONNECTION, "status"),
        ),
        Metric(
            "swanherd_connection_problem",
            Kind.GAUGE,
            "1 while the status has a cause, with its code ([statuses](statuses.md)).",
            (*_CONNECTION, "code"),
        ),
        Metric(
            "swanherd_connection_pairs",
            Kind.GAUGE,
            "Pairs of networks that the connection protects: a child SA each.",
            _CONNECTION,
        ),
        Metric(
            "swanherd_connection_pairs_carried",
            Kind.GAUGE,
            "How many of them a child SA carries, as last seen.",
            _CONNECTION,
        ),
        Metric(
            "swanherd_connection_bytes_total",
            Kind.COUNTER,
            "Bytes that were decrypted (`in`) and encrypted (`out`) since the agent began, as "
            "last seen: at most `compare_interval` ago.",
            (*_CONNECTION, "direction"),
        ),
        Metric(
            "swanherd_connection_packets_total",
            Kind.COUNTER,
            "The same in packets.",
            (*_CONNECTION, "direction"),
        ),
        Metric(
            "swanherd_connection_rekeys_total",
            Kind.COUNTER,
            "SAs that took the place of another: `ike`, `child`.",
            (*_CONNECTION, "sa"),
        ),
        Metric(
            "swanherd_connection_retransmissions_total",
            Kind.COUNTER,
            "IKE requests that were sent again, since the peer hadn't answered: what dead peer "
            "detection misses, above all.",
            _CONNECTION,
        ),
        Metric(
            "swanherd_connection_dead_peer_total",
            Kind.COUNTER,
            "How often dead peer detection found the peer dead.",
            _CONNECTION,
        ),
        Metric(
            "swanherd_connection_last_error_timestamp_seconds",
            Kind.GAUGE,
            "When the connection last failed, with the code of the cause; it stays after the "
            "connection has come up.",
            (*_CONNECTION, "code"),
        ),
    )
}


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """A metric's values: pairs of the labels' values and a number.

    Of a histogram the label is the bucket's upper bound, its numbers include those of the buckets
    before, and `total` is the sum of what was measured.
    """

    metric: Metric
    samples: tuple[tuple[tuple[str, ...], float], ...]
    total: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class RouterSeen:
    """What one of the wheel's keys is: wanted, seen, said, counted; memory in bytes."""

    desired: DesiredRouter
    charon_runs: bool
    report: RouterReport
    tally: Tally
    memory: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class About:
    """What an agent is."""

    version: str
    backend: str
    plane: DataPlane


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """What an agent knows at one moment.

    `now` is in monotonic seconds, and the time of day is that plus `clock`. `routers` is by the
    wheel's keys; `failures` tells why their last turns failed.
    """

    about: About
    now: float
    clock: float
    turns: Turns
    waiting: int
    health: Health
    fenced: bool
    routers: Mapping[RouterId, RouterSeen]
    failures: Mapping[RouterId, Reason]


def metrics_of(snapshot: Snapshot) -> tuple[Family, ...]:
    """Return all families, each metric once and in the order of METRICS, without empty ones."""
    samples: dict[str, list[tuple[tuple[str, ...], float]]] = {name: [] for name in METRICS}
    for name, labels, value in (*_of_agent(snapshot), *_of_routers(snapshot)):
        samples[name].append((labels, value))
    histogram = "swanherd_turn_duration_seconds"
    samples[histogram] = list(_buckets(snapshot.turns))
    return tuple(
        Family(METRICS[name], tuple(found), snapshot.turns.seconds if name == histogram else None)
        for name, found in samples.items()
        if found
    )


_Values = Iterator[tuple[str, tuple[str, ...], float]]


def _of_agent(snapshot: Snapshot) -> _Values:
    about, turns = snapshot.about, snapshot.turns
    yield (
        "swanherd_agent_info",
        (plain(about.version), plain(about.backend), plain(about.plane)),
        1,
    )
    for check in snapshot.health.checks:
        yield "swanherd_check_ok", (check.name,), check.ok
    yield "swanherd_fenced", (), snapshot.fenced
    yield "swanherd_queue_length", (), snapshot.waiting
    yield "swanherd_turns_failed_total", (), turns.failed
    since = min(turns.running.values(), default=snapshot.now)
    yield "swanherd_turn_running_seconds", (), max(0.0, snapshot.now - since)
    serving = [seen for seen in snapshot.routers.values() if runs_charon(seen.desired)]
    for role in Role:
        yield "swanherd_routers", (role,), sum(seen.report.role is role for seen in serving)
    for key, reason in snapshot.failures.items():
        yield "swanherd_router_failing", (*_names(key), plain(reason.code)), 1


def _buckets(turns: Turns) -> Iterator[tuple[tuple[str, ...], float]]:
    below = 0
    for bound, number in zip((*map(str, BOUNDS), "+Inf"), turns.buckets, strict=True):
        below += number
        yield (bound,), below


def _of_routers(snapshot: Snapshot) -> _Values:
    for key, seen in snapshot.routers.items():
        labels = _names(key)
        yield "swanherd_router_ready", labels, seen.report.ready
        if not runs_charon(seen.desired):
            continue
        yield "swanherd_charon_up", labels, seen.charon_runs
        if seen.memory is not None:
            yield "swanherd_charon_resident_memory_bytes", labels, seen.memory
        if seen.report.role is Role.ACTIVE:
            yield from _of_connections(labels[0], seen, snapshot.clock)


def _of_connections(router_id: str, seen: RouterSeen, clock: float) -> _Values:
    rows = {row.id: row for row in seen.report.connections}
    configs = {c.id: p.config.name for p in peerings(seen.desired) for c in p.members}
    for connection in seen.desired.connections:
        row = rows.get(connection.id)
        if row is None:
            continue
        labels = (router_id, plain(connection.id))
        yield from _of_state(labels, connection, row)
        children = children_of(connection) if connection.id in configs else frozenset()
        yield "swanherd_connection_pairs", labels, len(children)
        carried = len(row.details.children) if row.details is not None else 0
        yield "swanherd_connection_pairs_carried", labels, carried
        pairs = {pair_of(child) for child in children}
        yield from _of_traffic(labels, seen.tally, pairs)
        peering = peering_of(configs.get(connection.id, ""))
        yield from _of_peering(labels, seen.tally, peering, clock)


def _of_state(labels: tuple[str, str], connection: SiteConnection, row: RowStatus) -> _Values:
    yield "swanherd_connection_enabled", labels, connection.up
    yield "swanherd_connection_up", labels, row.status is Status.ACTIVE
    yield "swanherd_connection_status", (*labels, row.status), 1
    if row.reason is not None:
        yield "swanherd_connection_problem", (*labels, plain(row.reason.code)), 1


def _of_traffic(labels: tuple[str, str], tally: Tally, pairs: Iterable[str]) -> _Values:
    traffic, rekeys = Traffic(), 0
    for pair in pairs:
        traffic = traffic.plus(tally.traffic.get(pair, Traffic()))
        rekeys += tally.child_rekeys.get(pair, 0)
    yield "swanherd_connection_bytes_total", (*labels, "in"), traffic.bytes_in
    yield "swanherd_connection_bytes_total", (*labels, "out"), traffic.bytes_out
    yield "swanherd_connection_packets_total", (*labels, "in"), traffic.packets_in
    yield "swanherd_connection_packets_total", (*labels, "out"), traffic.packets_out
    yield "swanherd_connection_rekeys_total", (*labels, "child"), rekeys


def _of_peering(
    labels: tuple[str, str], tally: Tally, peering: ConnectionId | None, clock: float
) -> _Values:
    """Of connections that share an IKE SA each is told what happened to that."""
    if peering is None:
        return
    rekeys = tally.ike_rekeys.get(peering, 0)
    yield "swanherd_connection_rekeys_total", (*labels, "ike"), rekeys
    sent = tally.retransmissions.get(peering, 0)
    yield "swanherd_connection_retransmissions_total", labels, sent
    yield "swanherd_connection_dead_peer_total", labels, tally.dead_peers.get(peering, 0)
    last = tally.errors.get(peering)
    if last is not None:
        name = "swanherd_connection_last_error_timestamp_seconds"
        yield name, (*labels, plain(last.code)), last.at + clock


def _names(key: RouterId) -> tuple[str, str]:
    namespace, router_id = parse_key(key)
    return plain(router_id), str(namespace or OWN_NAMESPACE)


def plain(text: str) -> str:
    """Return the text if it is one of our words or an id, else `other`."""
    return str(text) if _PLAIN.fullmatch(text) else "other"
