"""A private MariaDB with Neutron's schema, and the real Neutron API on it, without Keystone."""

import base64
import contextlib
import dataclasses
import itertools
import json
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
BIN = pathlib.Path(sys.executable).parent
NUMBERS = itertools.count(1)
LIMIT = 60  # seconds for a daemon to answer
# The database that neutron-vpnaas made before us.
INHERITED = "made_by_29"

KEYS = tuple(base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2))
DRIVERS = "neutron_vpnaas.services.vpn.service_drivers"
CONFIGURATION = """
[DEFAULT]
core_plugin = ml2
service_plugins = router,swanherd
auth_strategy = keystone
transport_url = fake:/
api_paste_config = {directory}/paste.ini
state_path = {directory}/state
debug = true
[service_providers]
service_provider = VPN:strongswan:{drivers}.ipsec.IPsecVPNDriver:default
service_provider = VPN:ovn:{drivers}.ovn_ipsec.IPsecOvnVPNDriver
[swanherd]
psk_keys = {keys}
[oslo_policy]
policy_file = {directory}/policy.yaml
enforce_scope = true
enforce_new_defaults = true
[database]
connection = {url}
[ml2]
mechanism_drivers =
type_drivers = local
tenant_network_types = local
[oslo_concurrency]
lock_path = {directory}/lock
"""

# Neutron's own pipeline without the one step that asks Keystone: headers are believed.
PASTE = """
[composite:neutron]
use = egg:Paste#urlmap
/: versions
/v2.0: api
[composite:api]
use = call:neutron.auth:pipeline_factory
keystone = request_id catch_errors context extensions application
[composite:versions]
use = call:neutron.auth:pipeline_factory
keystone = application_versions
[filter:request_id]
paste.filter_factory = oslo_middleware:RequestId.factory
[filter:catch_errors]
paste.filter_factory = oslo_middleware:CatchErrors.factory
[filter:context]
paste.filter_factory = neutron.auth:NeutronKeystoneContext.factory
[filter:extensions]
paste.filter_factory = neutron.api.extensions:plugin_aware_extension_middleware_factory
[app:application]
paste.app_factory = neutron.api.v2.router:APIRouter.factory
[app:application_versions]
paste.app_factory = neutron.pecan_wsgi.app:versions_factory
"""


@dataclasses.dataclass(frozen=True)
class Database:
    """A running MariaDB."""

    directory: pathlib.Path

    @property
    def socket(self):
        return self.directory / "socket"

    def url(self, name):
        """Return SQLAlchemy's URL of a database."""
        return f"mysql+pymysql://root@localhost/{name}?unix_socket={self.socket}&charset=utf8"

    def sql(self, statement):
        """Run a statement; return its output."""
        done = subprocess.run(
            ["mariadb", "--no-defaults", "-uroot", "-N", "-S", self.socket, "-e", statement],
            check=True,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        return done.stdout.strip()

    def migrated(self, name, directory, *options):
        """Make a database with the schema that neutron-db-manage makes; return its settings."""
        self.sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb3")
        settings = directory / "neutron.conf"
        settings.write_text(
            CONFIGURATION.format(
                directory=directory, url=self.url(name), drivers=DRIVERS, keys=",".join(KEYS)
            )
        )
        (directory / "paste.ini").write_text(PASTE)
        (directory / "policy.yaml").write_text("{}")
        manage(settings, *options, "upgrade", "heads")
        return settings


@contextlib.contextmanager
def served(settings, python=sys.executable, beside=()):
    """Serve Neutron's API, with more files of settings, while the context lasts."""
    directory = settings.parent
    log, port = directory / "log", directory / "port"
    port.unlink(missing_ok=True)
    files = ";".join(str(name) for name in (settings, *beside))
    with log.open("a") as output:
        process = subprocess.Popen(
            [python, HERE / "serve.py", files, port], stdout=output, stderr=output
        )
    try:
        wait_for(port.exists, process)
        yield Api(int(port.read_text()), log)
    finally:
        process.terminate()
        process.wait(LIMIT)


MANAGE = "from neutron.db.migration.cli import main; main()"


def manage(settings, *arguments, python=sys.executable, check=True):
    """Run neutron-db-manage, of another environment too; return its output."""
    done = subprocess.run(
        [python, "-W", "ignore", "-c", MANAGE, "--config-file", settings, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=5 * LIMIT,
    )
    output = done.stdout + done.stderr
    assert not check or done.returncode == 0, output
    return output


def wait_for(what, process):
    """Poll until `what()` is true or the process has ended."""
    deadline = time.monotonic() + LIMIT
    while not what():
        assert process.poll() is None, "the daemon has ended"
        assert time.monotonic() < deadline, "the daemon doesn't answer"
        time.sleep(0.05)


@dataclasses.dataclass(frozen=True)
class Api:
    """The API as one user of one project sees it."""

    port: int
    log: pathlib.Path
    project: str = "p1"
    roles: str = "member,reader"

    def request(self, method, path, body=None, **headers):
        """Return the status code and the body; bytes are sent as they are."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v2.0/{path}",
            method=method,
            data=body if body is None or isinstance(body, bytes) else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "X-User-Id": "user",
                "X-Project-Id": self.project,
                "X-Roles": self.roles,
                **headers,
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text else None

    def create(self, collection, resource, **body):
        """Create a resource that is valid."""
        code, answer = self.request("POST", collection, {resource: body})
        assert code == 201, answer
        return answer[resource]


def cloud(api):
    """Make an external network, and a router with two subnets; return their ids."""
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


def parents(api, cloud):
    """Make a service and policies; return them as a connection names them."""
    service = api.create(
        "vpn/vpnservices", "vpnservice", router_id=cloud["router"], subnet_id=cloud["subnet"]
    )
    return {
        "vpnservice_id": service["id"],
        "ikepolicy_id": api.create("vpn/ikepolicies", "ikepolicy")["id"],
        "ipsecpolicy_id": api.create("vpn/ipsecpolicies", "ipsecpolicy")["id"],
    }


def connection(parents, **body):
    """Return the body of a connection that is valid."""
    return {
        **parents,
        "peer_address": "198.51.100.1",
        "peer_id": "198.51.100.1",
        "psk": "s3cretkey",
        "peer_cidrs": f"10.9.{next(NUMBERS)}.0/24",
        **body,
    }


def endpoint_groups(api, subnet_id, peer_cidr):
    """Make the two groups of a connection; return their ids by its fields."""
    return {
        f"{side}_ep_group_id": api.create(
            "vpn/endpoint-groups", "endpoint_group", type=kind, endpoints=[endpoint]
        )["id"]
        for side, kind, endpoint in (("local", "subnet", subnet_id), ("peer", "cidr", peer_cidr))
    }


def remove_all(api):
    """Delete every VPN resource of the project."""
    children_first = ("ipsec-site-connections", "vpnservices", "ikepolicies", "ipsecpolicies")
    for collection in (*children_first, "endpoint-groups"):
        rows = next(iter(api.request("GET", f"vpn/{collection}")[1].values()))
        for row in rows:
            assert api.request("DELETE", f"vpn/{collection}/{row['id']}")[0] == 204
