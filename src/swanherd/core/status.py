"""What an agent says of each row: pure, from what is wanted, what is, and what went wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from swanherd.core.ike import Fault, IkeConfig, ObservedCharon
from swanherd.core.layout import network_of
from swanherd.core.model import (
    DataPlane,
    DesiredRouter,
    Initiator,
    Reason,
    RouterReport,
    RowStatus,
    SiteConnection,
    Status,
)
from swanherd.core.naming import connection_of
from swanherd.core.planner import Observed
from swanherd.core.tunnels import carrying, wanted_configs

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
SETTING_UP = Reason("setting_up", "The gateway is being set up.")


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """What couldn't be done in this turn: for the whole router, or for single connections."""

    router: Reason | None = None
    permanent: bool = False
    connections: Mapping[str, Reason] = dataclasses.field(default_factory=dict)


def status_of(
    desired: DesiredRouter, observed: Observed, plane: DataPlane, trouble: Trouble
) -> RouterReport:
    """Return what is true of the router, row by row, at the desired state's revision."""
    configs = {c.connection.id: c for c in wanted_configs(desired)}
    faults = {fault.config: fault for fault in observed.charon.faults}
    ready = _is_ready(desired, observed, plane)

    def connection_row(connection: SiteConnection) -> RowStatus:
        config = configs.get(connection.id)
        if config is None:
            return RowStatus(connection.id, Status.DOWN, _why_not_wanted(connection))
        if reason := trouble.connections.get(connection.id):
            return RowStatus(connection.id, Status.ERROR, reason)
        if trouble.router is not None and not ready:
            status = Status.ERROR if trouble.permanent else Status.DOWN
            return RowStatus(connection.id, status, trouble.router)
        return _tunnel_row(config, observed.charon, faults.get(config.name))

    def service_row(service_id: str, *, up: bool) -> RowStatus:
        if not up:
            return RowStatus(service_id, Status.DOWN, ADMIN_DOWN)
        if ready:
            return RowStatus(service_id, Status.ACTIVE)
        status = Status.ERROR if trouble.permanent else Status.DOWN
        return RowStatus(service_id, status, trouble.router or SETTING_UP)

    return RouterReport(
        desired.id,
        desired.revision,
        desired.epoch,
        tuple(service_row(s.id, up=s.up) for s in desired.services),
        tuple(map(connection_row, desired.connections)),
    )


def _is_ready(desired: DesiredRouter, observed: Observed, plane: DataPlane) -> bool:
    """Tell whether the namespace is as wanted and charon runs in it."""
    wanted = network_of(desired, plane)
    network = observed.network
    return (
        observed.charon.running
        and network.guard == wanted.guard
        and wanted.links <= network.links
        and wanted.routes <= network.routes
        and wanted.rules <= network.rules
    )


def _why_not_wanted(connection: SiteConnection) -> Reason:
    if not connection.up:
        return ADMIN_DOWN
    return NO_SELECTORS if not connection.selectors else NO_LOCAL_ADDRESS


def _tunnel_row(config: IkeConfig, charon: ObservedCharon, fault: Fault | None) -> RowStatus:
    """Return ACTIVE only if every child carries traffic under the current generation."""
    connection_id = config.connection.id
    wanted = {name for name, _ in config.children}
    up = wanted & carrying(config.name, charon.ike_sas)
    if up == wanted:
        return RowStatus(connection_id, Status.ACTIVE)
    if fault is not None:
        reason = Reason(fault.code, fault.text, fault.hint)
    elif up:
        reason = Reason("partially_up", f"{len(up)} of {len(wanted)} child SAs are up.")
    elif config.connection.initiator is Initiator.RESPONSE_ONLY:
        reason = WAITING
    else:
        reason = NEGOTIATING
    old_carries = any(
        sa.config != config.name
        and connection_of(sa.config) == connection_id
        and carrying(sa.config, [sa])
        for sa in charon.ike_sas
    )
    if old_carries:
        return RowStatus(
            connection_id, Status.PENDING_UPDATE, reason if fault is not None else SWAPPING
        )
    return RowStatus(connection_id, Status.DOWN, reason)
