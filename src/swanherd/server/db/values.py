"""Policy rows as the core's values."""

from __future__ import annotations

from swanherd.core.model import (
    Dpd,
    DpdAction,
    Encapsulation,
    IkePolicy,
    IkeVersion,
    IpsecPolicy,
    Phase1Mode,
    Transform,
)
from swanherd.server.db.models import IkePolicyRow, IpsecPolicyRow, SiteConnectionRow


def ike_policy(row: IkePolicyRow) -> IkePolicy:
    """Return an IKE policy."""
    return IkePolicy(
        version=IkeVersion(row.ike_version),
        mode=Phase1Mode(row.phase1_negotiation_mode),
        encryption=row.encryption_algorithm,
        integrity=row.auth_algorithm,
        dh_group=row.pfs,
        lifetime=row.lifetime_value,
    )


def ipsec_policy(row: IpsecPolicyRow) -> IpsecPolicy:
    """Return an IPsec policy."""
    return IpsecPolicy(
        transform=Transform(row.transform_protocol),
        mode=Encapsulation(row.encapsulation_mode),
        encryption=row.encryption_algorithm,
        integrity=row.auth_algorithm,
        dh_group=row.pfs,
        lifetime=row.lifetime_value,
    )


def dpd(row: SiteConnectionRow) -> Dpd:
    """Return a connection's dead peer detection."""
    return Dpd(DpdAction(row.dpd_action), row.dpd_interval, row.dpd_timeout)
