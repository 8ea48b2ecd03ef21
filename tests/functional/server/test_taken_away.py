"""What a VPN stands on can't be taken from it: neither at the same time, nor by its owner."""

import dataclasses

import pytest

from tests.functional.server import stage
from tests.functional.server.races import meanwhile, transaction
from tests.functional.server.stage import connection, endpoint_groups, remove_all

ROW = "11111111-0000-4000-8000-000000000000"
SERVICES, GROUPS = "vpn/vpnservices", "vpn/endpoint-groups"
CONNECTIONS = "vpn/ipsec-site-connections"


@pytest.fixture
def place(api, cloud, request):
    """A router of its own with a gateway and one interface, of which nothing is used."""
    kind = getattr(request, "param", {})
    network = api.create("networks", "network")["id"]
    subnet = api.create("subnets", "subnet", network_id=network, cidr="10.5.0.0/24", ip_version=4)[
        "id"
    ]
    gateway = {"network_id": cloud["external"]}
    admin = dataclasses.replace(api, roles="admin,member,reader")
    router = admin.create("routers", "router", external_gateway_info=gateway, **kind)["id"]
    path = f"routers/{router}/add_router_interface"
    port = api.request("PUT", path, {"subnet_id": subnet})[1]["port_id"]
    yield {"network": network, "subnet": subnet, "router": router, "port": port}
    remove_all(api)
    api.request("PUT", f"routers/{router}/remove_router_interface", {"subnet_id": subnet})
    for path in (f"routers/{router}", f"networks/{network}"):
        assert api.request("DELETE", path)[0] == 204


def service(place, **body):
    return {"router_id": place["router"], "subnet_id": place["subnet"], **body}


def errors(answer):
    return answer["NeutronError"]["type"]


def a_service(place):
    """Make one as the API does, with what it holds."""
    return [
        f"SELECT gw_port_id FROM routers WHERE id = '{place['router']}' LOCK IN SHARE MODE",
        f"SELECT id FROM ports WHERE device_id = '{place['router']}' LOCK IN SHARE MODE",
        "INSERT INTO vpnservices (id, name, description, status, admin_state_up, router_id, "
        f"subnet_id) VALUES ('{ROW}', '', '', 'DOWN', 1, '{place['router']}', "
        f"'{place['subnet']}')",
    ]


def a_group(place):
    return [
        f"SELECT id FROM subnets WHERE id = '{place['subnet']}' LOCK IN SHARE MODE",
        "INSERT INTO vpn_endpoint_groups (id, name, description, endpoint_type) "
        f"VALUES ('{ROW}', '', '', 'subnet')",
        f"INSERT INTO vpn_endpoints VALUES ('{place['subnet']}', '{ROW}')",
    ]


def no_interface(place):
    return [f"DELETE FROM ports WHERE id = '{place['port']}'"]


def no_gateway(place):
    return [f"UPDATE routers SET gw_port_id = NULL WHERE id = '{place['router']}'"]


def no_subnet(place):
    return [*no_interface(place), f"DELETE FROM subnets WHERE id = '{place['subnet']}'"]


@pytest.mark.parametrize("how", ["by_subnet", "by_port", "by_device", "gateway"])
def test_a_service_that_is_being_made_keeps_interface_and_gateway(api, database, place, how):
    """Whoever takes them waits for it, and is refused."""
    router = f"routers/{place['router']}"
    path, body, refusal = {
        "by_subnet": (f"{router}/remove_router_interface", {"subnet_id": place["subnet"]}, None),
        "by_port": (f"{router}/remove_router_interface", {"port_id": place["port"]}, None),
        "by_device": (f"ports/{place['port']}", {"port": {"device_id": ""}}, None),
        "gateway": (router, {"router": {"external_gateway_info": {}}}, "RouterInUse"),
    }[how]
    with transaction(database, a_service(place)) as session:
        code, answer = meanwhile(api, database, session, "PUT", path, body)
    assert (code, errors(answer)) == (409, refusal or "SubnetInUseByVPNService")
    assert ROW in answer["NeutronError"]["message"]
    database.sql(f"DELETE FROM api.vpnservices WHERE id = '{ROW}'")


@pytest.mark.parametrize("place", [{}, {"distributed": True}], indirect=True)
@pytest.mark.parametrize("how", ["by_subnet", "by_port"])
def test_a_service_that_comes_after_the_question_keeps_its_interface(api, database, place, how):
    """Neutron has asked whether it may take that, and heard that nobody uses it.

    Of a distributed router no agent may have bound it yet: then it doesn't ask again.
    """
    _, hold, insert = a_service(place)
    path = f"routers/{place['router']}/remove_router_interface"
    body = {"subnet_id": place["subnet"]} if how == "by_subnet" else {"port_id": place["port"]}
    with transaction(database, [hold]) as session:
        code, answer = meanwhile(api, database, session, "PUT", path, body, [insert])
    made = database.sql(f"SELECT id FROM api.vpnservices WHERE id = '{ROW}'") == ROW
    database.sql(f"DELETE FROM api.vpnservices WHERE id = '{ROW}'")
    if made:
        assert (code, errors(answer)) == (409, "SubnetInUseByVPNService")
    else:  # MariaDB has ended who made it, and Neutron would begin anew
        assert code == 200, answer
        api.request("PUT", f"routers/{place['router']}/add_router_interface", body)


@pytest.mark.parametrize(
    ("taken", "refusal"),
    [(no_interface, "SubnetIsNotConnectedToRouter"), (no_gateway, "RouterIsNotExternal")],
)
def test_a_service_whose_interface_or_gateway_goes_meanwhile_isn_t_made(
    api, database, place, taken, refusal
):
    """It is refused as if they had gone before."""
    with transaction(database, taken(place)) as session:
        request = {"vpnservice": service(place)}
        code, answer = meanwhile(api, database, session, "POST", SERVICES, request)
    assert (code, errors(answer)) == (400, refusal)
    assert api.request("GET", SERVICES)[1] == {"vpnservices": []}


def test_a_connection_that_is_being_made_keeps_the_interfaces_of_its_group(api, database, place):
    """They are in use, and refused as such; by whomever."""
    made = grouped(api, place)
    path, body = f"ports/{place['port']}", {"port": {"device_owner": "x"}}
    database.sql(
        f"UPDATE api.ipsec_site_connections SET local_ep_group_id = NULL WHERE id = '{made['id']}'"
    )
    statements = [
        f"SELECT id FROM ports WHERE device_id = '{place['router']}' LOCK IN SHARE MODE",
        f"UPDATE ipsec_site_connections SET local_ep_group_id = '{made['local_ep_group_id']}'",
    ]
    with transaction(database, statements) as session:
        code, answer = meanwhile(api, database, session, "PUT", path, body)
    assert (code, errors(answer)) == (409, "SubnetInUseByIPsecSiteConnection")


def test_a_connection_whose_group_s_interface_goes_meanwhile_isn_t_made(api, database, place):
    """It is refused as if that had gone before."""
    body = connection(prepared(api, place), peer_cidrs=[])
    with transaction(database, no_interface(place)) as session:
        request = {"ipsec_site_connection": body}
        code, answer = meanwhile(api, database, session, "POST", CONNECTIONS, request)
    assert (code, errors(answer)) == (400, "SubnetIsNotConnectedToRouter")
    assert api.request("GET", CONNECTIONS)[1] == {"ipsec_site_connections": []}


@pytest.mark.parametrize("collection", ["subnet", "network"])
def test_a_group_that_is_being_made_keeps_its_subnets(api, database, place, collection):
    """And the network that they are of."""
    path = f"routers/{place['router']}/remove_router_interface"
    assert api.request("PUT", path, {"subnet_id": place["subnet"]})[0] == 200
    with transaction(database, a_group(place)) as session:
        path = f"{collection}s/{place[collection]}"
        code, answer = meanwhile(api, database, session, "DELETE", path)
    assert code == 409, answer
    assert ROW in answer["NeutronError"]["message"]
    assert api.request("GET", f"subnets/{place['subnet']}")[0] == 200
    database.sql(f"DELETE FROM api.vpn_endpoint_groups WHERE id = '{ROW}'")


def test_a_group_whose_subnet_goes_meanwhile_isn_t_made(api, database, place):
    """It is refused as if that had gone before."""
    request = {"endpoint_group": {"type": "subnet", "endpoints": [place["subnet"]]}}
    with transaction(database, no_subnet(place)) as session:
        code, answer = meanwhile(api, database, session, "POST", GROUPS, request)
    assert (code, errors(answer)) == (400, "NonExistingSubnetInEndpointGroup")
    assert api.request("GET", GROUPS)[1] == {"endpoint_groups": []}


def test_a_network_stays_while_a_group_has_a_subnet_of_it(api, place):
    """Neutron deletes its subnets without a question, and nothing of it may have gone then."""
    path = f"routers/{place['router']}/remove_router_interface"
    assert api.request("PUT", path, {"subnet_id": place["subnet"]})[0] == 200
    api.create(GROUPS, "endpoint_group", type="subnet", endpoints=[place["subnet"]])
    other = {"network_id": place["network"], "cidr": "10.4.0.0/24", "ip_version": 4}
    other = api.create("subnets", "subnet", **other)["id"]
    code, answer = api.request("DELETE", f"networks/{place['network']}")
    assert (code, errors(answer)) == (409, "SubnetInUseByEndpointGroup")
    for subnet in (place["subnet"], other):
        assert api.request("GET", f"subnets/{subnet}")[0] == 200


@pytest.mark.parametrize("change", ["device_id", "device_owner"])
@pytest.mark.parametrize("uses", ["service", "group"])
def test_the_owner_of_an_interface_can_t_take_it_from_a_vpn(api, database, place, uses, change):
    """By its device, or that one's owner; from a router without a VPN he can."""
    path, away = f"ports/{place['port']}", {"port": {change: ""}}
    made = {"service": a_used_service, "group": grouped}[uses](api, place)
    before = api.request("GET", path)
    code, answer = api.request("PUT", path, away)
    assert code == 409, answer
    assert made["id"] in answer["NeutronError"]["message"]
    assert api.request("GET", path) == before
    remove_all(api)
    assert api.request("PUT", path, away)[0] == 200
    database.sql(  # so that Neutron can delete it
        f"UPDATE api.ports SET {change} = '{before[1]['port'][change]}' "
        f"WHERE id = '{place['port']}'"
    )


def a_used_service(api, place):
    return api.create(SERVICES, "vpnservice", **service(place))


def prepared(api, place):
    """Return what a connection with endpoint groups names."""
    found = stage.parents(api, place | {"subnet": None})
    return {**found, **endpoint_groups(api, place["subnet"], "10.77.0.0/24")}


def grouped(api, place):
    body = connection(prepared(api, place), peer_cidrs=[])
    return api.create(CONNECTIONS, "ipsec_site_connection", **body)
