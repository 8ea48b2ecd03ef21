import pytest
from neutron_lib import exceptions as lib_exc
from neutron_lib.exceptions import vpn as vpn_exc

from swanherd.server.errors import SelectorInUse
from tests.unit.server.cloud import uuid


def test_defaults_of_the_api_make_a_policy_that_can_be_read_back(cloud):
    """sha1 is the API's default; it must not break what comes after."""
    for resource in ("ikepolicy", "ipsecpolicy"):
        made = cloud.create(resource)
        assert made["auth_algorithm"] == "sha1"
        assert made["lifetime"] == {"units": "seconds", "value": 3600}
        assert cloud.show(resource, made["id"]) == made


def test_what_is_created_is_what_is_shown(cloud):
    """All that a request says comes back, with the defaults for what it leaves out."""
    made = cloud.connection(dpd={"interval": "5"}, mtu=1400, name="c", local_id="me")
    assert made["dpd"] == {"action": "hold", "interval": 5, "timeout": 120}
    assert made["psk"] == "secret"
    assert made["status"] == "PENDING_CREATE"
    assert (made["auth_mode"], made["route_mode"], made["local_id"]) == ("psk", "static", "me")
    assert cloud.show("ipsec_site_connection", made["id"]) == made


def test_a_partial_dpd_keeps_the_rest(cloud):
    """PUT changes what it names."""
    made = cloud.connection(dpd={"action": "restart", "interval": 10, "timeout": 40})
    changed = cloud.update("ipsec_site_connection", made["id"], dpd={"timeout": 20})
    assert changed["dpd"] == {"action": "restart", "interval": 10, "timeout": 20}


def test_a_member_sees_nothing_of_another_project(cloud):
    """What is another's is not found."""
    made = cloud.connection()
    stranger = cloud.fresh()
    stranger.project_id = "q"
    assert cloud.api.get_ipsec_site_connections(stranger) == []
    with pytest.raises(vpn_exc.IPsecSiteConnectionNotFound):
        cloud.api.get_ipsec_site_connection(stranger, made["id"])
    with pytest.raises(vpn_exc.IPsecSiteConnectionNotFound):
        cloud.api.delete_ipsec_site_connection(stranger, made["id"])


def test_a_psk_is_not_searched_for(cloud):
    """A filter by key chooses nothing and hides nothing."""
    cloud.connection()
    assert len(cloud.api.get_ipsec_site_connections(cloud.fresh(), {"psk": ["wrong"]})) == 1


def test_the_same_selector_twice_on_a_router_is_refused(cloud):
    """Across services, spellings and updates; another router doesn't matter."""
    first = cloud.create("vpnservice")
    second = cloud.create("vpnservice")
    cloud.connection(first, peer_cidrs=["10.9.0.0/24"])
    with pytest.raises(SelectorInUse, match=r"10\.9\.0\.0/24"):
        cloud.connection(second, peer_cidrs=["10.8.0.0/24", "10.9.0.7/24"])
    other = cloud.connection(second, peer_cidrs=["10.8.0.0/24"])
    with pytest.raises(SelectorInUse):
        cloud.update("ipsec_site_connection", other["id"], peer_cidrs=["10.9.0.0/24"])
    same = cloud.update("ipsec_site_connection", other["id"], peer_cidrs=["10.8.0.9/24"])
    assert same["peer_cidrs"] == ["10.8.0.0/24"]
    elsewhere = cloud.create("vpnservice", router_id=uuid("r2"))
    cloud.connection(elsewhere, peer_cidrs=["10.9.0.0/24"])


def test_what_is_in_use_stays(cloud):
    """A parent of a connection can't be deleted; afterwards everything can."""
    made = cloud.connection()
    parents = (
        ("vpnservice", "vpnservice_id", vpn_exc.VPNServiceInUse),
        ("ikepolicy", "ikepolicy_id", vpn_exc.IKEPolicyInUse),
        ("ipsecpolicy", "ipsecpolicy_id", vpn_exc.IPsecPolicyInUse),
    )
    for resource, key, refusal in parents:
        with pytest.raises(refusal):
            cloud.delete(resource, made[key])
    cloud.delete("ipsec_site_connection", made["id"])
    for resource, key, _ in parents:
        cloud.delete(resource, made[key])
    assert cloud.row() is None


def test_endpoint_groups_name_both_sides(cloud):
    """A service without a subnet takes a group of subnets and a group of CIDRs."""
    local = cloud.create("endpoint_group", type="subnet", endpoints=[uuid("s4"), uuid("t4")])
    peer = cloud.create("endpoint_group", type="cidr", endpoints=["10.9.0.0/24"])
    service = cloud.create("vpnservice", subnet_id=None)
    groups = {"local_ep_group_id": local["id"], "peer_ep_group_id": peer["id"]}
    cloud.connection(service, peer_cidrs=[], **groups)
    traffic = cloud.store.router_traffic(cloud.fresh(), uuid("r1"))
    assert [(str(s.local), str(s.remote)) for s in traffic.selectors] == [
        ("10.1.0.0/24", "10.9.0.0/24"),
        ("10.2.0.0/24", "10.9.0.0/24"),
    ]
    with pytest.raises(vpn_exc.EndpointGroupInUse):
        cloud.delete("endpoint_group", peer["id"])
    with pytest.raises(vpn_exc.WrongEndpointGroupType):
        cloud.connection(service, peer_cidrs=[], **{**groups, "local_ep_group_id": peer["id"]})


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"type": "cidr", "endpoints": []}, vpn_exc.MissingEndpointForEndpointGroup),
        ({"type": "cidr", "endpoints": ["10.0.0"]}, vpn_exc.InvalidEndpointInEndpointGroup),
        ({"type": "subnet", "endpoints": ["s4"]}, vpn_exc.InvalidEndpointInEndpointGroup),
        ({"type": "subnet", "endpoints": [uuid("x")]}, vpn_exc.NonExistingSubnetInEndpointGroup),
    ],
)
def test_a_bad_endpoint_group_is_refused_by_name(cloud, body, refusal):
    """A group without anything that could be protected isn't made."""
    with pytest.raises(refusal):
        cloud.create("endpoint_group", **body)
    assert cloud.api.get_endpoint_groups(cloud.fresh()) == []


def test_a_service_without_subnet_needs_both_groups_of_one_family(cloud):
    """Each way to name the two sides wrongly has its documented name."""
    service = cloud.create("vpnservice", subnet_id=None)
    group = {
        name: cloud.create("endpoint_group", type=kind, endpoints=endpoints)["id"]
        for name, kind, endpoints in (
            ("local", "subnet", [uuid("s4")]),
            ("mixed", "subnet", [uuid("s4"), uuid("s6")]),
            ("peer", "cidr", ["10.9.0.0/24"]),
            ("peer6", "cidr", ["fd09::/64"]),
        )
    }
    for local, peer, cidrs, refusal in (
        (None, None, [], vpn_exc.MissingRequiredEndpointGroup),
        ("local", None, [], vpn_exc.MissingRequiredEndpointGroup),
        ("local", "peer", ["10.9.0.0/24"], vpn_exc.PeerCidrsInvalid),
        ("local", "local", [], vpn_exc.WrongEndpointGroupType),
        ("mixed", "peer", [], vpn_exc.MixedIPVersionsForIPSecEndpoints),
        ("local", "peer6", [], vpn_exc.MixedIPVersionsForIPSecConnection),
    ):
        ids = {"local_ep_group_id": group.get(local), "peer_ep_group_id": group.get(peer)}
        with pytest.raises(refusal):
            cloud.connection(service, peer_cidrs=cidrs, **ids)
    assert cloud.api.get_ipsec_site_connections(cloud.fresh()) == []


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"peer_cidrs": []}, vpn_exc.MissingPeerCidrs),
        ({"peer_cidrs": ["fd09::/64"]}, vpn_exc.MixedIPVersionsForIPSecConnection),
        ({"peer_cidrs": ["10.0.0.0/8", "fd09::/64"]}, vpn_exc.MixedIPVersionsForPeerCidrs),
        ({"local_ep_group_id": uuid("x")}, vpn_exc.InvalidEndpointGroup),
        ({"mtu": 67}, vpn_exc.IPsecSiteConnectionMtuError),
        ({"mtu": 10**12}, lib_exc.InvalidInput),
        (
            {"dpd": {"interval": 30, "timeout": 30}},
            vpn_exc.IPsecSiteConnectionDpdIntervalValueError,
        ),
        ({"psk": ""}, lib_exc.InvalidInput),
        ({"psk": "a\nb"}, lib_exc.InvalidInput),
        ({"peer_id": "a b"}, lib_exc.InvalidInput),
        ({"local_id": "a\x00"}, lib_exc.InvalidInput),
        ({"description": "\ud800"}, lib_exc.InvalidInput),
        ({"peer_address": "not a host"}, vpn_exc.VPNPeerAddressNotResolved),
        ({"peer_address": "fe80::1%eth0"}, vpn_exc.VPNPeerAddressNotResolved),
        ({"vpnservice_id": uuid("x")}, vpn_exc.VPNServiceNotFound),
        ({"ikepolicy_id": uuid("x")}, vpn_exc.IKEPolicyNotFound),
        ({"ipsecpolicy_id": uuid("x")}, vpn_exc.IPsecPolicyNotFound),
    ],
)
def test_a_bad_connection_is_refused_by_name_and_leaves_nothing(cloud, body, refusal):
    """The exception is the documented one; the router's revision stands still."""
    service = cloud.create("vpnservice")
    before = cloud.row().revision
    with pytest.raises(refusal):
        cloud.connection(service, **body)
    assert cloud.api.get_ipsec_site_connections(cloud.fresh()) == []
    assert cloud.row().revision == before


def test_a_bad_update_changes_nothing(cloud):
    """Not even what was right in the request."""
    made = cloud.connection()
    for body in ({"mtu": 5}, {"psk": ""}, {"peer_cidrs": ["fd00::/64"]}, {"dpd": {"timeout": 1}}):
        with pytest.raises((lib_exc.InvalidInput, lib_exc.BadRequest)):
            cloud.update("ipsec_site_connection", made["id"], name="new", **body)
    assert cloud.show("ipsec_site_connection", made["id"]) == made


def test_a_service_needs_a_gateway_and_its_subnet(cloud):
    """What the router hasn't, its VPN can't have."""
    with pytest.raises(vpn_exc.RouterIsNotExternal):
        cloud.create("vpnservice", router_id=uuid("r3"))
    with pytest.raises(lib_exc.NotFound):
        cloud.create("vpnservice", router_id=uuid("r4"))
    cloud.core.on_router.discard(uuid("t4"))
    with pytest.raises(vpn_exc.SubnetIsNotConnectedToRouter):
        cloud.create("vpnservice", subnet_id=uuid("t4"))
    with pytest.raises(vpn_exc.FlavorsPluginNotLoaded):
        cloud.create("vpnservice", flavor_id=uuid("f"))
    assert cloud.row() is None


def test_a_policy_in_use_may_change_but_only_to_what_its_users_can_do(cloud):
    """The pair of policies of every connection stays one that can be negotiated."""
    made = cloud.connection()
    cloud.update("ikepolicy", made["ikepolicy_id"], ike_version="v2", auth_algorithm="aes-cmac")
    cloud.update("ipsecpolicy", made["ipsecpolicy_id"], auth_algorithm="aes-cmac")
    with pytest.raises(vpn_exc.IpsecValidationFailure, match="ike_version v1"):
        cloud.update("ikepolicy", made["ikepolicy_id"], ike_version="v1", auth_algorithm="sha256")
    assert cloud.show("ikepolicy", made["ikepolicy_id"])["ike_version"] == "v2"


def test_a_lifetime_that_came_as_text_is_answered_as_text_and_stored_as_a_number(cloud):
    """tempest compares the answer to a PUT with what it sent; a later GET shows the number."""
    policy = cloud.create("ipsecpolicy")
    told = cloud.update("ipsecpolicy", policy["id"], lifetime={"value": "2000"})
    assert told["lifetime"] == {"units": "seconds", "value": "2000"}
    assert cloud.show("ipsecpolicy", policy["id"])["lifetime"]["value"] == 2000
