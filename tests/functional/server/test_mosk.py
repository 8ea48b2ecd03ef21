"""Servers and agents boot as Mirantis OpenStack for Kubernetes runs them, unmodified.

Written from what its controller and its charts give a container: class paths and aliases of
neutron-vpnaas, names of scripts, configuration files by path, uid 42424, a root that is read-only,
emptyDirs for state, an agent that knows the southbound database alone, and a probe by name.
"""

import contextlib
import shutil
import socket

import pytest

from tests.functional.ovn.daemons import OvsdbServer, until
from tests.functional.server.pod import BIN, NEUTRON, Pod, command_lines
from tests.functional.server.stage import LIMIT, PASTE, Api
from tests.functional.server.test_deployers import AGENTS, DRIVERS

SERVER_CONF = """
[DEFAULT]
core_plugin = ml2
service_plugins = {plugins}
auth_strategy = keystone
transport_url = fake:/
api_paste_config = /etc/neutron/api-paste.ini
state_path = /var/lib/neutron
rpc_workers = 1
[service_providers]
service_provider = VPN:strongswan:{provider}:default
[database]
connection = mysql+pymysql://root@localhost/{name}?unix_socket=/run/db.sock&charset=utf8
[oslo_concurrency]
lock_path = /var/lib/neutron/tmp
[oslo_policy]
policy_file = /etc/neutron/policy.yaml
"""
ML2 = {
    "ml2": (
        "router,vpnaas",
        "ipsec.IPsecVPNDriver",
        "[ml2]\nmechanism_drivers = openvswitch,l2population\ntype_drivers = flat,vxlan\n"
        "tenant_network_types = vxlan\n[ml2_type_vxlan]\nvni_ranges = 1:1000\n",
    ),
    "ml2/ovn": (
        "ovn-router,ovn-vpnaas",
        "ovn_ipsec.IPsecOvnVPNDriver",
        "[ml2]\nmechanism_drivers = ovn\ntype_drivers = flat,geneve\n"
        "tenant_network_types = geneve\nextension_drivers = port_security\n"
        "[ml2_type_geneve]\nvni_ranges = 1:1000\nmax_header_size = 38\n"
        "[ovn]\novn_nb_connection = unix:/run/nb.sock\novn_sb_connection = unix:/run/sb.sock\n",
    ),
}
CONFIGURATION = (
    *("--config-file", "/etc/neutron/neutron.conf"),
    *("--config-file", "/etc/neutron/plugins/ml2/ml2_conf.ini"),
)


@pytest.fixture
def ovn(tmp_path):
    """OVN's two databases."""
    with contextlib.ExitStack() as stack:
        found = {}
        for name in ("OVN_Northbound", "OVN_Southbound"):
            server = found[name] = OvsdbServer(tmp_path, name)
            server.start()
            stack.callback(server.stop)
            tool = {"OVN_Northbound": "ovn-nbctl", "OVN_Southbound": "ovn-sbctl"}[name]
            server.run(tool, "init")
            server.socket.chmod(0o777)
        # The maintenance worker's, which the API waits for.
        found["OVN_Northbound"].run("ovn-nbctl", "pg-add", "neutron_pg_drop")
        yield found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def server_pod(tmp_path, database, backend, port, ovn):
    plugins, driver, ml2 = ML2[backend]
    name = "mosk_" + backend.replace("/", "_")
    database.sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb3")
    database.socket.chmod(0o777)
    script = (
        "#!/bin/sh\nset -e\nexec uwsgi --http-socket 127.0.0.1:" + str(port) + " --master "
        "--processes 1 --threads 4 --enable-threads --lazy-apps --need-app --die-on-term "
        "--set start-time=%t --module neutron.wsgi.api:application\n"
    )
    files = {
        "/etc/neutron/neutron.conf": SERVER_CONF.format(
            plugins=plugins, provider=f"{DRIVERS}.{driver}", name=name
        ),
        "/etc/neutron/plugins/ml2/ml2_conf.ini": ml2,
        "/etc/neutron/api-paste.ini": PASTE,
        "/etc/neutron/policy.yaml": "{}\n",
        "/tmp/neutron-server.sh": script,
    }
    bound = {
        "/run/db.sock": str(database.socket),
        "/run/nb.sock": str(ovn["OVN_Northbound"].socket),
        "/run/sb.sock": str(ovn["OVN_Southbound"].socket),
    }
    return Pod(tmp_path / "pod", files, bound=bound, user=NEUTRON)


@pytest.mark.parametrize("backend", ML2)
def test_servers_boot_in_their_containers(backend, tmp_path, database, ovn):
    """Job and API run as 42424 on a read-only root, and the API has the VPN."""
    (tmp_path / "pod").mkdir()
    port = free_port()
    pod = server_pod(tmp_path, database, backend, port, ovn)
    log = tmp_path / "pod" / "log"
    with pod.running(f"{BIN}/neutron-db-manage", *CONFIGURATION, "upgrade", "heads") as job:
        assert job.wait(5 * LIMIT) == 0, log.read_text()[-3000:]
    api = Api(port, log)
    with pod.running("/tmp/neutron-server.sh"):
        until(lambda: answers(port), LIMIT)
        provider = api.request("GET", "service-providers")[1]["service_providers"]
        assert [p["name"] for p in provider if p["service_type"] == "VPN"] == ["strongswan"]
        aliases = {each["alias"] for each in api.request("GET", "extensions")[1]["extensions"]}
        assert {"vpnaas", "vpn-endpoint-groups", "vpn-flavors"} <= aliases
        api.create("vpn/ikepolicies", "ikepolicy", name="mosk")


def answers(port):
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) == 0


AGENT_SCRIPT = """#!/bin/sh
set -e
mkdir -p /tmp/pod-shared
printf '[ovn]\\novn_sb_connection=tcp:127.0.0.1:6642\\n' > /tmp/pod-shared/neutron-ovn.ini
exec neutron-ovn-vpn-agent \\
  --config-file /etc/neutron/neutron.conf \\
  --config-file /etc/neutron/plugins/ml2/ml2_conf.ini \\
  --config-file /tmp/pod-shared/neutron-ovn.ini \\
  --config-file /etc/neutron/plugins/ml2/ovn_vpn_agent.ini
"""
# What an image with Swanherd brings: Neutron's user may start this one program as root.
SUDOERS = f"neutron ALL = (root) NOPASSWD: {BIN}/neutron-ovn-vpn-agent, {BIN}/swanherdctl\n"
# What every image of Neutron has, and the configuration that goes with it.
ROOTWRAP = f"sudo {BIN}/neutron-rootwrap /etc/neutron/rootwrap.conf"
ROOTWRAP_SUDOERS = f"neutron ALL = (root) NOPASSWD: {ROOTWRAP.removeprefix('sudo ')} *\n"
ROOTWRAP_CONF = (
    "[DEFAULT]\nfilters_path=/etc/neutron/rootwrap.d\nuse_syslog=False\n"
    f"exec_dirs=/sbin,/usr/sbin,/bin,/usr/bin,{BIN}\n"
)
HIDDEN = "hidden-password"


def agent_pod(tmp_path, user, sudoers):
    (tmp_path / "pod").mkdir()
    files = {
        "/etc/neutron/neutron.conf": (
            "[DEFAULT]\nhost = gateway-1\nstate_path = /var/lib/neutron\ntransport_url = fake:/\n"
            "service_plugins = ovn-router,ovn-vpnaas\n"
            f"[database]\nconnection = mysql+pymysql://neutron:{HIDDEN}@db/neutron\n"
            f"[agent]\nroot_helper = {ROOTWRAP}\n" + AGENTS["rockoon"]["neutron.conf"]
        ),
        "/etc/neutron/plugins/ml2/ml2_conf.ini": AGENTS["rockoon"]["ml2_conf.ini"],
        "/etc/neutron/plugins/ml2/ovn_vpn_agent.ini": AGENTS["rockoon"][
            "ovn_vpn_agent.ini"
        ].format(ovs="tcp:127.0.0.1:6640"),
        "/tmp/neutron-ovn-vpn-agent.sh": AGENT_SCRIPT,
        "/etc/sudoers": f"Defaults secure_path={BIN}:/usr/bin\n@includedir /etc/sudoers.d\n",
        "/etc/sudoers.d/neutron": sudoers,
        "/etc/neutron/rootwrap.conf": ROOTWRAP_CONF,
        "/etc/hosts": f"127.0.0.1 localhost gateway-1 {socket.gethostname()}\n",
    }
    return Pod(tmp_path / "pod", files, user=user, own_network=True)


def databases(tmp_path):
    """Return what starts this node's two databases in the pod's network: it is the node's."""
    lines = []
    for name, port in (("Open_vSwitch", 6640), ("OVN_Southbound", 6642)):
        OvsdbServer(tmp_path, name)  # makes the file
        lines.append(
            f"ovsdb-server -vconsole:off --remote=ptcp:{port}:127.0.0.1 --no-chdir "
            f"--unixctl={tmp_path}/{name}.ctl {tmp_path}/{name}.db >/dev/null 2>&1 &"
        )
    transact = '["Open_vSwitch",{"op":"insert","table":"Open_vSwitch","row":'
    transact += '{"external_ids":["map",[["system-id","chassis-1"],["hostname","gateway-1"]]]}}]'
    lines.append(f"for i in $(seq 50); do ovsdb-client transact tcp:127.0.0.1:6640 '{transact}' ")
    lines[-1] += ">/dev/null 2>&1 && break; sleep 0.1; done"
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("user", "sudoers"),
    [(None, ""), (NEUTRON, SUDOERS), (NEUTRON, ROOTWRAP_SUDOERS)],
    ids=["root", "42424", "42424 with rootwrap alone"],
)
def test_the_ovn_agent_boots_in_its_container(user, sudoers, tmp_path):
    """It lives under its old name, answers, and keeps its state in the emptyDir."""
    if user is not None and not shutil.which("sudo"):
        pytest.skip("needs sudo")
    pod = agent_pod(tmp_path, user, sudoers)
    as_root = ("sudo", "-n") if sudoers == SUDOERS else ()
    with pod.running("/tmp/neutron-ovn-vpn-agent.sh", before=databases(tmp_path)) as process:
        until(pod.inside("/var/lib/neutron/swanherd/agent.sock").exists, LIMIT)
        names = command_lines(process)
        assert any(f"{BIN}/neutron-ovn-vpn-agent --config-file" in name for name in names), names
        shown = pod.execute(process, *as_root, f"{BIN}/swanherdctl", "show")
        assert "data plane" in shown.stdout, shown.stderr
        assert process.poll() is None
    said = (tmp_path / "pod" / "log").read_text()
    assert "Agent gateway-1 is running" in said
    assert "ovn_unknown" not in said
    assert HIDDEN not in said
    assert process.returncode == 0, said
