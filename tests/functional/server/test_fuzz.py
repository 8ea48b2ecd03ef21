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
    bodies = ([{resource: {"psk": word}}], [word], word, 7, True, [])
    for method, path in (("POST", collection), ("PUT", f"{collection}/{made['id']}")):
        for body in bodies:
            code, answer = api.request(method, path, body)
            assert (code, word in str(answer)) == (400, False), (method, body, answer)
    assert api.request("DELETE", f"{collection}/{made['id']}")[0] == 204
    assert word not in api.log.read_text(errors="replace")


@pytest.mark.parametrize("resource", RESOURCES)
@FEW
@given(data=st.data())
def test_any_query_has_an_answer(api, valid, resource, data):
    """Filters, sorting, paging and fields: a list or a 4xx."""
    keys = (*FIELDS[resource], *COMMON, "sort_key", "sort_dir", "limit", "marker", "fields")
    # Text that is no UTF-8 Neutron itself answers with 500, for networks too.
    words = TEXTS.filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))
    text = st.one_of(words, st.sampled_from(keys), NUMBERS.map(str))
    query = data.draw(st.lists(st.tuples(st.sampled_from(keys), text), max_size=3))
    encoded = urllib.parse.urlencode(query)
    code, answer = api.request("GET", f"vpn/{RESOURCES[resource]}?{encoded}")
    assert code == 200 or 400 <= code < 500, (code, answer)
