"""A router that neutron-vpnaas' OVN driver served keeps its public address."""

import dataclasses
import json
import pathlib
import subprocess
import sys

from tests.functional.server import stage
from tests.functional.server.stage import LIMIT, served

GATEWAYS = f"{stage.INHERITED}.vpn_ext_gws"
HERE = pathlib.Path(__file__).parent
OWNER = "network:vpn_router_gateway"


def take_over(settings, cloud):
    """Make the public port of the router, tell it, and remove it."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", HERE / "take_over.py", settings, cloud["router"],
         cloud["external"]],
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_port_of_the_ovn_driver_is_taken_over_with_its_address(database, settings_of_29):
    """The same port, used and removed as ours are; none is made beside it."""
    with served(settings_of_29) as api:
        cloud = stage.cloud(api)
        admin = dataclasses.replace(api, roles="admin,member,reader")
        theirs = admin.create(
            "ports", "port", network_id=cloud["external"], device_owner=OWNER,
            device_id=cloud["router"], name=f"vpn-gw-{cloud['router']}",
        )  # fmt: skip
        database.sql(
            f"INSERT INTO {GATEWAYS} (id, project_id, router_id, status, gw_port_id) "
            f"VALUES ('g', 'p1', '{cloud['router']}', 'ACTIVE', '{theirs['id']}')"
        )
        api.create(
            "vpn/vpnservices", "vpnservice", router_id=cloud["router"], subnet_id=cloud["subnet"]
        )
        address = theirs["fixed_ips"][0]["ip_address"]
        expected = {"id": theirs["id"], "v4": address, "left": False}
        assert take_over(settings_of_29, cloud) == expected
        left = admin.request("GET", f"ports?device_owner={OWNER}")[1]["ports"]
        assert left == []
