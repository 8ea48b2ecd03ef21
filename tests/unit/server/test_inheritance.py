"""What the database says of routers that neutron-vpnaas may have served."""

from swanherd.core.migration import Keeper
from swanherd.server import inheritance
from tests.unit.server.cloud import uuid
from tests.unit.server.l3 import admin


def test_every_router_with_a_service_is_told_with_its_tunnels(cloud):
    """Ours, and one that nobody has taken in yet; with a gateway or without."""
    cloud.connection()
    connection = cloud.api.get_ipsec_site_connections(cloud.fresh())[0]
    cloud.neutron.insert("vpnservices", router_id=uuid("r3"), subnet_id=uuid("s4"), status="DOWN")
    ours, strange = inheritance.inherited(admin(), cloud.store)
    assert (ours.router_id, ours.keeper) == (uuid("r1"), Keeper.OURS)
    assert [tunnel.id for tunnel in ours.tunnels] == [connection["id"]]
    assert (strange.router_id, strange.keeper) == (uuid("r3"), Keeper.THEIRS)
    assert (ours.has_gateway, strange.has_gateway) == (True, False)
