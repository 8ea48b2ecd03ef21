"""The whole server under Neutron's real API on MariaDB."""

import collections
import concurrent.futures
import dataclasses
from importlib import metadata

import pytest

from tests.functional.server.stage import connection, endpoint_groups, remove_all, served

# Older definitions name no filter, so that none can be refused (`swanherd.server.compat`).
FILTERS_ARE_NAMED = int(metadata.version("neutron-lib").split(".")[0]) >= 4


@pytest.fixture(autouse=True)
def clean(api):
    yield
    remove_all(api)


def test_clients_find_what_they_look_for(api):
    """The aliases that clients ask for, and ours; the five resources have quotas."""
    listed = {e["alias"] for e in api.request("GET", "extensions")[1]["extensions"]}
    assert {"vpnaas", "vpn-endpoint-groups", "vpn-flavors", "vpn-aes-ctr"} <= listed
    assert {"vpn-aes-ccm-gcm", "service-type", "vpn-connection-move"} <= listed
    assert {"vpn-status-reason", "vpn-policy-update-in-use", "vpn-connection-details"} <= listed
    assert "vpn-agent-scheduler" in listed
    quota = api.request("GET", "quotas/p1")[1]["quota"]
    five = {"vpnservice", "ikepolicy", "ipsecpolicy", "ipsec_site_connection", "endpoint_group"}
    assert five <= set(quota)


def test_a_cloud_of_open_vswitch_is_served_too(api, parents, tmp_path):
    """On the same database: its plugin has a worker of its own, which OVN's lends it."""
    settings = tmp_path / "neutron.conf"
    text = (api.log.parent / "neutron.conf").read_text()
    settings.write_text(text.replace("mechanism_drivers =", "mechanism_drivers = openvswitch"))
    with served(settings) as other:
        listed = other.request("GET", "vpn/vpnservices")
    assert [s["id"] for s in listed[1]["vpnservices"]] == [parents["vpnservice_id"]]


def test_a_connection_lives(api, parents):
    """Create, show, list, filter, update, delete."""
    collection, resource = "vpn/ipsec-site-connections", "ipsec_site_connection"
    made = api.create(collection, resource, **connection(parents, name="one"))
    path = f"{collection}/{made['id']}"
    assert api.request("GET", path) == (200, {resource: made})
    listed = api.request("GET", f"{collection}?name=one")[1]["ipsec_site_connections"]
    assert listed == [made]
    code, changed = api.request("PUT", path, {resource: {"dpd": {"interval": 5}, "mtu": "1400"}})
    assert code == 200
    assert changed[resource]["dpd"] == {"action": "hold", "interval": 5, "timeout": 120}
    assert changed[resource]["mtu"] == 1400
    assert api.request("DELETE", path)[0] == 204
    assert api.request("GET", path)[0] == 404


@pytest.mark.parametrize(
    ("collection", "resource", "body", "change"),
    [
        ("ikepolicies", "ikepolicy", {}, {"lifetime": {"value": 7200}}),
        ("ipsecpolicies", "ipsecpolicy", {}, {"pfs": "group14"}),
        (
            "endpoint-groups",
            "endpoint_group",
            {"type": "cidr", "endpoints": ["10.9.0.0/24"]},
            {"description": "d"},
        ),
    ],
)
def test_a_parent_lives(api, collection, resource, body, change):
    """Made with the API's defaults, of which sha1 is one; shown, changed and gone."""
    made = api.create(f"vpn/{collection}", resource, **body)
    assert made.get("auth_algorithm", "sha1") == "sha1"
    path = f"vpn/{collection}/{made['id']}"
    assert api.request("GET", path) == (200, {resource: made})
    code, changed = api.request("PUT", path, {resource: change})
    assert code == 200
    expected = {key: {**made[key], **v} if key == "lifetime" else v for key, v in change.items()}
    assert changed[resource] == {**made, **expected}
    assert api.request("DELETE", path)[0] == 204
    assert api.request("GET", path)[0] == 404


def test_two_services_of_a_router_live_side_by_side(api, cloud, database, parents):
    """Both have connections; the one stays when the other goes."""
    collection, resource = "vpn/ipsec-site-connections", "ipsec_site_connection"
    second = api.create("vpn/vpnservices", "vpnservice", router_id=cloud["router"], name="second")
    groups = endpoint_groups(api, cloud["subnet6"], "fd09::/64")
    kept = api.create(collection, resource, **connection(parents))
    body = {**connection(parents), **groups, "vpnservice_id": second["id"], "peer_cidrs": []}
    gone = api.create(collection, resource, **body)
    assert database.sql("SELECT COUNT(*) FROM api.swanherd_routers") == "1"
    assert api.request("DELETE", f"vpn/vpnservices/{second['id']}")[0] == 409
    assert api.request("DELETE", f"{collection}/{gone['id']}")[0] == 204
    assert api.request("DELETE", f"vpn/vpnservices/{second['id']}")[0] == 204
    assert api.request("GET", f"{collection}/{kept['id']}")[0] == 200


def test_a_key_is_not_searched_for_nor_logged(api, parents):
    """A filter by psk is refused, and with debug on no key is in Neutron's log."""
    body = connection(parents)
    api.create("vpn/ipsec-site-connections", "ipsec_site_connection", **body)
    code, answer = api.request("GET", "vpn/ipsec-site-connections?psk=s3cretkey")
    assert code == (400 if FILTERS_ARE_NAMED else 200), answer
    text = api.log.read_text(errors="replace")
    lines = [line for line in text.splitlines() if "Request body" in line and "psk" in line]
    assert lines, "the log isn't in debug, this test would prove nothing"
    leaks = [line for line in text.splitlines() if "s3cretkey" in line and "?psk=" not in line]
    assert leaks == []


def test_what_a_vpn_uses_stays(api, cloud, parents):
    """Gateway, router, interface and subnet can't be taken from under it."""
    router = cloud["router"]
    requests = (
        ("PUT", f"routers/{router}", {"router": {"external_gateway_info": {}}}),
        ("DELETE", f"routers/{router}", None),
        ("PUT", f"routers/{router}/remove_router_interface", {"subnet_id": cloud["subnet"]}),
    )
    for method, path, body in requests:
        assert api.request(method, path, body)[0] == 409, path
    group = api.create(
        "vpn/endpoint-groups", "endpoint_group", type="subnet", endpoints=[cloud["subnet6"]]
    )
    assert api.request("DELETE", f"subnets/{cloud['subnet6']}")[0] == 409
    assert api.request("DELETE", f"vpn/endpoint-groups/{group['id']}")[0] == 204


NEVER = [
    {"psk": ""},
    {"psk": "a\nb"},
    {"psk": "x" * 300},
    {"peer_id": "a b"},
    {"peer_id": "x" * 256},
    {"peer_id": "\ud800"},
    {"local_id": "a\x07"},
    {"name": "\U0001f600" * 300},
    {"description": "\ud800"},
    {"mtu": 10**30},
    {"mtu": 67},
    {"dpd": {"interval": "x"}},
    {"dpd": {"interval": 9, "timeout": 9}},
    {"dpd": {"timeout": 10**30}},
    {"dpd": []},
    {"peer_address": "no host"},
    {"peer_address": "fd00::1"},
    {"peer_cidrs": ["10.9.0.0/24", "10.9.0.1/24"]},
    {"peer_cidrs": ["fd09::/64"]},
    {"peer_cidrs": {"a": 1}},
    {"peer_cidrs": None},
    {"local_ep_group_id": "00000000-0000-4000-8000-000000000000"},
    {"status": "ACTIVE"},
    {"status_code": "x"},
    {"bogus": 1},
]


@pytest.mark.parametrize("body", NEVER, ids=lambda body: ascii(body)[:40])
def test_a_bad_request_is_a_400_that_says_why(api, parents, body):
    """Never a 500, and nothing is left behind."""
    collection, resource = "vpn/ipsec-site-connections", "ipsec_site_connection"
    code, answer = api.request("POST", collection, {resource: connection(parents, **body)})
    assert code == 400
    assert answer["NeutronError"]["message"]
    assert api.request("GET", collection)[1] == {"ipsec_site_connections": []}


def test_only_members_of_the_project_manage_its_vpns(api, parents):
    """A reader doesn't read keys; another project finds nothing; an administrator may all."""
    body = {"ipsec_site_connection": connection(parents)}
    reader = dataclasses.replace(api, roles="reader")
    stranger = dataclasses.replace(api, project="p2")
    assert reader.request("POST", "vpn/ipsec-site-connections", body)[0] == 403
    assert stranger.request("POST", "vpn/ipsec-site-connections", body)[0] == 404
    made = api.create("vpn/ipsec-site-connections", *body, **body["ipsec_site_connection"])
    path = f"vpn/ipsec-site-connections/{made['id']}"
    for someone, code in ((reader, 404), (stranger, 404), (api, 200)):
        assert someone.request("GET", path)[0] == code
    admin = dataclasses.replace(api, project="p3", roles="admin")
    assert admin.request("GET", path)[0] == 200


def test_requests_at_once_are_one_after_another(api, database, cloud, parents):
    """Each of many concurrent changes of one router counts; one of equal selectors has them."""
    collection, resource = "vpn/ipsec-site-connections", "ipsec_site_connection"
    revision = f"SELECT revision FROM api.swanherd_routers WHERE router_id = '{cloud['router']}'"
    before = int(database.sql(revision))

    def post(number):
        same = connection(parents, peer_cidrs=f"10.200.{number % 4}.0/24")
        return api.request("POST", collection, {resource: same})[0]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(post, range(12))) == [201] * 12
    assert int(database.sql(revision)) == before + 12
    by_networks = collections.defaultdict(list)
    for made in api.request("GET", collection)[1]["ipsec_site_connections"]:
        by_networks[tuple(made["peer_cidrs"])].append(made["status_code"])
    assert len(by_networks) == 4
    for codes in by_networks.values():
        assert codes.count("superseded") == len(codes) - 1 == 2


def test_nothing_is_left_of_a_router_whose_last_service_is_deleted(api, database, parents):
    """No row of ours outlives what it is for."""
    api.create("vpn/ipsec-site-connections", "ipsec_site_connection", **connection(parents))
    remove_all(api)
    for table in ("swanherd_routers", "swanherd_statuses", "ipsecpeercidrs", "vpnservices"):
        assert database.sql(f"SELECT COUNT(*) FROM api.{table}") == "0", table


def test_providers_are_those_that_deployers_write(api, cloud, database):
    """Neutron lists them; a flavor picks one; each service is associated with one while it is."""
    admin = dataclasses.replace(api, roles="admin,member,reader")
    listed = api.request("GET", "service-providers?service_type=VPN")[1]["service_providers"]
    assert [(p["name"], p["default"]) for p in listed] == [("strongswan", True), ("ovn", False)]
    driver = "neutron_vpnaas.services.vpn.service_drivers.ovn_ipsec.IPsecOvnVPNDriver"
    profile = admin.create("service_profiles", "service_profile", driver=driver)["id"]
    flavors = [
        admin.create("flavors", "flavor", name=name, service_type=kind)["id"]
        for name, kind in (("vpn", "VPN"), ("bare", "VPN"), ("other", "L3_ROUTER_NAT"))
    ]
    assert admin.request(
        "POST", f"flavors/{flavors[0]}/service_profiles", {"service_profile": {"id": profile}}
    )[0] == 201  # fmt: skip
    body = {"router_id": cloud["router"], "subnet_id": cloud["subnet"]}
    made = [
        api.create("vpn/vpnservices", "vpnservice", **body, flavor_id=flavor)
        for flavor in (None, flavors[0])
    ]
    for flavor, code, kind in (
        (flavors[1], 404, "NoProviderFoundForFlavor"),
        (flavors[2], 400, "InvalidInput"),
        ("00000000-0000-4000-8000-000000000000", 404, "FlavorNotFound"),
        (flavors[0].upper(), 404, "FlavorNotFound"),
    ):
        request = {"vpnservice": {**body, "flavor_id": flavor}}
        answered, answer = api.request("POST", "vpn/vpnservices", request)
        assert (answered, answer["NeutronError"]["type"]) == (code, kind)
    query = "SELECT provider_name FROM api.providerresourceassociations WHERE resource_id = "
    found = [database.sql(f"{query}'{service['id']}'") for service in made]
    assert found == ["strongswan", "ovn"]
    for service in made:
        assert api.request("DELETE", f"vpn/vpnservices/{service['id']}")[0] == 204
    assert [database.sql(f"{query}'{service['id']}'") for service in made] == ["", ""]
    for flavor in flavors:
        assert admin.request("DELETE", f"flavors/{flavor}")[0] == 204


def test_each_resource_has_a_quota(api, cloud, parents):
    """Of one: the second is refused with its name; the quota and what is used of it are shown."""
    admin = dataclasses.replace(api, roles="admin,member,reader")
    remove_all(api)
    service = {"router_id": cloud["router"], "subnet_id": cloud["subnet"]}
    group = {"type": "cidr", "endpoints": ["10.9.0.0/24"]}
    bodies = {  # parents before the connection
        "vpnservice": ("vpn/vpnservices", lambda: service),
        "ikepolicy": ("vpn/ikepolicies", dict),
        "ipsecpolicy": ("vpn/ipsecpolicies", dict),
        "ipsec_site_connection": ("vpn/ipsec-site-connections", lambda: connection(made)),
        "endpoint_group": ("vpn/endpoint-groups", lambda: group),
    }
    made = {}
    one = dict.fromkeys(bodies, 1)
    code, told = admin.request("PUT", "quotas/p1", {"quota": one})
    assert (code, {name: told["quota"][name] for name in bodies}) == (200, one)
    try:
        for resource, (collection, body) in bodies.items():
            wanted = body()
            made[f"{resource}_id"] = api.create(collection, resource, **wanted)["id"]
            code, answer = api.request("POST", collection, {resource: wanted})
            assert (code, answer["NeutronError"]["type"]) == (409, "OverQuota"), answer
            assert resource in answer["NeutronError"]["message"]
            assert len(next(iter(api.request("GET", collection)[1].values()))) == 1
        details = admin.request("GET", "quotas/p1/details")[1]["quota"]
        used = {name: (details[name]["limit"], details[name]["used"]) for name in bodies}
        assert used == dict.fromkeys(bodies, (1, 1))
    finally:
        assert admin.request("DELETE", "quotas/p1")[0] == 204


AGENT = """
INSERT INTO api.agents (id, agent_type, `binary`, topic, host, admin_state_up, created_at,
started_at, heartbeat_timestamp, configurations, `load`, resources_synced)
VALUES (UUID(), 'Swanherd VPN agent', 'b', 't', '{host}', 1, UTC_TIMESTAMP(), UTC_TIMESTAMP(),
{heard}, '{configurations}', 0, 1)"""
JUST_NOW, LONG_AGO = "UTC_TIMESTAMP()", "'2020-01-01'"


def test_what_no_agent_that_lives_can_do_is_refused(api, database, parents):
    """By the name of the field; while one of them could, or doesn't tell, it is accepted."""
    collection, resource = "vpn/ipsec-site-connections", "ipsec_site_connection"
    special = api.create("vpn/ipsecpolicies", "ipsecpolicy", transform_protocol="ah")["id"]

    def post():
        body = {resource: connection({**parents, "ipsecpolicy_id": special})}
        code, answer = api.request("POST", collection, body)
        return (code, answer.get("NeutronError", {}).get("message", ""))

    def agent(host, configurations, heard=JUST_NOW):
        database.sql(AGENT.format(host=host, configurations=configurations, heard=heard))

    try:
        agent("dead", '{"data_plane": "kernel"}', LONG_AGO)
        assert post()[0] == 201
        agent("one", '{"data_plane": "userspace"}')
        code, message = post()
        assert code == 400
        assert "transform_protocol" in message
        assert "'ah'" in message
        agent("silent", "{}")
        assert post()[0] == 201
    finally:
        database.sql("DELETE FROM api.agents")


def test_a_connection_moves_to_another_policy(api, parents):
    """Through the API too; the service stays what it is."""
    collection, resource = "vpn/ipsec-site-connections", "ipsec_site_connection"
    made = api.create(collection, resource, **connection(parents, dpd={"actions": "restart"}))
    assert made["dpd"]["action"] == "restart"
    other = api.create("vpn/ipsecpolicies", "ipsecpolicy")["id"]
    path = f"{collection}/{made['id']}"
    code, answer = api.request("PUT", path, {resource: {"ipsecpolicy_id": other}})
    assert (code, answer[resource]["ipsecpolicy_id"]) == (200, other)
    code, answer = api.request("PUT", path, {resource: {"vpnservice_id": made["vpnservice_id"]}})
    assert code == 400
    missing = {resource: {"ipsecpolicy_id": made["id"]}}
    assert api.request("PUT", path, missing)[0] == 404


def test_lists_are_sorted_filtered_and_paged(api):
    """Sorting, pages forth and back, several values of a filter, chosen fields."""
    names = [f"p{number}" for number in range(5)]
    for name in names:
        api.create("vpn/ikepolicies", "ikepolicy", name=name)

    def got(query):
        return [
            p["name"] for p in api.request("GET", f"vpn/ikepolicies?{query}")[1]["ikepolicies"]
        ]

    assert got("sort_key=name&sort_dir=desc") == names[::-1]
    assert sorted(got("name=p1&name=p3")) == ["p1", "p3"]
    paged = "sort_key=name&sort_dir=asc&limit=2"
    first = api.request("GET", f"vpn/ikepolicies?{paged}")[1]
    assert [p["name"] for p in first["ikepolicies"]] == names[:2]
    marker = first["ikepolicies"][-1]["id"]
    assert got(f"{paged}&marker={marker}") == names[2:4]
    last = api.request("GET", "vpn/ikepolicies?name=p4")[1]["ikepolicies"][0]["id"]
    assert got(f"{paged}&marker={last}&page_reverse=True") == names[2:4]
    answer = api.request("GET", "vpn/ikepolicies?fields=name&name=p1")
    assert answer[1]["ikepolicies"] == [{"name": "p1"}]
    assert api.request("GET", "vpn/ikepolicies?bogus=1")[0] == (400 if FILTERS_ARE_NAMED else 200)


def test_the_scheduler_is_for_administrators(api, cloud, parents):
    """Without an agent nothing hosts the router; others learn nothing; what isn't there is 404."""
    admin = dataclasses.replace(api, roles="admin,member,reader")
    router, nobody = cloud["router"], "00000000-0000-4000-8000-000000000000"
    assert admin.request("GET", f"routers/{router}/vpn-agents") == (200, {"agents": []})
    assert api.request("GET", f"routers/{router}/vpn-agents")[0] in (403, 404)
    body = {"router_id": router}
    for method, path, given in (
        ("GET", f"agents/{nobody}/vpn-routers", None),
        ("POST", f"agents/{nobody}/vpn-routers", body),
        ("DELETE", f"agents/{nobody}/vpn-routers/{router}", None),
        ("GET", f"routers/{nobody}/vpn-agents", None),
    ):
        assert admin.request(method, path, given)[0] == 404, path
        assert api.request(method, path, given)[0] in (403, 404), path
    assert admin.request("POST", f"agents/{nobody}/vpn-routers", {"router_id": 1})[0] == 400
    for path in (f"agents/{nobody}/vpn-routers", f"routers/{router}/vpn-agents"):
        assert admin.request("PUT", path, {})[0] == 405
