"""Rows that neutron-vpnaas wrote may break the rules of today; they are changed all the same."""

import pytest
from neutron_lib import context as n_context
from neutron_lib.db import api as db_api

from swanherd.core import validation
from swanherd.server.db.models import EndpointRow, PeerCidrRow
from tests.unit.server.cloud import uuid

SPELT = ["2001:db8:0::/64", "2001:db8::5/64"]


def put(row):
    with db_api.CONTEXT_WRITER.using(n_context.get_admin_context()) as session:
        session.add(row)


def by_cidrs(cloud):
    """Return a connection whose own list has one network twice."""
    service = cloud.create("vpnservice", subnet_id=uuid("s6"))
    made = cloud.connection(service, peer_cidrs=SPELT[:1])
    put(PeerCidrRow(cidr=SPELT[1], ipsec_site_connection_id=made["id"]))
    return made["id"]


def by_group(cloud):
    """Return a connection whose group has one network twice."""
    service = cloud.create("vpnservice", subnet_id=None)
    local = cloud.create("endpoint_group", type="subnet", endpoints=[uuid("s6")])
    peer = cloud.create("endpoint_group", type="cidr", endpoints=SPELT[:1])
    put(EndpointRow(endpoint=SPELT[1], endpoint_group_id=peer["id"]))
    made = cloud.connection(
        service, peer_cidrs=[], local_ep_group_id=local["id"], peer_ep_group_id=peer["id"]
    )
    return made["id"]


@pytest.mark.parametrize("older", [by_cidrs, by_group])
def test_a_network_in_two_spellings_hinders_no_change(cloud, older):
    """They are one network to the gateway. Only who names the list is asked to name it once."""
    made = older(cloud)
    for change in ({"psk": "another-key"}, {"mtu": 1400}, {"admin_state_up": False}):
        cloud.update("ipsec_site_connection", made, **change)
    shown = cloud.show("ipsec_site_connection", made)
    assert (shown["psk"], shown["mtu"], shown["admin_state_up"]) == ("another-key", 1400, False)
    if shown["peer_cidrs"]:
        with pytest.raises(Exception, match="named twice"):
            cloud.update("ipsec_site_connection", made, peer_cidrs=SPELT)
        shown = cloud.update("ipsec_site_connection", made, peer_cidrs=SPELT[:1])
        assert [validation.parse_network(each) for each in shown["peer_cidrs"]] == [
            validation.parse_network(SPELT[0])
        ]
