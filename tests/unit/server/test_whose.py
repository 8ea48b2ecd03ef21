"""Whose the things are that a connection refers to."""

import pytest
from neutron_lib import context as n_context
from neutron_lib.exceptions import vpn as vpn_exc

from tests.unit.server.cloud import DEFAULTS, uuid


def test_a_peer_is_somebody_else(cloud):
    """The VPN's own address, in any spelling, is refused as what it is."""
    cloud.backend.addresses = ("203.0.113.5", "fd03::5")
    service = cloud.create("vpnservice")
    made = cloud.connection(service)
    for address in ("203.0.113.5", "fd03:0::5"):
        for ask in (
            lambda a: cloud.connection(service, peer_address=a),
            lambda a: cloud.update("ipsec_site_connection", made["id"], peer_address=a),
        ):
            with pytest.raises(vpn_exc.VPNPeerAddressNotResolved, match="own address"):
                ask(address)


def test_an_owner_changes_what_an_administrator_made_with_anothers(cloud):
    """What a connection refers to needn't be the owner's own; what a change names must be."""
    admin = n_context.get_admin_context()
    service = {**DEFAULTS["vpnservice"], "project_id": "q", "subnet_id": None}
    service = cloud.api.create_vpnservice(admin, {"vpnservice": service})
    here = cloud.create("endpoint_group", project_id="q", type="subnet", endpoints=[uuid("s4")])
    there = cloud.create("endpoint_group", project_id="q", type="cidr", endpoints=["10.9.0.0/24"])
    theirs = {k: cloud.create(k, project_id="q")["id"] for k in ("ikepolicy", "ipsecpolicy")}
    body = {
        **DEFAULTS["ipsec_site_connection"],
        "vpnservice_id": service["id"],
        **{f"{kind}_id": row_id for kind, row_id in theirs.items()},
        "local_ep_group_id": here["id"],
        "peer_ep_group_id": there["id"],
    }
    made = cloud.api.create_ipsec_site_connection(admin, {"ipsec_site_connection": body})
    own = cloud.create("ipsecpolicy")
    for change in ({"psk": "another"}, {"dpd": {"interval": 7}}, {"ipsecpolicy_id": own["id"]}):
        cloud.update("ipsec_site_connection", made["id"], **change)
    for change, refusal in (
        ({"ikepolicy_id": theirs["ikepolicy"]}, vpn_exc.IKEPolicyNotFound),
        ({"peer_ep_group_id": there["id"]}, vpn_exc.VPNEndpointGroupNotFound),
    ):
        with pytest.raises(refusal):
            cloud.update("ipsec_site_connection", made["id"], mtu=1400, **change)
    cloud.delete("ipsec_site_connection", made["id"])
