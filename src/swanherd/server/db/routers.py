"""A router's rows as the value that backends get."""

from __future__ import annotations

from collections.abc import Sequence

from swanherd.core.model import RouterId, Secret
from swanherd.server.backend import RouterRow
from swanherd.server.db.models import CandidateRow, RouterStateRow
from swanherd.server.db.status import problem_of


def router_row(row: RouterStateRow, services: int, others: Sequence[CandidateRow]) -> RouterRow:
    """Return what is known of a router that has so many vpnservices and these candidates."""
    return RouterRow(
        router_id=RouterId(row.router_id),
        revision=row.revision,
        northbound_revision=row.northbound_revision,
        host=row.host,
        epoch=row.epoch,
        claimed_at=row.claimed_at,
        naming_key=Secret(row.naming_key),
        problem=problem_of(row),
        services=services,
        standbys=tuple(other.host for other in others if other.host != row.host),
        pin=next((other.host for other in others if other.pinned), None),
        ready=frozenset(
            other.host
            for other in others
            if other.ready and (other.applied_revision or 0) >= row.revision
        ),
    )
