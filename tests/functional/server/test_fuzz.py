"""Whatever is sent: an answer that says why, never a 5xx, and nothing half-written."""

import urllib.parse

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.functional.server.stage import connection, remove_all

FEW = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
RESOURCES = {
    "vpnservice": "vpnservices",
    "ikepolicy": "ikepolicies",
    "ipsecpolicy": "ipsecpolicies",
    "ipsec_site_connection": "ipsec-site-connections",
    "endpoint_group": "endpoint-groups",
}
_PROPOSAL = ("auth_algorithm", "encryption_algorithm", "pfs", "lifetime")
FIELDS = {
    "vpnservice": ("subnet_id", "router_id", "flavor_id", "admin_state_up"),
    "ikepolicy": (*_PROPOSAL, "phase1_negotiation_mode", "ike_version"),
    "ipsecpolicy": (*_PROPOSAL, "transform_protocol", "encapsulation_mode"),
    "ipsec_site_connection": (
        *("local_id", "peer_address", "peer_id", "peer_cidrs", "local_ep_group_id", "mtu"),
        *("peer_ep_group_id", "initiator", "psk", "dpd", "admin_state_up", "vpnservice_id"),
        *("ikepolicy_id", "ipsecpolicy_id", "status", "details", "route_mode", "auth_mode"),
    ),
    "endpoint_group": ("type", "endpoints"),
}
COMMON = ("name", "description", "tenant_id", "project_id", "id")
WORDS = ("10.9.0.0/24", "::/0", "10.9.0.5/8", "sha256", "group14", "v2", "aes-256", "subnet")
WRONG_ID = "00000000-0000-4000-8000-000000000000"
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from((*WORDS, "", "\x00", "a\nb", "\U0001f600", "\ud800", "'\";--", WRONG_ID)),
    st.text(min_size=250, max_size=300),
)
NUMBERS = st.integers(-(2**70), 2**70) | st.sampled_from((0, 1, 59, 68, 1280, 65536, 2**31, -1))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(), TEXTS)
KEYS = st.sampled_from(("action", "actions", "interval", "timeout", "units", "value", "x"))
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(KEYS, SCALARS, max_size=3)
)


@pytest.fixture(scope="module")
def valid(api, cloud):
    """A valid body of each resource, with parents that are there."""
    parents = {
        "vpnservice_id": api.create("vpn/vpnservices", "vpnservice", router_id=cloud["router"],
                                    subnet_id=cloud["subnet"])["id"],
        "ikepolicy_id": api.create("vpn/ikepolicies", "ikepolicy")["id"],
        "ipsecpolicy_id": api.create("vpn/ipsecpolicies", "ipsecpolicy")["id"],
    }  # fmt: skip
    yield {
        "vpnservice": {"router_id": cloud["router"], "subnet_id": cloud["subnet"]},
        "ikepolicy": {},
        "ipsecpolicy": {},
        "ipsec_site_connection": connection(parents),
        "endpoint_group": {"type": "cidr", "endpoints": ["10.9.0.0/24"]},
    }
    remove_all(api)


def changes(resource):
    fields = st.sampled_from((*FIELDS[resource], *COMMON))
    return st.dictionaries(fields, VALUES, min_size=1, max_size=2)


def listed(api, resource):
    return api.request("GET", f"vpn/{RESOURCES[resource]}")[1]


def refused(code, answer):
    """A 4xx that says why."""
    return 400 <= code < 500 and bool(answer["NeutronError"]["message"])


@pytest.mark.parametrize("resource", RESOURCES)
@FEW
@given(data=st.data())
def test_any_post_is_taken_whole_or_refused_whole(api, valid, resource, data):
    """201 and it is there as answered, or 4xx and nothing is."""
    path = f"vpn/{RESOURCES[resource]}"
    body = {**valid[resource], **data.draw(changes(resource))}
    before = listed(api, resource)
    code, answer = api.request("POST", path, {resource: body})
    if code == 201:
        made = answer[resource]
        assert api.request("GET", f"{path}/{made['id']}") == (200, answer)
        assert api.request("DELETE", f"{path}/{made['id']}")[0] == 204
    else:
        assert refused(code, answer), (code, answer)
    assert listed(api, resource) == before


@pytest.mark.parametrize("resource", RESOURCES)
@FEW
@given(data=st.data())
def test_any_put_is_taken_whole_or_refused_whole(api, valid, resource, data):
    """200 and what was named is changed, or 4xx and nothing is."""
    collection = f"vpn/{RESOURCES[resource]}"
    change = data.draw(changes(resource))
    made = api.create(collection, resource, **valid[resource])
    path = f"{collection}/{made['id']}"
    code, answer = api.request("PUT", path, {resource: change})
    seen = api.request("GET", path)
    assert api.request("DELETE", path)[0] == 204
    assert code == 200 or refused(code, answer), (code, answer)
    assert seen == (200, answer if code == 200 else {resource: made})


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_body_that_is_no_object_is_refused(api, valid, resource):
    """A list, a text, a number: 400, for POST and PUT, and no log has what was in it."""
    collection = f"vpn/{RESOURCES[resource]}"
    made = api.create(collection, resource, **valid[resource])
    word = f"NobodyLogsThis{resource}"
    several = RESOURCES[resource].replace("-", "_")
    inner = ({resource: word}, {several: [word]}, {resource: [word]}, {resource: {"Psk": word}})
    bodies = ([{resource: {"psk": word}}], [word], word, 7, True, [], *inner)
    for method, path in (("POST", collection), ("PUT", f"{collection}/{made['id']}")):
        for body in bodies:
            code, answer = api.request(method, path, body)
            assert (code, word in str(answer)) == (400, False), (method, body, answer)
    assert api.request("DELETE", f"{collection}/{made['id']}")[0] == 204
    assert word not in api.log.read_text(errors="replace")


@pytest.mark.parametrize("resource", RESOURCES)
def test_json_that_no_value_can_be_is_refused_by_its_field(api, valid, resource):
    """Infinite numbers (1e400 is one) and nesting without end: 400, for POST and PUT."""
    collection = f"vpn/{RESOURCES[resource]}"
    made = api.create(collection, resource, **valid[resource])
    deep = b"[" * 500 + b"]" * 500
    for method, path in (("POST", collection), ("PUT", f"{collection}/{made['id']}")):
        for field in (*FIELDS[resource], *COMMON):
            for text in (b"1e400", b"-Infinity", b"NaN", b'{"value": 1e400}', b"[[1e400]]", deep):
                body = b'{"%s": {"%s": %s}}' % (resource.encode(), field.encode(), text)
                code, answer = api.request(method, path, body)
                assert code == 400, (method, field, text[:20], answer)
                assert repr(field) in answer["NeutronError"]["message"], (field, text[:20])
        code, answer = api.request(method, path, b'{"x":' * 50_000)
        assert (code, "nested" in str(answer)) == (400, True)
    assert api.request("DELETE", f"{collection}/{made['id']}")[0] == 204


@pytest.mark.parametrize("resource", RESOURCES)
def test_two_bodies_in_one_are_refused(api, valid, resource):
    """One resource beside a list of them: which is meant? Nothing is made."""
    collection = RESOURCES[resource]
    listed_as = collection.replace("-", "_")
    before = listed(api, resource)
    body = {resource: valid[resource], listed_as: [valid[resource]]}
    code, answer = api.request("POST", f"vpn/{collection}", body)
    assert (code, listed_as in answer["NeutronError"]["message"]) == (400, True), answer
    assert listed(api, resource) == before


WRONG = {
    "mtu": (
        [],
        {},
        [1],
        None,
        True,
        1500.7,
        "",
        "x",
        "1_500",
        " 1500",
        "\uff11\uff15\uff10\uff10",
        "9" * 5000,
    ),
    "admin_state_up": ([], {}, [1], None, -1, 1.5, "", "x"),
    "peer_address": ("127.0.0.1", "255.255.255.255", "::ffff:198.51.100.1", "ff02::1"),
    "peer_cidrs": ([f"fd09::/{64:0>70}"], ["fd00::1%eth0/64"]),
    "peer_id": ("\U0001f600",),
    "local_id": ("\U0001f600",),
    "name": ("\U0001f600",),
    "description": ("\U0001f600",),
}


@pytest.mark.parametrize("field", WRONG)
def test_what_a_conversion_or_the_database_refuses_names_its_field(api, valid, field):
    """neutron-lib's conversions and MariaDB know a value, not whose it is."""
    for value in WRONG[field]:
        body = {**valid["ipsec_site_connection"], field: value}
        code, answer = api.request(
            "POST", "vpn/ipsec-site-connections", {"ipsec_site_connection": body}
        )
        assert (code, field in answer["NeutronError"]["message"]) == (400, True), (value, answer)


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize(
    ("query", "code", "headers"),
    [
        (f"?limit={10**40}", 200, {}),
        (f"?mtu={'9' * 5000}", 400, {}),
        (".xml", 404, {}),
        ("/new", 404, {}),
        (f"/{WRONG_ID}/edit", 404, {}),
        ("?name=%ff", 400, {}),
        (f"/{WRONG_ID}?fields=%ff", 400, {}),
        ("", 400, {"If-Match": "revision_number=7"}),
        ("?sort_key=psk&sort_dir=asc", 400, {}),
        ("?limit=-1", 400, {}),
        (f"?limit=1&marker={WRONG_ID}", 404, {}),
        ("?psk=s3cretkey", 400, {}),
        ("", 200, {"Accept": "x", "Content-Type": ""}),
    ],
)
def test_a_question_that_means_nothing_has_an_answer(api, resource, query, code, headers):
    """What Neutron's own resources answer with 500 isn't one here."""
    path = f"vpn/{RESOURCES[resource]}{query}"
    assert api.request("GET", path, **headers)[0] == code


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_revision_of_neutrons_is_no_condition(api, valid, resource, method):
    """VPN resources have no `revision_number` to match: 400, and it stays as it is."""
    collection = f"vpn/{RESOURCES[resource]}"
    made = api.create(collection, resource, **valid[resource])
    path = f"{collection}/{made['id']}"
    body = {resource: {"name": "renamed"}} if method == "PUT" else None
    condition = {"If-Match": "revision_number=7"}
    code, answer = api.request(method, path, body, **condition)
    assert (code, "If-Match" in answer["NeutronError"]["message"]) == (400, True)
    assert api.request("GET", path) == (200, {resource: made})
    assert api.request("DELETE", path)[0] == 204


@pytest.mark.parametrize("resource", RESOURCES)
@FEW
@given(data=st.data())
def test_any_query_has_an_answer(api, valid, resource, data):
    """Filters, sorting, paging and fields: a list or a 4xx."""
    keys = (*FIELDS[resource], *COMMON, "sort_key", "sort_dir", "limit", "marker", "fields")
    # A lone surrogate can't be written into a query.
    words = TEXTS.filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))
    text = st.one_of(words, st.sampled_from(keys), NUMBERS.map(str))
    query = data.draw(st.lists(st.tuples(st.sampled_from(keys), text), max_size=3))
    encoded = urllib.parse.urlencode(query)
    code, answer = api.request("GET", f"vpn/{RESOURCES[resource]}?{encoded}")
    assert code == 200 or 400 <= code < 500, (code, answer)
