"""tempest's scenario tests of VPNs, with namespaces of the lab in the place of Nova's servers.

Everything that concerns a VPN is theirs: policies, services, connections, floating IPs, pings.
Ours are a server (a port that is bound and plugged as Nova would), the shell in it, and that a
failure is one: upstream's decorator makes it a skip. Run by testtools in a process of its own.
"""

import types

import fixtures
from neutron_tempest_plugin.vpnaas.scenario import test_vpnaas as theirs
from tempest.lib import exceptions
from tempest.lib.common.utils import test_utils

from lab.cloud import Cloud
from lab.layout import Lab, LabError
from lab.sites import plug
from lab.user import enter

LAB = Lab.named()
CHASSIS = Cloud(LAB, "a").computes[0]
enter(LAB)

_names = {}  # a server's namespace by its floating IP


class Shell:
    """The place of tempest's SSH client: the same commands, in the server's namespace."""

    def __init__(self, host, username=None, **_rest):
        self.host, self.username = host, username

    def exec_command(self, cmd, encoding="utf-8", timeout=None):
        done = CHASSIS.run(["sh", "-c", cmd], _names[self.host], check=False, timeout=300)
        if done.returncode:
            raise exceptions.SSHExecCommandFailed(
                command=cmd,
                exit_status=done.returncode,
                stderr=done.stderr,
                stdout=done.stdout,
            )
        return done.stdout

    def test_connection_auth(self):
        return True


class WithNamespaces:
    """What is ours of a scenario."""

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch(f"{theirs.__name__}.ssh.Client", Shell))

    @classmethod
    def create_keypair(cls, **_rest):
        return {"name": "none", "private_key": ""}

    def _log_console_output(self, servers=None):
        pass

    def _log_local_network_status(self):
        pass

    def _create_server(self, create_floating_ip=True, network=None):
        network = network or self.network
        port = self.create_port(network, security_groups=[self.secgroup["id"]])
        admin = self.os_admin.network_client
        owner = {"binding:host_id": CHASSIS.name, "device_owner": "compute:nova"}
        admin.update_port(port["id"], **owner)
        # A member may not delete a port that a compute service has.
        self.addCleanup(admin.update_port, port["id"], **dict.fromkeys(owner, ""))
        name = f"srv{port['id'][:8]}"
        self.addCleanup(CHASSIS.run, ["ip", "netns", "delete", name], check=False)
        subnets = [admin.show_subnet(f["subnet_id"])["subnet"] for f in port["fixed_ips"]]
        nets = {s["id"]: types.SimpleNamespace(**s) for s in subnets}
        plug(CHASSIS, name, types.SimpleNamespace(**port), nets, network["mtu"])
        if not test_utils.call_until_true(lambda: self._is_active(admin, port), 60, 1):
            raise LabError(f"port {port['id']} isn't ACTIVE")
        floating = self.create_and_associate_floatingip(port["id"]) if create_floating_ip else None
        if floating:
            _names[floating["floating_ip_address"]] = name
        return {"port": port, "fip": floating, "server": {"id": name}}

    @staticmethod
    def _is_active(admin, port):
        return admin.show_port(port["id"])["port"]["status"] == "ACTIVE"

    def _test_vpnaas(self):
        theirs.Vpnaas._test_vpnaas.__wrapped__(self)


class Test4in4(WithNamespaces, theirs.Vpnaas4in4):
    """IPv4 over IPv4."""


class Test4in6(WithNamespaces, theirs.Vpnaas4in6):
    """IPv4 over IPv6."""


class Test6in4(WithNamespaces, theirs.Vpnaas6in4):
    """IPv6 over IPv4."""


class Test6in6(WithNamespaces, theirs.Vpnaas6in6):
    """IPv6 over IPv6."""
