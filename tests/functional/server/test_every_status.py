"""PUT is accepted whatever is shown (neutron-vpnaas refuses it while anything is pending)."""

import pytest

from swanherd.core.model import Status
from tests.functional.server.stage import connection, remove_all


@pytest.fixture(autouse=True)
def clean(api):
    yield
    remove_all(api)


def put_bodies(service, connection, other):
    """Return a change of each resource that a connection is made of, and of the connection."""
    groups = [connection[f"{side}_ep_group_id"] for side in ("local", "peer")]
    return (
        ("vpnservices", "vpnservice", service["id"], {"admin_state_up": False}),
        ("ikepolicies", "ikepolicy", connection["ikepolicy_id"], {"lifetime": {"value": 7200}}),
        ("ipsecpolicies", "ipsecpolicy", connection["ipsecpolicy_id"], {"pfs": "group14"}),
        *(("endpoint-groups", "endpoint_group", group, {"name": "renamed"}) for group in groups),
        *(
            ("ipsec-site-connections", "ipsec_site_connection", connection["id"], change)
            for change in (
                {"name": "renamed"},
                {"psk": "an0ther"},
                {"admin_state_up": False},
                {"ikepolicy_id": other["ikepolicy_id"]},
                {"ipsecpolicy_id": other["ipsecpolicy_id"]},
                {"local_ep_group_id": other["local"], "peer_ep_group_id": other["peer"]},
            )
        ),
    )


@pytest.mark.parametrize("status", Status)
def test_a_change_is_accepted_in_every_status(api, cloud, database, parents, status):
    """Of each resource; what agents have to do for counts, and shows until it is done."""

    def group(**body):
        return api.create("vpn/endpoint-groups", "endpoint_group", **body)["id"]

    service = api.create("vpn/vpnservices", "vpnservice", router_id=cloud["router"])
    groups = [
        {
            "local": group(type="subnet", endpoints=[cloud[f"subnet{six}"]]),
            "peer": group(type="cidr", endpoints=[f"{network}/64" if six else f"{network}/24"]),
        }
        for six, network in (("", "10.9.0.0"), ("6", "fd09::"))
    ]
    made = api.create(
        "vpn/ipsec-site-connections",
        "ipsec_site_connection",
        **connection(
            parents,
            vpnservice_id=service["id"],
            local_ep_group_id=groups[0]["local"],
            peer_ep_group_id=groups[0]["peer"],
            peer_cidrs=[],
        ),
    )
    policies = {
        "ikepolicy_id": api.create("vpn/ikepolicies", "ikepolicy", encryption_algorithm="aes-256"),
        "ipsecpolicy_id": api.create("vpn/ipsecpolicies", "ipsecpolicy", pfs="group19"),
    }
    other = groups[1] | {name: policy["id"] for name, policy in policies.items()}
    router = cloud["router"]
    revision = f"SELECT revision FROM api.swanherd_routers WHERE router_id = '{router}'"
    for collection, resource, resource_id, change in put_bodies(service, made, other):
        for table in ("vpnservices", "ipsec_site_connections"):
            database.sql(f"UPDATE api.{table} SET status = '{status}'")
        before = int(database.sql(revision))
        path = f"vpn/{collection}/{resource_id}"
        code, answer = api.request("PUT", path, {resource: change})
        assert code == 200, (change, answer)
        shown = api.request("GET", f"vpn/ipsec-site-connections/{made['id']}")[1]
        changes = "name" not in change
        assert int(database.sql(revision)) == before + changes, change
        if changes:
            assert shown["ipsec_site_connection"]["status"] != "ACTIVE", change
