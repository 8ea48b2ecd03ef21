import pytest
import sqlalchemy as sa
from neutron_lib import exceptions as lib_exc
from neutron_lib.exceptions import vpn as vpn_exc

from swanherd.core.model import DataPlane
from swanherd.server.errors import SelectorInUse
from swanherd.server.strength import Strength
from tests.unit.server.cloud import DEFAULTS, uuid


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
    cloud.neutron.disconnect("r1", "t4")
    with pytest.raises(vpn_exc.SubnetIsNotConnectedToRouter):
        cloud.create("vpnservice", subnet_id=uuid("t4"))
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


def test_a_service_has_a_provider_while_it_is_there(cloud):
    """That of its flavor, else the default; the association goes with the service."""
    made = [cloud.create("vpnservice", flavor_id=flavor) for flavor in (None, uuid("f"))]
    of_service = cloud.api.providers.of_service
    assert [of_service[service["id"]] for service in made] == ["default", uuid("f")]
    for service in made:
        cloud.delete("vpnservice", service["id"])
    assert of_service == {}


def test_a_connection_is_moved_to_other_policies(cloud):
    """To policies that it may see and that go together; a move is a change, no move is none."""
    made = cloud.connection()
    ike = cloud.create("ikepolicy", ike_version="v2")
    before = cloud.row().revision
    moved = cloud.update("ipsec_site_connection", made["id"], ikepolicy_id=ike["id"])
    assert moved["ikepolicy_id"] == ike["id"]
    assert moved["ipsecpolicy_id"] == made["ipsecpolicy_id"]
    assert cloud.row().revision == before + 1
    cloud.update("ipsec_site_connection", made["id"], ikepolicy_id=ike["id"])
    assert cloud.row().revision == before + 1
    cloud.delete("ikepolicy", made["ikepolicy_id"])
    with pytest.raises(vpn_exc.IKEPolicyInUse):
        cloud.delete("ikepolicy", ike["id"])
    foreign = cloud.api.create_ikepolicy(
        cloud.fresh(), {"ikepolicy": {**DEFAULTS["ikepolicy"], "project_id": "q"}}
    )
    with pytest.raises(vpn_exc.IKEPolicyNotFound):
        cloud.update("ipsec_site_connection", made["id"], ikepolicy_id=foreign["id"])
    cmac = cloud.create("ipsecpolicy", auth_algorithm="aes-cmac")
    old = cloud.create("ikepolicy")
    both = {"ikepolicy_id": old["id"], "ipsecpolicy_id": cmac["id"]}
    with pytest.raises(vpn_exc.IpsecValidationFailure, match="aes-cmac"):
        cloud.update("ipsec_site_connection", made["id"], **both)
    assert cloud.show("ipsec_site_connection", made["id"])["ikepolicy_id"] == ike["id"]


def test_heat_says_actions(cloud):
    """Heat's name of a dpd action is an alias; both at once must agree."""
    made = cloud.connection(dpd={"actions": "restart"})
    assert made["dpd"] == {"action": "restart", "interval": 30, "timeout": 120}
    for dpd in ({"actions": "clear"}, {"actions": "clear", "action": "clear"}):
        changed = cloud.update("ipsec_site_connection", made["id"], dpd=dpd)
        assert changed["dpd"]["action"] == "clear"
    with pytest.raises(lib_exc.InvalidInput, match="dpd"):
        cloud.connection(dpd={"actions": "clear", "action": "hold"})


WEAK = [
    ("ikepolicy", "auth_algorithm", "sha1", "sha256"),
    ("ikepolicy", "encryption_algorithm", "3des", "aes-256"),
    ("ikepolicy", "pfs", "group5", "group14"),
    ("ikepolicy", "phase1_negotiation_mode", "aggressive", "main"),
    ("ipsecpolicy", "auth_algorithm", "sha1", "sha256"),
    ("ipsecpolicy", "encryption_algorithm", "3des", "aes-256"),
    ("ipsecpolicy", "pfs", "group2", "group14"),
]
STRONG = {"auth_algorithm": "sha256", "encryption_algorithm": "aes-256", "pfs": "group19"}


@pytest.mark.parametrize(("resource", "field", "value", "better"), WEAK)
def test_weak_values_are_what_the_operator_says(cloud, caplog, resource, field, value, better):
    """Denied with the field and what to use, when made and when changed; or told; or allowed."""
    made = cloud.create(resource, **{**STRONG, field: value})
    cloud.api.strength = Strength("deny")
    refused = pytest.raises(vpn_exc.IpsecValidationFailure, match=f"{field}.*{value}.*{better}")
    with refused:
        cloud.create(resource, **{**STRONG, field: value})
    assert cloud.update(resource, made["id"], name="what is there stays")[field] == value
    strong = cloud.create(resource, **STRONG)
    with refused:
        cloud.update(resource, strong["id"], **{field: value})
    assert cloud.show(resource, strong["id"]) == strong
    cloud.api.strength = Strength("warn")
    assert cloud.update(resource, strong["id"], **{field: value})[field] == value
    assert strong["id"] in caplog.text
    assert field in caplog.text


UNABLE = [
    {"transform_protocol": "ah"},
    {"encapsulation_mode": "transport"},
]


@pytest.mark.parametrize("unable", UNABLE)
def test_what_no_gateway_can_do_is_refused(cloud, unable):
    """At a connection's creation and move, and at the change of a policy in use; by its name."""
    cloud.api.data_planes = lambda _context: {DataPlane.USERSPACE}
    ((field, value),) = unable.items()
    refused = pytest.raises(vpn_exc.IpsecValidationFailure, match=f"{field}.*{value}")
    special = cloud.create("ipsecpolicy", **unable)["id"]
    with refused:
        cloud.connection(ipsecpolicy_id=special)
    assert cloud.api.get_ipsec_site_connections(cloud.fresh()) == []
    made = cloud.connection()
    with refused:
        cloud.update("ipsec_site_connection", made["id"], ipsecpolicy_id=special)
    with refused:
        cloud.update("ipsecpolicy", made["ipsecpolicy_id"], **unable)
    assert cloud.show("ipsec_site_connection", made["id"]) == made
    assert cloud.show("ipsecpolicy", made["ipsecpolicy_id"])[field] != value
    cloud.api.data_planes = lambda _context: {DataPlane.USERSPACE, DataPlane.KERNEL}
    cloud.update("ipsecpolicy", made["ipsecpolicy_id"], **unable)


@pytest.mark.parametrize("unable", UNABLE)
def test_what_is_there_stays_changeable_where_no_gateway_can_do_it(cloud, unable):
    """It was made when one could; what else it has may change, and it may leave the policy."""
    made = cloud.connection(ipsecpolicy_id=cloud.create("ipsecpolicy", **unable)["id"])
    cloud.api.data_planes = lambda _context: {DataPlane.USERSPACE}
    cloud.update("ipsecpolicy", made["ipsecpolicy_id"], pfs="group14")
    same = cloud.update("ipsec_site_connection", made["id"], psk="another")
    plain = cloud.create("ipsecpolicy")["id"]
    moved = cloud.update("ipsec_site_connection", same["id"], ipsecpolicy_id=plain)
    assert moved["ipsecpolicy_id"] == plain


def test_ikev2_has_no_aggressive_mode(cloud):
    """The mode is weak only where it has an effect."""
    cloud.api.strength = Strength("deny")
    mode = {**STRONG, "phase1_negotiation_mode": "aggressive"}
    made = cloud.create("ikepolicy", **mode, ike_version="v2")
    with pytest.raises(vpn_exc.IpsecValidationFailure, match="aggressive"):
        cloud.update("ikepolicy", made["id"], ike_version="v1")


def test_a_list_shows_of_a_connection_what_a_get_does(cloud):
    """Whole, filtered and page by page; lists are read in another way."""
    service = cloud.create("vpnservice")
    made = [cloud.connection(service, name=name, psk=f"key of {name}") for name in "dcab"]
    alone = [cloud.show("ipsec_site_connection", one["id"]) for one in made]
    by_name = sorted(alone, key=lambda one: one["name"])

    def listed(**options):
        return cloud.api.get_ipsec_site_connections(cloud.fresh(), **options)

    sorts = [("name", True)]
    assert listed(sorts=sorts) == by_name
    assert listed(filters={"name": ["c", "d"]}, sorts=sorts) == by_name[2:]
    assert listed(sorts=sorts, limit=2) == by_name[:2]
    after = {"sorts": sorts, "limit": 2, "marker": by_name[1]["id"]}
    assert listed(**after) == by_name[2:]
    before = {"sorts": sorts, "limit": 1, "marker": by_name[2]["id"], "page_reverse": True}
    assert listed(**before) == by_name[1:2]
    assert listed(fields=["id"], sorts=sorts) == [{"id": one["id"]} for one in by_name]


@pytest.mark.parametrize("resource", ["vpnservice", "ipsec_site_connection", "ikepolicy"])
def test_a_list_costs_the_same_however_long_it_is(cloud, engine, resource):
    """No more than six queries, for one row and for four."""
    queries = []

    def count(*arguments):
        queries.append(arguments[2])

    plural = {"ikepolicy": "ikepolicies"}.get(resource, f"{resource}s")
    counts = []
    for more in (1, 3):
        for _ in range(more):
            cloud.connection()
        sa.event.listen(engine, "before_cursor_execute", count)
        listed = getattr(cloud.api, f"get_{plural}")(cloud.fresh())
        sa.event.remove(engine, "before_cursor_execute", count)
        counts.append((len(listed) > 0, len(queries)))
        queries.clear()
    assert counts[0] == counts[1]
    assert counts[0][1] <= 6
