"""What an agent says of each row: pure, from what is wanted, what is, and what went wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import cast

from swanherd.core.capabilities import limitation, serviceable
from swanherd.core.details import LiveSas, details_of, live_sas
from swanherd.core.home import network_of, runs_charon
from swanherd.core.ike import Fault, IkeSa, LoadedConfig, ObservedCharon
from swanherd.core.index import concerning, index_of, pairs_of
from swanherd.core.layout import tunnel_mtu
from swanherd.core.loading import loaded
from swanherd.core.memo import equal, includes, remember_each, remember_pair
from swanherd.core.model import (
    DataPlane,
    DesiredRouter,
    Initiator,
    Reason,
    Role,
    RouterReport,
    RowStatus,
    SiteConnection,
    Status,
    TunnelDetails,
)
from swanherd.core.naming import pair_of
from swanherd.core.peering import (
    Peering,
    all_unlike,
    by_member,
    children_of,
    config_names,
    each_config,
    is_unresolved,
)
from swanherd.core.planner import Observed
from swanherd.core.tunnels import carrying

_ID = attrgetter("id")

ADMIN_DOWN = Reason("admin_down", "It is administratively down.", "Set admin_state_up to true.")
NO_SELECTORS = Reason(
    "no_traffic_selectors",
    "There is no pair of a local subnet and a peer CIDR of the same IP version.",
    "Give local and peer networks of the same IP version.",
)
NO_LOCAL_ADDRESS = Reason(
    "no_local_address",
    "The gateway has no public address of the peer's IP version.",
    "Use a peer address of the other IP version, or an external network that has both.",
)
NEGOTIATING = Reason("negotiating", "The tunnel is being negotiated.")
WAITING = Reason(
    "waiting_for_peer",
    "The connection only responds; the peer hasn't initiated yet.",
    "Initiate from the peer, or set initiator to bi-directional.",
)
PEER_NAME_UNRESOLVED = Reason(
    "peer_name_unresolved",
    "The gateway finds no address of its own IP version for the peer's name.",
    "Check the name in peer_address, and that the gateway nodes' DNS servers know it.",
)
SWAPPING = Reason(
    "swapping", "The old tunnel carries traffic while the changed one is negotiated."
)
INDISTINGUISHABLE = Reason(
    "indistinguishable",
    "Another connection of this router to the same peer has another key, IKE policy or dead peer "
    "detection; IKE can't tell the two apart, and the other's hold.",
    "Give both the same key, IKE policy and dpd, or use IKEv2 with different local_id or peer_id.",
)
# Of charon's failures the one that tells nothing of the peer (swanherd.swan.causes).
_NOT_INSTALLED = "install_failed"
SETTING_UP = Reason("setting_up", "The gateway is being set up.")
STANDBY = Reason(
    "standby",
    "The agent stands by: another node has the router's public address, or it can't see OVN.",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """What couldn't be done in this turn: for the whole router, or for single connections."""

    router: Reason | None = None
    permanent: bool = False
    connections: Mapping[str, Reason] = dataclasses.field(default_factory=dict)


def status_of(
    desired: DesiredRouter, observed: Observed, plane: DataPlane, trouble: Trouble
) -> RouterReport:
    """Return what is true of the router, row by row, at the desired state's revision.

    Of a namespace that only steers there is nothing to say of any row.
    """
    return (
        _tunnel_report(desired, observed, plane, trouble)
        if runs_charon(desired)
        else (_steering_report(desired, observed, plane))
    )


def _steering_report(desired: DesiredRouter, observed: Observed, plane: DataPlane) -> RouterReport:
    ready = _is_wired(desired, observed, plane)
    return RouterReport(desired.id, desired.revision, desired.epoch, (), (), ready=ready)


@dataclasses.dataclass(frozen=True, slots=True)
class _Look:
    """All that decides what a router's rows show."""

    desired: DesiredRouter
    charon: ObservedCharon
    plane: DataPlane
    trouble: Trouble
    ready: bool

    @property
    def is_standby(self) -> bool:
        return self.desired.role is Role.STANDBY

    @property
    def is_calm(self) -> bool:
        """Tell whether each row shows what charon has of it."""
        return not self.is_standby and (self.ready or self.trouble.router is None)


def _tunnel_report(
    desired: DesiredRouter, observed: Observed, plane: DataPlane, trouble: Trouble
) -> RouterReport:
    able = serviceable(desired, plane)
    look = _Look(desired, observed.charon, plane, trouble, _is_ready(desired, observed, plane))
    return RouterReport(
        desired.id,
        desired.revision,
        desired.epoch,
        tuple(_service_row(look, s.id, up=s.up) for s in desired.services),
        _connection_rows(look, able),
        role=desired.role,
        ready=look.ready and _has_all(able, observed.charon.configs),
    )


def _service_row(look: _Look, service_id: str, *, up: bool) -> RowStatus:
    if not up:
        return RowStatus(service_id, Status.DOWN, ADMIN_DOWN)
    if look.ready:
        shown = (Status.DOWN, STANDBY) if look.is_standby else (Status.ACTIVE, None)
        return RowStatus(service_id, *shown)
    trouble = look.trouble
    status = Status.ERROR if trouble.permanent else Status.DOWN
    return RowStatus(service_id, status, trouble.router or SETTING_UP)


def _connection_rows(look: _Look, able: DesiredRouter) -> tuple[RowStatus, ...]:
    """Return the connections' rows; with many connections nearly all are as at the last look.

    `able` is what of the router can be negotiated.
    """
    by_connection = by_member(able)
    rows = _active_rows(look, able)
    places = [place for place, row in enumerate(rows) if row is None]
    others = [look.desired.connections[place] for place in places]
    judged = _judged_rows(look, [(c, by_connection.get(c.id)) for c in others]) if others else ()
    for place, row in zip(places, judged, strict=True):
        rows[place] = row
    # None of them is None any more; to look at each would be a step for each.
    return cast("tuple[RowStatus, ...]", tuple(rows))


def _judged_rows(
    look: _Look, wanted: list[tuple[SiteConnection, Peering | None]]
) -> Iterator[RowStatus]:
    """Yield the rows of connections of which others' IKE SAs may carry something."""
    able = [(c, p.config.name) for c, p in wanted if p is not None]
    pairs = frozenset(pair_of(name) for c, _ in able for name in children_of(c))
    sas = concerning(look.charon, {name for _, name in able}, pairs)
    carried = frozenset(pair for sa in sas for pair in pairs_of(sa))
    live, faults = live_sas(sas), {fault.config: fault for fault in look.charon.faults}
    path = None if look.desired.public is None else look.desired.public.mtu
    for connection, peering in wanted:
        row = _connection_row(look, connection, peering, faults, carried)
        mtu = _mtu(connection, look.plane, path)
        details = _details(connection, peering, live)
        yield dataclasses.replace(row, effective_mtu=mtu, details=details)


def _active_rows(look: _Look, able: DesiredRouter) -> list[RowStatus | None]:
    """Return the row of each connection of which nothing but its own IKE SA has to be known."""
    connections, public = look.desired.connections, look.desired.public
    if not look.is_calm:
        return [None] * len(connections)
    sas = list(map(index_of(look.charon).single.get, each_config(able)))
    path = None if public is None else public.mtu
    rows = _each_active(connections, sas, rest=(look.plane, path))
    failed, unlike = look.trouble.connections, all_unlike(able)
    if not failed and not unlike:
        return rows
    own = map(by_member(able).get, map(_ID, connections))
    return [
        None if p is None or p.config.connection.id in failed or c.id in unlike else row
        for c, p, row in zip(connections, own, rows, strict=True)
    ]


def _connection_row(
    look: _Look,
    connection: SiteConnection,
    peering: Peering | None,
    faults: Mapping[str, Fault],
    carried: frozenset[str],
) -> RowStatus:
    trouble = look.trouble
    if peering is None:
        return _unwanted_row(connection, look.plane)
    if reason := trouble.connections.get(peering.config.connection.id):
        return RowStatus(connection.id, Status.ERROR, reason)
    if trouble.router is not None and not look.ready:
        status = Status.ERROR if trouble.permanent else Status.DOWN
        return RowStatus(connection.id, status, trouble.router)
    if look.is_standby:
        return RowStatus(connection.id, Status.DOWN, STANDBY)
    name = peering.config.name
    up = children_of(connection) & carrying(name, index_of(look.charon).of(name))
    seen = _Seen(up, carried, faults.get(name))
    row = _tunnel_row(connection, peering, seen)
    if trouble.router is not None and _is_the_nodes(row.reason):
        return dataclasses.replace(row, reason=trouble.router)
    return row


def _is_the_nodes(reason: Reason | None) -> bool:
    """Tell whether what the turn failed for is why the tunnel isn't up.

    Nothing is negotiated before the turn goes well: what would begin waits. What charon can't
    install it can't for what the node lacks.
    """
    return reason is not None and (reason is NEGOTIATING or reason.code == _NOT_INSTALLED)


@remember_each
def _each_active(
    connection: SiteConnection, sa: IkeSa, plane: DataPlane, path: int | None
) -> RowStatus | None:
    """Return the row of a connection of which its config's only IKE SA carries all; else None.

    What others carry of it then counts for nothing (`details_of`).
    """
    wanted = children_of(connection)
    if not wanted or sa.details is None or not wanted <= carrying(sa.config, (sa,)):
        return None
    details = details_of(sa.config, wanted, live_sas((sa,)))
    mtu = _mtu(connection, plane, path)
    return RowStatus(connection.id, Status.ACTIVE, effective_mtu=mtu, details=details)


def _mtu(connection: SiteConnection, plane: DataPlane, path: int | None) -> int | None:
    if path is None or connection.local_address is None:
        return None
    return tunnel_mtu(connection, plane, path)


def _details(
    connection: SiteConnection, peering: Peering | None, live: LiveSas
) -> TunnelDetails | None:
    if peering is None:
        return None
    return details_of(peering.config.name, children_of(connection), live)


def _is_ready(desired: DesiredRouter, observed: Observed, plane: DataPlane) -> bool:
    """Tell whether the namespace is as wanted and charon runs in it."""
    return observed.charon.running and _is_wired(desired, observed, plane)


def _is_wired(desired: DesiredRouter, observed: Observed, plane: DataPlane) -> bool:
    wanted = network_of(desired, plane)
    network = observed.network
    return (
        equal(network.guard, wanted.guard)
        and wanted.links <= network.links
        and includes(network.routes, wanted.routes)
        and includes(network.rules, wanted.rules)
    )


@remember_pair
def _has_all(desired: DesiredRouter, configs: frozenset[LoadedConfig]) -> bool:
    """Tell whether charon has every config, so that it could serve at once."""
    return config_names(desired) <= loaded(configs).keys()


def _unwanted_row(connection: SiteConnection, plane: DataPlane) -> RowStatus:
    unable = limitation(connection.ipsec, plane)
    if connection.up and unable is not None:
        return RowStatus(connection.id, Status.ERROR, unable)
    return RowStatus(connection.id, Status.DOWN, _why_not_wanted(connection))


def _why_not_wanted(connection: SiteConnection) -> Reason:
    if not connection.up:
        return ADMIN_DOWN
    return NO_SELECTORS if not connection.selectors else NO_LOCAL_ADDRESS


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """Of one connection: its children that are up, and the pairs that anything carries."""

    up: frozenset[str]
    pairs: frozenset[str]
    fault: Fault | None


def _tunnel_row(connection: SiteConnection, peering: Peering, seen: _Seen) -> RowStatus:
    """Return ACTIVE only if every child carries traffic under the current generation."""
    wanted = children_of(connection)
    if seen.up == wanted and connection.id not in peering.unlike:
        return RowStatus(connection.id, Status.ACTIVE)
    up = len(seen.up)
    reason = _why_not_up(connection, peering, seen.fault, up=up, wanted=len(wanted))
    pairs = {pair_of(name) for name in wanted}
    if pairs <= seen.pairs:
        # All of it is carried, but not as the API has it now.
        shown = SWAPPING if reason is NEGOTIATING else reason
        return RowStatus(connection.id, Status.PENDING_UPDATE, shown)
    if connection.id in peering.unlike:
        return RowStatus(connection.id, Status.ERROR, reason)
    return RowStatus(connection.id, Status.DOWN, reason)


def _why_not_up(
    connection: SiteConnection, peering: Peering, fault: Fault | None, *, up: int, wanted: int
) -> Reason:
    if connection.id in peering.unlike:
        return INDISTINGUISHABLE
    if is_unresolved(connection):
        return PEER_NAME_UNRESOLVED
    if fault is not None:
        return Reason(fault.code, fault.text, fault.hint)
    if up:
        return Reason("partially_up", f"{up} of {wanted} child SAs are up.")
    return WAITING if connection.initiator is Initiator.RESPONSE_ONLY else NEGOTIATING
