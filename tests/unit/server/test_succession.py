"""Of connections with the same networks one has them: Heat makes a new one before the old goes."""

import pytest
import sqlalchemy as sa
from neutron_lib import context as n_context
from neutron_lib.db import api as db_api

from swanherd.core.model import Status
from swanherd.server import desired
from swanherd.server.backend import Wiring
from swanherd.server.db.models import StatusRow
from swanherd.server.errors import SelectorInUse
from tests.unit.server.cloud import uuid

RESOURCE = "ipsec_site_connection"
NETS = ["10.9.0.0/24"]


def on_the_node(cloud):
    """Return the ids of the connections that an agent is told of."""
    wiring = Wiring()
    found = desired.build(n_context.get_admin_context(), cloud.row(), wiring)
    assert not {row_id for row_id, _ in found.problems} - {c.id for c in found.connections}
    return {str(connection.id) for connection in found.connections}


def shown(cloud, made):
    row = cloud.show(RESOURCE, made["id"])
    return row["status"], row["status_code"]


def test_the_newer_has_the_networks_until_it_goes(cloud):
    """Never two on the node; the older says why it has none, and takes them back."""
    service = cloud.create("vpnservice")
    old = cloud.connection(service, peer_cidrs=NETS)
    new = cloud.connection(service, peer_cidrs=[*NETS, "10.8.0.0/24"])
    assert on_the_node(cloud) == {new["id"]}
    assert shown(cloud, old) == (Status.ERROR, "superseded")
    assert new["id"] in cloud.show(RESOURCE, old["id"])["status_reason"]
    assert shown(cloud, new) == (Status.PENDING_CREATE, None)
    cloud.delete(RESOURCE, new["id"])
    assert on_the_node(cloud) == {old["id"]}
    assert shown(cloud, old) == (Status.PENDING_CREATE, None)


def test_the_older_may_go_first(cloud):
    """What Heat does: the newer keeps what it has."""
    service = cloud.create("vpnservice")
    old, new = (cloud.connection(service, peer_cidrs=NETS) for _ in range(2))
    cloud.delete(RESOURCE, old["id"])
    assert on_the_node(cloud) == {new["id"]}
    assert shown(cloud, new) == (Status.PENDING_CREATE, None)


def test_of_three_the_newest_has_them_and_each_goes_in_turn(cloud):
    """At any time exactly one is on the node."""
    service = cloud.create("vpnservice")
    made = []
    for _ in range(3):
        made.append(cloud.connection(service, peer_cidrs=NETS))
        cloud.clock.advance(1)
    while made:
        newest = made.pop()
        assert on_the_node(cloud) == {newest["id"]}
        assert all(shown(cloud, older)[1] == "superseded" for older in made)
        cloud.delete(RESOURCE, newest["id"])


def test_nobody_loses_a_network_that_the_newer_does_not_take(cloud):
    """A part of an older one's networks, and another service's, are refused as ever."""
    service, other = cloud.create("vpnservice"), cloud.create("vpnservice")
    cloud.connection(service, peer_cidrs=[*NETS, "10.8.0.0/24"])
    for home, nets in ((service, NETS), (other, [*NETS, "10.8.0.0/24"])):
        with pytest.raises(SelectorInUse):
            cloud.connection(home, peer_cidrs=nets)


def test_a_change_of_either_frees_what_they_shared(cloud):
    """The superseded one moves to other networks, or the newer does."""
    service = cloud.create("vpnservice")
    old, new = (cloud.connection(service, peer_cidrs=NETS) for _ in range(2))
    cloud.update(RESOURCE, old["id"], peer_cidrs=["10.7.0.0/24"])
    assert on_the_node(cloud) == {old["id"], new["id"]}
    newest = cloud.connection(service, peer_cidrs=NETS)
    cloud.update(RESOURCE, newest["id"], peer_cidrs=["10.6.0.0/24"])
    assert on_the_node(cloud) == {old["id"], new["id"], newest["id"]}
    with pytest.raises(SelectorInUse):
        cloud.update(RESOURCE, newest["id"], peer_cidrs=NETS)


def test_of_doubles_that_another_plugin_left_one_is_served(cloud):
    """neutron-vpnaas refuses none; the one that was up keeps the networks."""
    service = cloud.create("vpnservice")
    made = [cloud.connection(service) for _ in range(3)]
    with db_api.CONTEXT_WRITER.using(n_context.get_admin_context()) as session:
        session.query(StatusRow).delete()
        table = "UPDATE ipsecpeercidrs SET cidr = '10.9.0.0/24'"
        session.execute(sa.text(table))
        up = f"UPDATE ipsec_site_connections SET status = 'ACTIVE' WHERE id = '{made[1]['id']}'"
        session.execute(sa.text(up))
    cloud.store.adopt(n_context.get_admin_context())
    assert on_the_node(cloud) == {made[1]["id"]}
    assert [shown(cloud, each)[1] for each in made] == ["superseded", None, "superseded"]
    assert cloud.row().router_id == uuid("r1")
