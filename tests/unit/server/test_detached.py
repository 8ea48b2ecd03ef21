"""Services and connections whose local subnets aren't on their router, whoever took them."""

import pytest

from swanherd.core.model import Status
from tests.unit.server.cloud import uuid
from tests.unit.server.l3 import R1, serving

NOWHERE = uuid("gone")


@pytest.fixture
def up(cloud, neutron, served):
    """A router with two connections, of its service and of endpoint groups; both are up."""
    neutron.router()
    neutron.bind("a")
    neutron.port("more", "network:router_interface", "10.2.0.1", "t4")
    service = cloud.create("vpnservice", subnet_id=None)
    groups = {
        "local_ep_group_id": group(cloud, "subnet", uuid("t4")),
        "peer_ep_group_id": group(cloud, "cidr", "10.8.0.0/24"),
    }
    made = cloud.connection(), cloud.connection(service, peer_cidrs=[], **groups)
    report(cloud, served)
    assert [shown(cloud, each) for each in made] == 2 * [("ACTIVE", None)]
    return made


def group(cloud, kind, *endpoints):
    return cloud.create("endpoint_group", type=kind, endpoints=list(endpoints))["id"]


def report(cloud, served, status=Status.ACTIVE):
    served.report_status("a", [serving(cloud, None, status)])


def shown(cloud, connection, resource="ipsec_site_connection"):
    found = cloud.show(resource, connection["id"])
    return found["status"], found["status_code"]


def test_a_connection_without_its_interface_says_so_until_that_is_back(cloud, neutron, served, up):
    """Its service does too; another connection is what it was, whatever the agent says of all."""
    of_service, of_group = up
    service = {"id": of_service["vpnservice_id"]}
    neutron.disconnect("r1", "s4")
    cloud.looker.sweep(R1)
    report(cloud, served)
    assert shown(cloud, of_service) == ("ERROR", "local_subnet_detached")
    assert shown(cloud, service, "vpnservice") == ("ERROR", "local_subnet_detached")
    assert shown(cloud, of_group) == ("ACTIVE", None)
    reason = cloud.show("ipsec_site_connection", of_service["id"])["status_reason"]
    assert f"no interface in the local subnet {uuid('s4')}." in reason
    neutron.allocate("in", "10.1.0.1", "s4")
    cloud.looker.sweep(R1)
    report(cloud, served)
    assert shown(cloud, of_service) == shown(cloud, of_group) == ("ACTIVE", None)


def test_a_subnet_of_a_group_that_there_is_no_more_is_told(cloud, neutron, served, up):
    """How many it is as well; a look that finds the same changes nothing."""
    _, of_group = up
    neutron.insert("vpn_endpoints", endpoint=NOWHERE, endpoint_group_id=local_group(of_group))
    neutron.disconnect("r1", "t4")
    cloud.looker.sweep(R1)
    assert shown(cloud, of_group) == ("ERROR", "local_subnet_detached")
    reason = cloud.show("ipsec_site_connection", of_group["id"])["status_reason"]
    assert " and 1 more." in reason
    before = cloud.row()
    cloud.looker.sweep(R1)
    assert cloud.row() == before


def local_group(connection):
    return connection["local_ep_group_id"]
