"""All tables of the database: Neutron's and ours, as migrations and their tests need them."""

from __future__ import annotations

from typing import Any

from neutron.db.migration.models import head as neutron_head

from swanherd.server.db import models

OUR_TABLES = frozenset(
    row.__tablename__
    for row in (
        models.IkePolicyRow,
        models.IpsecPolicyRow,
        models.EndpointGroupRow,
        models.EndpointRow,
        models.VpnServiceRow,
        models.SiteConnectionRow,
        models.PeerCidrRow,
        models.SecretRow,
        models.ExternalGatewayRow,
        models.AgentBindingRow,
        models.RouterStateRow,
        models.StatusRow,
        models.CandidateRow,
    )
)


def get_metadata() -> Any:
    """Return the metadata of every model."""
    return neutron_head.get_metadata()
