"""What deployers of neutron-vpnaas write for servers and agents goes on working, word for word."""

import contextlib
import os
import subprocess

import pytest

from tests.functional.ovn.daemons import OvsdbServer, until
from tests.functional.server.stage import BIN, LIMIT, served

DRIVERS = "neutron_vpnaas.services.vpn.service_drivers"
DEVICES = "neutron_vpnaas.services.vpn.device_drivers"
OVN_PROVIDER = f"VPN:strongswan:{DRIVERS}.ovn_ipsec.IPsecOvnVPNDriver:default"
L3_PROVIDER = f"VPN:strongswan:{DRIVERS}.ipsec.IPsecVPNDriver:default"
OPENSWAN = f"VPN:openswan:{DRIVERS}.ipsec.IPsecVPNDriver:default"

# By deployer: service plugin, provider in neutron.conf, provider in neutron_vpnaas.conf, and what
# `openstack network service provider list` then says.
SERVERS = {
    "rockoon, ml2": ("vpnaas", L3_PROVIDER, None, "strongswan"),
    "rockoon, ml2/ovn": ("ovn-vpnaas", OVN_PROVIDER, None, "strongswan"),
    "openstack-helm": ("ovn-vpnaas", None, None, "swanherd"),
    "kolla-ansible, OVN": ("ovn-vpnaas", None, OVN_PROVIDER, "strongswan"),
    "kolla-ansible, Open vSwitch": ("vpnaas", None, OPENSWAN, "openswan"),
}
# By deployer: each file that its agent is started with, without addresses and passwords.
AGENTS = {
    "rockoon": {
        "neutron.conf": f"[service_providers]\nservice_provider = {OVN_PROVIDER}\n",
        "ml2_conf.ini": "[ml2]\nmechanism_drivers = ovn\n",
        "neutron-ovn.ini": "[ovn]\novn_sb_connection = tcp:127.0.0.1:1\n",
        "ovn_vpn_agent.ini": (
            "[DEFAULT]\ninterface_driver = openvswitch\n[ovs]\novsdb_connection = {ovs}\n"
            f"[vpnagent]\nvpn_device_driver = {DEVICES}.ovn_ipsec.OvnStrongSwanDriver\n"
        ),
    },
    "openstack-helm": {
        "neutron.conf": "[DEFAULT]\nservice_plugins = ovn-router,ovn-vpnaas\n",
        "neutron_vpnaas.conf": f"[service_providers]\nservice_provider = {OVN_PROVIDER}\n",
        "neutron_ovn_vpn_agent.ini": (
            "[DEFAULT]\ninterface_driver = openvswitch\n[ovs]\novsdb_connection = {ovs}\n"
            f"[vpnagent]\nvpn_device_driver = {DEVICES}.ovn_ipsec.OvnStrongSwanDriver\n"
        ),
        "ovn.ini": "[ovn]\novn_sb_connection = tcp:127.0.0.1:1\n",
    },
    "kolla-ansible": {
        "neutron.conf": "[DEFAULT]\nservice_plugins = ovn-router,ovn-vpnaas\n",
        "neutron_ovn_vpn_agent.ini": (
            "[DEFAULT]\ninterface_driver = neutron.agent.linux.interface.OVSInterfaceDriver\n"
            "[AGENT]\nextensions = vpnaas\n"
            f"[vpnagent]\nvpn_device_driver = {DEVICES}.ovn_ipsec.OvnStrongSwanDriver\n"
            "[ovs]\novsdb_connection = {ovs}\novsdb_timeout = 10\n"
            "[ovn]\novn_sb_connection = tcp:127.0.0.1:1\n"
        ),
    },
}


@pytest.fixture(scope="module")
def migrated(database, tmp_path_factory):
    return database.migrated("deployers", tmp_path_factory.mktemp("deployers"))


@pytest.mark.parametrize("deployer", SERVERS)
def test_a_server_starts_with_the_plugin_and_the_provider_that_are_there(deployer, migrated):
    """It serves the API, and shows the provider by the name that flavors know."""
    plugin, here, beside, shown = SERVERS[deployer]
    lines = [line for line in migrated.read_text().splitlines() if "VPN:" not in line]
    text = "\n".join(lines).replace("router,swanherd", f"router,{plugin}")
    section = "[service_providers]"
    conf = migrated.parent / "deployed.conf"
    conf.write_text(
        text.replace(section, f"{section}\n" + (f"service_provider={here}" if here else ""))
    )
    vpnaas = migrated.parent / "neutron_vpnaas.conf"
    vpnaas.unlink(missing_ok=True)
    if beside:
        vpnaas.write_text(f"{section}\nservice_provider = {beside}\n")
    with served(conf, beside=[vpnaas] if beside else ()) as api:
        answer = api.request("GET", "service-providers")[1]["service_providers"]
        assert [p["name"] for p in answer if p["service_type"] == "VPN"] == [shown]
        aliases = {each["alias"] for each in api.request("GET", "extensions")[1]["extensions"]}
        assert {"vpnaas", "vpn-endpoint-groups", "vpn-flavors", "vpn-agent-scheduler"} <= aliases
        assert api.request("GET", "vpn/vpnservices")[0] == 200


@contextlib.contextmanager
def agent(folder, files):
    """Run neutron-ovn-vpn-agent with these files, in order."""
    arguments = [f"--config-file={folder / name}" for name in files]
    (folder / "neutron.conf.d").mkdir()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [BIN / "neutron-ovn-vpn-agent", *arguments, f"--config-dir={folder}/neutron.conf.d"],
            stdout=log,
            stderr=log,
            env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        )
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(LIMIT) == 0, (folder / "log").read_text()


@pytest.mark.parametrize("deployer", AGENTS)
def test_the_ovn_agent_starts_under_its_old_name_with_the_files_that_are_there(deployer, tmp_path):
    """It runs, and answers `swanherdctl show`."""
    switch = OvsdbServer(tmp_path, "Open_vSwitch")
    switch.start()
    try:
        for name, text in AGENTS[deployer].items():
            (tmp_path / name).write_text(text.format(ovs=switch.remote))
        own = f"[DEFAULT]\ntransport_url = fake:/\n[swanherd]\nstate_path = {tmp_path}/state\n"
        (tmp_path / "own.conf").write_text(own)
        with agent(tmp_path, [*AGENTS[deployer], "own.conf"]) as process:
            until((tmp_path / "state" / "agent.sock").exists, LIMIT)
            shown = subprocess.run(
                [BIN / "swanherdctl", "--socket", tmp_path / "state" / "agent.sock", "show"],
                capture_output=True,
                text=True,
                check=True,
                timeout=LIMIT,
            )
            assert "data plane" in shown.stdout
            assert process.poll() is None
    finally:
        switch.stop()
