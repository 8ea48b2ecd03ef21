"""A private MariaDB, and the real Neutron API on it."""

import dataclasses
import subprocess
import sys

import pytest

from tests.functional.server.stage import HERE, LIMIT, Api, Database, wait_for


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """Run MariaDB on a socket in a directory of its own."""
    directory = tmp_path_factory.mktemp("db")
    subprocess.run(
        [
            *("mariadb-install-db", "--no-defaults", "--user=root", "--skip-test-db"),
            *(f"--datadir={directory}/data", "--auth-root-authentication-method=normal"),
        ],
        check=True,
        capture_output=True,
        timeout=LIMIT,
    )
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *("mariadbd", "--no-defaults", "--user=root", f"--datadir={directory}/data"),
                *(f"--socket={directory}/socket", f"--pid-file={directory}/pid"),
                *("--skip-networking", "--innodb-flush-log-at-trx-commit=0"),
            ],
            stdout=log,
            stderr=log,
        )
    found = Database(directory)
    try:
        wait_for(lambda: _answers(found), process)
        yield found
    finally:
        process.terminate()
        process.wait(LIMIT)


def _answers(database):
    try:
        return database.sql("SELECT 1") == "1"
    except subprocess.CalledProcessError:
        return False


@pytest.fixture(scope="session")
def api(database, tmp_path_factory):
    """Serve Neutron's API on a loopback port."""
    directory = tmp_path_factory.mktemp("api")
    settings = database.migrated("api", directory)
    log, port = directory / "log", directory / "port"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, HERE / "serve.py", settings, port], stdout=output, stderr=output
        )
    try:
        wait_for(port.exists, process)
        yield Api(int(port.read_text()), log)
    finally:
        process.terminate()
        process.wait(LIMIT)


@pytest.fixture(scope="session")
def cloud(api):
    """An external network, and a router with two subnets."""
    admin = dataclasses.replace(api, roles="admin,member,reader")
    external = admin.create("networks", "network", **{"router:external": True})["id"]
    admin.create("subnets", "subnet", network_id=external, cidr="203.0.113.0/24", ip_version=4)
    network = api.create("networks", "network")["id"]
    subnets = [
        api.create("subnets", "subnet", network_id=network, cidr=cidr, ip_version=version)["id"]
        for cidr, version in (("10.1.0.0/24", 4), ("fd01::/64", 6))
    ]
    router = api.create("routers", "router", external_gateway_info={"network_id": external})["id"]
    for subnet in subnets:
        path = f"routers/{router}/add_router_interface"
        assert api.request("PUT", path, {"subnet_id": subnet})[0] == 200
    return {"router": router, "subnet": subnets[0], "subnet6": subnets[1], "external": external}


@pytest.fixture
def parents(api, cloud):
    """A service and policies, as a connection names them."""
    service = api.create(
        "vpn/vpnservices", "vpnservice", router_id=cloud["router"], subnet_id=cloud["subnet"]
    )
    return {
        "vpnservice_id": service["id"],
        "ikepolicy_id": api.create("vpn/ikepolicies", "ikepolicy")["id"],
        "ipsecpolicy_id": api.create("vpn/ipsecpolicies", "ipsecpolicy")["id"],
    }
