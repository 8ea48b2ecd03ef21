"""An id that isn't the project's own: refused, and another project's as one that nobody has."""

import dataclasses

import pytest
from neutron_lib.api.definitions import vpn, vpn_endpoint_groups, vpn_flavors

from tests.functional.server import stage
from tests.functional.server.stage import remove_all

NOBODYS = "00000000-0000-4000-8000-000000000000"
COLLECTIONS = {
    "vpnservice": "vpnservices",
    "ikepolicy": "ikepolicies",
    "ipsecpolicy": "ipsecpolicies",
    "ipsec_site_connection": "ipsec-site-connections",
    "endpoint_group": "endpoint-groups",
}
# Each attribute that has ids of others, by its resource.
ATTRIBUTES = [
    ("vpnservice", "router_id"),
    ("vpnservice", "subnet_id"),
    ("vpnservice", "flavor_id"),
    ("ipsec_site_connection", "vpnservice_id"),
    ("ipsec_site_connection", "ikepolicy_id"),
    ("ipsec_site_connection", "ipsecpolicy_id"),
    ("ipsec_site_connection", "local_ep_group_id"),
    ("ipsec_site_connection", "peer_ep_group_id"),
    ("endpoint_group", "endpoints"),
]
# Those that the API lets nobody change: refused for what they are, whatever the id is.
FIXED = {*ATTRIBUTES[:4], ATTRIBUTES[-1]}


@dataclasses.dataclass(frozen=True)
class Home:
    """A project: who asks in its name, what it has by attribute, and one resource of each kind."""

    api: stage.Api
    ids: dict
    made: dict

    def body(self, resource):
        """Return the body of a resource all of whose ids are the project's own."""
        if resource == "endpoint_group":
            return {"type": "subnet", "endpoints": [self.ids["subnet_id"]]}
        if resource == "vpnservice":
            return {name: self.ids[name] for name in ("router_id", "subnet_id")}
        names = [name for kind, name in ATTRIBUTES if kind == "ipsec_site_connection"]
        fixed = {"peer_address": "198.51.100.1", "peer_id": "198.51.100.1", "psk": "s3cretkey"}
        return {**fixed, **{name: self.ids[name] for name in names}}


def home(api):
    """Make a router, and one of each VPN resource, in the project that asks."""
    cloud = stage.cloud(api)
    ids = {"router_id": cloud["router"], "subnet_id": cloud["subnet"]}
    group = {"type": "subnet", "endpoints": [cloud["subnet"]]}
    cidrs = {"type": "cidr", "endpoints": ["10.9.0.0/24"]}
    made = {
        "vpnservice": api.create("vpn/vpnservices", "vpnservice", router_id=cloud["router"]),
        "ikepolicy": api.create("vpn/ikepolicies", "ikepolicy"),
        "ipsecpolicy": api.create("vpn/ipsecpolicies", "ipsecpolicy"),
        "endpoint_group": api.create("vpn/endpoint-groups", "endpoint_group", **group),
    }
    ids |= {f"{k}_id": made[k]["id"] for k in ("vpnservice", "ikepolicy", "ipsecpolicy")}
    ids["local_ep_group_id"] = made["endpoint_group"]["id"]
    ids["peer_ep_group_id"] = api.create("vpn/endpoint-groups", "endpoint_group", **cidrs)["id"]
    found = Home(api, ids, made)
    body = found.body("ipsec_site_connection")
    made["ipsec_site_connection"] = api.create(
        "vpn/ipsec-site-connections", "ipsec_site_connection", **body
    )
    return found


@pytest.fixture(scope="module")
def homes(api):
    """Two projects that know nothing of each other: who asks, and whose ids it tries."""
    pair = [home(dataclasses.replace(api, project=name)) for name in ("asks", "hides")]
    yield pair
    for each in pair:
        remove_all(each.api)


def foreign(hides, attribute):
    """Return the ids that are tried, the other's and nobody's; a flavor is no project's."""
    own = {"endpoints": hides.ids["subnet_id"], "flavor_id": NOBODYS}
    return own.get(attribute) or hides.ids[attribute], NOBODYS


def value(attribute, tried):
    """Return the attribute's value with an id in it."""
    return [tried] if attribute == "endpoints" else tried


def told(answer, tried):
    """Return an answer without the id that was asked for."""
    code, body = answer
    error = body["NeutronError"]
    return code, error["type"], error["message"].replace(tried, "ID"), error["detail"]


def everything(home):
    """Return all that a project has."""
    return [home.api.request("GET", f"vpn/{path}") for path in COLLECTIONS.values()]


def same_refusal(homes, ask, attribute, *, naming):
    """Ask with each id; the answers are one 4xx, and nobody has anything else than before."""
    before = [everything(home) for home in homes]
    ids = foreign(homes[1], attribute)
    answers = [told(ask(value(attribute, tried)), tried) for tried in ids]
    assert answers[0] == answers[1]
    code, _, message, _ = answers[0]
    assert code in {400, 404}
    assert any(name in message for name in naming), message
    assert [everything(home) for home in homes] == before
    return code


def is_id(attribute):
    """Whether an attribute that a request may have holds an id of something else."""
    kinds = attribute.get("validate") or {}
    return attribute["allow_post"] and any(kind.startswith("type:uuid") for kind in kinds)


def test_no_attribute_with_an_id_is_forgotten():
    """neutron-lib's definitions say which they are; an endpoint's id is in a list."""
    found = {("endpoint_group", "endpoints")}
    for collection in (vpn, vpn_endpoint_groups, vpn_flavors):
        for plural, attributes in collection.RESOURCE_ATTRIBUTE_MAP.items():
            singular = next(k for k, v in COLLECTIONS.items() if v.replace("-", "_") == plural)
            found |= {(singular, name) for name, each in attributes.items() if is_id(each)}
    assert found == set(ATTRIBUTES)


@pytest.mark.parametrize(("resource", "attribute"), ATTRIBUTES)
def test_a_post_with_it_makes_nothing_and_tells_nothing(homes, resource, attribute):
    """The answer names the id, and is the same for another project's and for nobody's."""
    asks = homes[0]

    def ask(tried):
        body = {**asks.body(resource), attribute: tried}
        return asks.api.request("POST", f"vpn/{COLLECTIONS[resource]}", {resource: body})

    same_refusal(homes, ask, attribute, naming=["ID"])


@pytest.mark.parametrize(("resource", "attribute"), ATTRIBUTES)
def test_a_put_with_it_changes_nothing_and_tells_nothing(homes, resource, attribute):
    """So too; what nobody may change is refused by its name."""
    asks = homes[0]
    path = f"vpn/{COLLECTIONS[resource]}/{asks.made[resource]['id']}"

    def ask(tried):
        return asks.api.request("PUT", path, {resource: {attribute: tried}})

    fixed = (resource, attribute) in FIXED
    code = same_refusal(homes, ask, attribute, naming=[attribute] if fixed else ["ID"])
    assert code == (400 if fixed else 404)


@pytest.mark.parametrize(("resource", "attribute"), ATTRIBUTES)
@pytest.mark.parametrize("wrong", ["", "x", "../../etc", NOBODYS[:-1], 7, {"id": NOBODYS}])
def test_what_is_no_id_is_refused_by_its_field(homes, resource, attribute, wrong):
    """400, for POST and PUT: never looked for, and never a 5xx."""
    asks = homes[0]
    collection = f"vpn/{COLLECTIONS[resource]}"
    change = {attribute: value(attribute, wrong)}
    for method, path, body in (
        ("POST", collection, {**asks.body(resource), **change}),
        ("PUT", f"{collection}/{asks.made[resource]['id']}", change),
    ):
        code, answer = asks.api.request(method, path, {resource: body})
        message = answer["NeutronError"]["message"]
        assert (code, attribute in message or str(wrong) in message) == (400, True), message


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("resource", COLLECTIONS)
def test_anothers_resource_is_as_one_that_is_not(homes, resource, method):
    """404 in the same words, whatever is asked of it; and it is there as before."""
    asks, hides = homes
    before = everything(hides)
    tried = hides.made[resource]["id"]
    body = {resource: {"name": "mine now"}} if method == "PUT" else None
    paths = {each: f"vpn/{COLLECTIONS[resource]}/{each}" for each in (tried, NOBODYS)}
    answers = [told(asks.api.request(method, p, body), each) for each, p in paths.items()]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert everything(hides) == before


@pytest.mark.parametrize("resource", COLLECTIONS)
def test_a_list_is_not_told_by_anothers_ids(homes, resource):
    """A filter finds nothing, a page that begins after it 404, as for an id that nobody has."""
    asks, hides = homes
    path = f"vpn/{COLLECTIONS[resource]}"
    name = COLLECTIONS[resource].replace("-", "_")
    tried = hides.made[resource]["id"]
    for key in ("id", *(a for r, a in ATTRIBUTES if (r, a[-3:]) == (resource, "_id"))):
        for each in foreign(hides, key) if key != "id" else (tried, NOBODYS):
            code, answer = asks.api.request("GET", f"{path}?{key}={each}")
            assert (code, answer[name]) == (200, []), key
    pages = [
        told(asks.api.request("GET", f"{path}?limit=1&marker={each}"), each)
        for each in (tried, NOBODYS)
    ]
    assert pages[0] == pages[1]
    assert pages[0][0] == 404


@pytest.mark.parametrize(
    ("resource", "attribute"), [each for each in ATTRIBUTES if each[1] != "flavor_id"]
)
def test_an_id_in_capitals_is_nobodys(homes, resource, attribute):
    """MariaDB finds the project's own by it; stored so, it would be another to all who compare."""
    asks = homes[0]
    before = everything(asks)
    tried = (asks.ids.get(attribute) or asks.ids["subnet_id"]).upper()
    collection = f"vpn/{COLLECTIONS[resource]}"
    change = {attribute: value(attribute, tried)}
    requests = [("POST", collection, {**asks.body(resource), **change})]
    if (resource, attribute) not in FIXED:
        requests.append(("PUT", f"{collection}/{asks.made[resource]['id']}", change))
    for method, path, body in requests:
        code, answer = asks.api.request(method, path, {resource: body})
        assert code in {400, 404}, (method, answer)
        assert tried in answer["NeutronError"]["message"]
    assert everything(asks) == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("resource", COLLECTIONS)
def test_a_path_with_an_id_written_otherwise_leads_nowhere(homes, resource, method):
    """In capitals, or with a space behind it: 404, and what it nearly names is as before."""
    asks = homes[0]
    before = everything(asks)
    own = asks.made[resource]["id"]
    body = {resource: {"name": "renamed"}} if method == "PUT" else None
    for tried in (own.upper(), f"{own}%20"):
        path = f"vpn/{COLLECTIONS[resource]}/{tried}"
        assert asks.api.request(method, path, body)[0] == 404, tried
    assert everything(asks) == before
