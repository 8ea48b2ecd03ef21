"""Two requests at once, of which one waits for the other in the database."""

import contextlib

import pytest

from tests.functional.server import stage
from tests.functional.server.races import meanwhile, transaction
from tests.functional.server.stage import connection, endpoint_groups, remove_all

CONNECTIONS = "vpn/ipsec-site-connections"
PARENTS = {
    "vpnservice_id": ("vpnservices", "vpnservices"),
    "ikepolicy_id": ("ikepolicies", "ikepolicies"),
    "ipsecpolicy_id": ("ipsecpolicies", "ipsecpolicies"),
    "peer_ep_group_id": ("endpoint-groups", "vpn_endpoint_groups"),
}
POLICIES = ("ikepolicy", "ipsecpolicy")
COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'api' AND "


@pytest.fixture
def parents(api, cloud):
    """What a connection with endpoint groups names, nothing of which is in use; and one in use."""
    found = stage.parents(api, cloud)
    api.create(CONNECTIONS, "ipsec_site_connection", **connection(found))
    service = api.create("vpn/vpnservices", "vpnservice", router_id=cloud["router"])
    groups = endpoint_groups(api, cloud["subnet"], "10.77.0.0/24")
    policies = {
        f"{kind}_id": api.create(f"vpn/{PARENTS[f'{kind}_id'][0]}", kind)["id"]
        for kind in POLICIES
    }
    yield {"vpnservice_id": service["id"], **policies, **groups}
    remove_all(api)


@contextlib.contextmanager
def another(database, cloud):
    """Begin a transaction that has the router's lock, as every change of its VPN has."""
    mine = f"router_id = '{cloud['router']}'"
    lock = f"SELECT * FROM swanherd_routers WHERE {mine} FOR UPDATE"
    with transaction(database, [lock]) as session, session.cursor() as cursor:
        yield session, cursor


def being_made(database, cursor, parents):
    """Insert a connection as the API does: it isn't committed yet."""
    columns = database.sql(COLUMNS + "table_name = 'ipsec_site_connections'").split()
    new = {"id": "11111111-0000-4000-8000-000000000000", **parents}
    values = ", ".join(f"'{new[c]}'" if c in new else c for c in columns)
    cursor.execute(
        f"INSERT INTO ipsec_site_connections ({', '.join(columns)}) "
        f"SELECT {values} FROM ipsec_site_connections LIMIT 1"
    )


@pytest.mark.parametrize("resource", POLICIES)
def test_a_policy_that_changes_concerns_a_connection_that_is_being_made(
    api, cloud, database, parents, resource
):
    """Whoever read the connection's configuration before the change is told to read it anew."""
    revision = f"SELECT revision FROM api.swanherd_routers WHERE router_id = '{cloud['router']}'"
    before = int(database.sql(revision))
    collection = PARENTS[f"{resource}_id"][0]
    path = f"vpn/{collection}/{parents[f'{resource}_id']}"
    with another(database, cloud) as (session, cursor):
        being_made(database, cursor, parents)
        change = {resource: {"lifetime": {"value": 7200}}}
        code, answer = meanwhile(api, database, session, "PUT", path, change)
    assert code == 200, answer
    assert int(database.sql(revision)) == before + 1


@pytest.mark.parametrize("attribute", PARENTS)
def test_what_a_connection_that_is_being_made_needs_stays(
    api, cloud, database, parents, attribute
):
    """It is in use, and refused as such."""
    path = f"vpn/{PARENTS[attribute][0]}/{parents[attribute]}"
    with another(database, cloud) as (session, cursor):
        being_made(database, cursor, parents)
        code, answer = meanwhile(api, database, session, "DELETE", path)
    assert code == (400 if attribute == "peer_ep_group_id" else 409), answer
    assert answer["NeutronError"]["type"].endswith("InUse")


@pytest.mark.parametrize("attribute", PARENTS)
def test_a_connection_whose_parent_goes_meanwhile_isn_t_made(
    api, cloud, database, parents, attribute
):
    """It is not found, and nothing is left."""
    before = api.request("GET", CONNECTIONS)
    body = {"ipsec_site_connection": connection(parents, peer_cidrs=[])}
    with another(database, cloud) as (session, cursor):
        for table in (PARENTS[attribute][1], "swanherd_statuses"):
            cursor.execute(f"DELETE FROM {table} WHERE id = %s", [parents[attribute]])
        code, answer = meanwhile(api, database, session, "POST", CONNECTIONS, body)
    assert code == 404, answer
    assert parents[attribute] in answer["NeutronError"]["message"]
    assert api.request("GET", CONNECTIONS) == before


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_connection_has_the_policies_as_they_are_when_it_is_made_or_moved(
    api, cloud, database, parents, method
):
    """Not as they were when the request came: IKEv1 has no word for AES-CMAC."""
    path, body = CONNECTIONS, connection(parents, peer_cidrs=[])
    if method == "PUT":
        path += "/" + api.create(CONNECTIONS, "ipsec_site_connection", **body)["id"]
        new = {kind: api.create(f"vpn/{PARENTS[f'{kind}_id'][0]}", kind) for kind in POLICIES}
        body = {f"{kind}_id": row["id"] for kind, row in new.items()}
    change = "UPDATE ipsecpolicies SET auth_algorithm = 'aes-cmac' WHERE id = %s"
    with another(database, cloud) as (session, cursor):
        cursor.execute(change, [body["ipsecpolicy_id"]])
        request = {"ipsec_site_connection": body}
        code, answer = meanwhile(api, database, session, method, path, request)
    assert (code, "aes-cmac" in answer["NeutronError"]["message"]) == (400, True), answer


@pytest.mark.parametrize("attribute", ["ikepolicy_id", "ipsecpolicy_id", "peer_ep_group_id"])
def test_a_connection_isn_t_moved_to_what_goes_meanwhile(api, cloud, database, parents, attribute):
    """It is not found, and the connection is as before."""
    made = api.create(CONNECTIONS, "ipsec_site_connection", **connection(parents, peer_cidrs=[]))
    path = f"{CONNECTIONS}/{made['id']}"
    collection, table = PARENTS[attribute]
    kind = attribute.removesuffix("_id").replace("peer_ep", "endpoint")
    body = {"type": "cidr", "endpoints": ["10.78.0.0/24"]} if "endpoint" in kind else {}
    other = api.create(f"vpn/{collection}", kind, **body)["id"]
    with another(database, cloud) as (session, cursor):
        cursor.execute(f"DELETE FROM {table} WHERE id = %s", [other])
        change = {"ipsec_site_connection": {attribute: other}}
        code, answer = meanwhile(api, database, session, "PUT", path, change)
    assert (code, other in answer["NeutronError"]["message"]) == (404, True), answer
    assert api.request("GET", path) == (200, {"ipsec_site_connection": made})
