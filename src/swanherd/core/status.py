"""What an agent says of each row: pure, from what is wanted, what is, and what went wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from swanherd.core.capabilities import limitation, serviceable
from swanherd.core.details import LiveSas, details_of, live_sas
from swanherd.core.home import network_of, runs_charon
from swanherd.core.ike import Fault
from swanherd.core.layout import effective_mtus
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
from swanherd.core.peering import Peering, children_of, peerings
from swanherd.core.planner import Observed
from swanherd.core.tunnels import by_config, carrying, carrying_pairs

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
SWAPPING = Reason(
    "swapping", "The old tunnel carries traffic while the changed one is negotiated."
)
INDISTINGUISHABLE = Reason(
    "indistinguishable",
    "Another connection of this router to the same peer has another key, IKE policy or dead peer "
    "detection; IKE can't tell the two apart, and the other's hold.",
    "Give both the same key, IKE policy and dpd, or use IKEv2 with different local_id or peer_id.",
)
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


def _tunnel_report(
    desired: DesiredRouter, observed: Observed, plane: DataPlane, trouble: Trouble
) -> RouterReport:
    able = serviceable(desired, plane)
    by_connection = {c.id: p for p in peerings(able) for c in p.members}
    faults = {fault.config: fault for fault in observed.charon.faults}
    ready = _is_ready(desired, observed, plane)
    standby = desired.role is Role.STANDBY
    mtus = effective_mtus(desired, plane) if desired.public is not None else {}
    live = live_sas(observed.charon.ike_sas)
    current = by_config(observed.charon.ike_sas)
    pairs = carrying_pairs(observed.charon.ike_sas)

    def told(connection: SiteConnection) -> RowStatus:
        mtu = mtus.get(connection.id) if connection.local_address is not None else None
        details = _details(connection, by_connection.get(connection.id), live)
        return dataclasses.replace(connection_row(connection), effective_mtu=mtu, details=details)

    def connection_row(connection: SiteConnection) -> RowStatus:
        peering = by_connection.get(connection.id)
        if peering is None:
            return _unwanted_row(connection, plane)
        if reason := trouble.connections.get(peering.config.connection.id):
            return RowStatus(connection.id, Status.ERROR, reason)
        if trouble.router is not None and not ready:
            status = Status.ERROR if trouble.permanent else Status.DOWN
            return RowStatus(connection.id, status, trouble.router)
        if standby:
            return RowStatus(connection.id, Status.DOWN, STANDBY)
        name = peering.config.name
        up = children_of(connection) & carrying(name, current.get(name, ()))
        return _tunnel_row(connection, peering, _Seen(up, pairs, faults.get(name)))

    def service_row(service_id: str, *, up: bool) -> RowStatus:
        if not up:
            return RowStatus(service_id, Status.DOWN, ADMIN_DOWN)
        if ready:
            shown = (Status.DOWN, STANDBY) if standby else (Status.ACTIVE, None)
            return RowStatus(service_id, *shown)
        status = Status.ERROR if trouble.permanent else Status.DOWN
        return RowStatus(service_id, status, trouble.router or SETTING_UP)

    return RouterReport(
        desired.id,
        desired.revision,
        desired.epoch,
        tuple(service_row(s.id, up=s.up) for s in desired.services),
        tuple(map(told, desired.connections)),
        role=desired.role,
        ready=ready and _is_loaded(able, observed),
    )


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
        network.guard == wanted.guard
        and wanted.links <= network.links
        and wanted.routes <= network.routes
        and wanted.rules <= network.rules
    )


def _is_loaded(desired: DesiredRouter, observed: Observed) -> bool:
    """Tell whether charon has every config, so that it could serve at once."""
    return {p.config.name for p in peerings(desired)} <= {c.name for c in observed.charon.configs}


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
    if fault is not None:
        return Reason(fault.code, fault.text, fault.hint)
    if up:
        return Reason("partially_up", f"{up} of {wanted} child SAs are up.")
    return WAITING if connection.initiator is Initiator.RESPONSE_ONLY else NEGOTIATING
