"""Ids as what they refer to has them: MariaDB took them in capitals too, and kept them so."""

import sqlalchemy as sa
from alembic import op

revision = "5a7e0de00106"
down_revision = "5a7e0de00105"

_ROUTER = ("router_id",)
_PARENTS = ("vpnservice_id", "ikepolicy_id", "ipsecpolicy_id")
_IDS = {
    "vpnservices": (*_ROUTER, "flavor_id"),
    "ipsec_site_connections": (*_PARENTS, "local_ep_group_id", "peer_ep_group_id"),
    "vpn_ext_gws": _ROUTER,
    "routervpnagentbindings": _ROUTER,
    "swanherd_routers": _ROUTER,
    "swanherd_statuses": _ROUTER,
    "swanherd_candidates": _ROUTER,
}


def upgrade() -> None:
    """Write them in lower case, as Neutron makes them."""
    for table, names in _IDS.items():
        rows = sa.table(table, *(sa.column(name) for name in names))
        for name in names:
            lower = sa.func.lower(rows.c[name])
            op.execute(rows.update().values({name: lower}).where(rows.c[name].is_not(None)))
