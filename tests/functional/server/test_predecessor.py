"""What neutron-vpnaas' OVN driver made in Neutron goes when a router is taken over, and back."""

import dataclasses
import json
import pathlib
import subprocess
import sys

from tests.functional.server import stage
from tests.functional.server.stage import LIMIT, served

GATEWAYS = f"{stage.INHERITED}.vpn_ext_gws"
HERE = pathlib.Path(__file__).parent
PEERS = ("10.9.0.0/24", "10.8.0.0/24")
TRANSIT = "network:vpn_transit_network"


def old_transit(api, router):
    """Make what the driver makes (its `make_transit_network`); return the row's columns."""
    network = api.create("networks", "network", name=f"vpn-transit-network-{router}")["id"]
    subnet = api.create(
        "subnets", "subnet", name=f"vpn-transit-subnet-{router}", network_id=network,
        cidr="169.254.0.0/28", gateway_ip="169.254.0.1", ip_version=4, enable_dhcp=False,
    )["id"]  # fmt: skip
    attach(api, router, "add_router_interface", {"subnet_id": subnet})
    port = api.create(
        "ports", "port", name=f"vpn-ns-{router}", network_id=network, device_id=subnet,
        device_owner=TRANSIT, fixed_ips=[{"subnet_id": subnet, "ip_address": "169.254.0.2"}],
    )["id"]  # fmt: skip
    routes = [{"destination": peer, "nexthop": "169.254.0.2"} for peer in PEERS]
    attach(api, router, "add_extraroutes", {"router": {"routes": routes}})
    return {"transit_network_id": network, "transit_subnet_id": subnet, "transit_port_id": port}


def attach(api, router, verb, body):
    """Do one of a router's verbs."""
    code, answer = api.request("PUT", f"routers/{router}/{verb}", body)
    assert code == 200, answer


def seen(api, router):
    """Return all there is of a transit, without ids."""
    networks = api.request("GET", f"networks?name=vpn-transit-network-{router}")[1]["networks"]
    subnets = api.request("GET", f"subnets?name=vpn-transit-subnet-{router}")[1]["subnets"]
    ports = [
        (port["name"], port["device_owner"], port["fixed_ips"][0]["ip_address"])
        for network in networks
        for port in api.request("GET", f"ports?network_id={network['id']}")[1]["ports"]
    ]
    routes = api.request("GET", f"routers/{router}")[1]["router"]["routes"]
    return {
        "networks": len(networks),
        "subnets": [(s["cidr"], s["gateway_ip"], s["enable_dhcp"]) for s in subnets],
        "ports": sorted(ports),
        "routes": sorted((r["destination"], r["nexthop"]) for r in routes),
    }


def step(settings, router, *arguments):
    """Do one step in a server of its own; return what it tells."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", HERE / "hand_over.py", settings, router, *arguments],
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def columns(database, router):
    query = f"SELECT transit_network_id, transit_subnet_id, transit_port_id FROM {GATEWAYS}"
    return database.sql(f"{query} WHERE router_id = '{router}'").split()


def test_the_transit_goes_and_comes_back(database, settings_of_29):
    """Each object goes, a route of the user stays; restored, all is as the driver had it."""
    with served(settings_of_29) as api:
        cloud = stage.cloud(api)
        router = cloud["router"]
        admin = dataclasses.replace(api, roles="admin,member,reader")
        mine = {"destination": "192.0.2.0/24", "nexthop": "10.1.0.200"}
        attach(admin, router, "add_extraroutes", {"router": {"routes": [mine]}})
        before_all = seen(admin, router)
        ids = old_transit(admin, router)
        names, values = ", ".join(ids), "', '".join(ids.values())
        database.sql(
            f"INSERT INTO {GATEWAYS} (id, project_id, router_id, status, {names}) "
            f"VALUES ('g', 'p1', '{router}', 'ACTIVE', '{values}')"
        )
        before = seen(admin, router)

        assert step(settings_of_29, router, "clear") is True
        assert seen(admin, router) == before_all
        assert columns(database, router) == ["NULL"] * 3
        assert step(settings_of_29, router, "clear") is False

        for _ in range(2):  # what is there stays
            step(settings_of_29, router, "restore", *PEERS)
            assert seen(admin, router) == before
        assert "NULL" not in columns(database, router)
