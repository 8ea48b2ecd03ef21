"""neutron-vpnaas in Swanherd's place in a cloud: its plugin, its agents, and the starter.

It drives charon by the `ipsec` script, which isn't installed on this machine: the packages are
unpacked below build and mounted in the gateway's box alone. What the kernel's ESP wouldn't need
and charon's own does: the plugin kernel-libipsec is on; OVN's namespace has an address of each
local subnet, the last one, on its loopback device; and what comes out of charon's device gets the
mark by which an L3 agent's router knows its networks' scope. `ipsec` does it before it starts.
"""

from __future__ import annotations

import pathlib
import shutil
from typing import Any

from lab import agents, daemon, ovn, ovs, services
from lab.boxes import Box, search_path
from lab.install import STARTER
from lab.layout import ROOT, Chassis, CloudPlan, Lab, LabError
from lab.services import Service

AGENT = "neutron-ovn-vpn-agent"
TOPICS = ("ipsec_driver",)  # what the agent asks at its start
STATE = "/var/lib/neutron/ipsec"  # in the box: a directory for each router
LIBRARY = pathlib.Path("/usr/lib/ipsec")
SETTINGS = pathlib.Path("/etc/strongswan.d")

# A route of the router for each network of a peer, on OVN: Neutron allows 30.
SERVER_CONFIGURATION = """\
[DEFAULT]
max_routes = 2000
[service_providers]
service_provider = VPN:strongswan:neutron_vpnaas.services.vpn.service_drivers.{driver}:default
[quotas]
quota_ipsec_site_connection = -1
"""

AGENT_CONFIGURATION = """\
[agent]
root_helper = env neutron-rootwrap {rootwrap}
[vpnagent]
vpn_device_driver = neutron_vpnaas.services.vpn.device_drivers.{driver}
[strongswan]
default_config_area = {settings}
"""

OVN_CONFIGURATION = """\
[ovn]
ovn_sb_connection = {southbound}
"""

L3_CONFIGURATION = """\
[agent]
extensions = vpnaas
"""

ROOTWRAP = """\
[DEFAULT]
filters_path = {neutron}/etc/neutron/rootwrap.d,{venv}/etc/neutron/rootwrap.d
exec_dirs = {path}
use_syslog = False
"""

# The agent's namespaces have their own /etc: it is the router's by the time this runs.
IPSEC_IN_ROUTER = """\
#!/bin/sh
case "$1" in start|reload)
    rule="PREROUTING -i ipsec0 -j MARK --set-xmark 0x4000000/0xffff0000"
    # By its own name: /etc/alternatives isn't there.
    set_rule="/usr/sbin/xtables-nft-multi iptables -t mangle"
    $set_rule -C $rule 2>/dev/null || $set_rule -A $rule ;;
esac
exec {starter}/usr/sbin/ipsec "$@"
"""

IPSEC = """\
#!/bin/sh
case "$1" in start|reload)
    sed -n 's/^ *leftsubnet=//p' /etc/ipsec.conf | tr , '\\n' | while read -r cidr; do
        ip address replace "${{cidr%.*}}.254/32" dev lo
    done ;;
esac
exec {starter}/usr/sbin/ipsec "$@"
"""

LOGGING = """\
charon {
  filelog {
    log {
      path = /var/run/charon.log
      default = 1
      flush_line = yes
    }
  }
}
"""


def check() -> None:
    """Raise LabError if the starter isn't there."""
    if not STARTER.exists():
        raise LabError(f"there is no {STARTER}: make tools")


def write_configuration(lab: Lab, cloud: CloudPlan, chassis: Chassis) -> None:
    """Write what the agent of a gateway reads, and what it runs."""
    box = Box(lab, chassis.name)
    folder = lab.directory("boxes", chassis.name, "starter")
    for made, ours, theirs in (
        ("lib", LIBRARY, f"{STARTER}{LIBRARY}"),
        ("strongswan.d", SETTINGS, f"{STARTER}{SETTINGS}"),
    ):
        shutil.copytree(ours, folder / made, symlinks=True)
        shutil.copytree(theirs, folder / made, symlinks=True, dirs_exist_ok=True)
    settings = folder / "strongswan.d"
    (settings / "charon-logging.conf").write_text(LOGGING)
    (settings / "charon" / "kernel-libipsec.conf").write_text(
        "kernel-libipsec {\n load = yes\n}\n"
    )
    program = lab.directory("boxes", chassis.name, "starter", "bin") / "ipsec"
    program.write_text((IPSEC if cloud.has_ovn else IPSEC_IN_ROUTER).format(starter=STARTER))
    program.chmod(0o755)
    rootwrap = folder / "rootwrap.conf"
    path = _search_path(box, cloud).replace(":", ",")
    rootwrap.write_text(ROOTWRAP.format(neutron=cloud.neutron, venv=cloud.venv, path=path))
    driver = (
        "ovn_ipsec.OvnStrongSwanDriver" if cloud.has_ovn else "strongswan_ipsec.StrongSwanDriver"
    )
    text = AGENT_CONFIGURATION.format(rootwrap=rootwrap, driver=driver, settings=settings)
    if cloud.has_ovn:
        head = agents.head(lab, cloud, chassis)
        text += OVN_CONFIGURATION.format(southbound=ovn.southbound(cloud))
    else:
        head = ovs.configuration(lab, cloud, chassis)
        text += L3_CONFIGURATION
    (folder / "agent.conf").write_text(head + text)


def plugin(cloud: CloudPlan) -> str:
    """Return what loads its plugin into the servers of the cloud."""
    return "ovn-vpnaas" if cloud.has_ovn else "vpnaas"


def rpc_server(cloud: CloudPlan) -> tuple[str, ...] | None:
    """Return the program that answers its agents, if that isn't Neutron's own."""
    if cloud.predecessor != 27 or not cloud.has_ovn:
        return None
    # Not from where a `neutron` of ours lies.
    return (f"{cloud.venv}/bin/python", "-P", str(ROOT / "lab" / "predecessor_27.py"))


def server_configuration(cloud: CloudPlan) -> str:
    """Return what its plugin reads."""
    driver = "ovn_ipsec.IPsecOvnVPNDriver" if cloud.has_ovn else "ipsec.IPsecVPNDriver"
    return SERVER_CONFIGURATION.format(driver=driver)


def _search_path(box: Box, cloud: CloudPlan) -> str:
    return f"{box.directory}/starter/bin:{cloud.venv}/bin:{search_path(cloud.neutron)}"


def start_agent(lab: Lab, cloud: CloudPlan, chassis: Chassis) -> None:
    """Put the starter in its place in a gateway's box, and start the agent that drives it."""
    box = Box(lab, chassis.name)
    folder = box.directory / "starter"
    box.run(["mount", "--bind", str(folder / "lib"), str(LIBRARY)])
    name = AGENT if cloud.has_ovn else ovs.L3_AGENT
    program = (f"{cloud.venv}/bin/{name}",) if cloud.has_ovn else cloud.program(name)
    argv = (*program, "--config-file", str(folder / "agent.conf"))
    env = {"PATH": _search_path(box, cloud)}
    services.start(box, Service(name, argv, env, alone=True))


def directory(box: Box, router_id: str) -> pathlib.Path:
    """Return where this machine sees a router's directory of a gateway's box."""
    return pathlib.Path(f"/proc/{box.init().pid}/root{STATE}/{router_id}")


def file(box: Box, router_id: str, name: str) -> str:
    """Return what the agent wrote for a router into a file of its /etc; nothing if it has none."""
    try:
        return (directory(box, router_id) / "etc" / name).read_text()
    except OSError:
        return ""


def run_directory(box: Box, router_id: str) -> pathlib.Path:
    """Return where this machine sees the sockets of a router's charon."""
    return directory(box, router_id) / "var/run"


def ike_sas(box: Box, router_id: str) -> list[dict[str, Any]]:
    """Return a router's live IKE SAs as VICI tells them, each with its `name`."""
    return daemon.ike_sas(run_directory(box, router_id))
