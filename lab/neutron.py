"""Neutron's services in a cloud's central box, and Swanherd's agent on the gateways."""

from __future__ import annotations

import importlib.util
import pathlib

from lab import bus, database, openvswitch, ovn, ovs, predecessor, services, wsgi
from lab.boxes import Box, search_path
from lab.layout import SERVICE_PASSWORD, Chassis, CloudPlan, Lab
from lab.services import Service

API = "neutron-api"
WORKERS = ("neutron-periodic-workers",)
OVN_WORKERS = ("neutron-ovn-maintenance-worker",)
AGENT = "swanherd-ovn-agent"

CONFIGURATION = """\
[DEFAULT]
debug = {debug}
host = {host}
core_plugin = ml2
service_plugins = {plugins}
auth_strategy = keystone
transport_url = {bus}
state_path = /var/lib/neutron
api_paste_config = {venv}/etc/neutron/api-paste.ini
dhcp_agent_notification = False
notify_nova_on_port_status_changes = False
notify_nova_on_port_data_changes = False
api_workers = 1
rpc_workers = 1
rpc_state_report_workers = 0
[oslo_concurrency]
lock_path = /var/lib/neutron/lock
[oslo_policy]
enforce_new_defaults = True
enforce_scope = True
[oslo_messaging_notifications]
driver = noop
[oslo_messaging_rabbit]
rabbit_quorum_queue = False
rabbit_interval_max = 5
[database]
connection = {database}
[keystone_authtoken]
www_authenticate_uri = http://{address}:5000
auth_url = http://{address}:5000
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = service
username = neutron
password = {password}
[ml2_type_flat]
flat_networks = public
[securitygroup]
enable_security_group = True
"""

OVN_CONFIGURATION = """\
[ml2]
type_drivers = flat,geneve
tenant_network_types = geneve
mechanism_drivers = ovn
extension_drivers = port_security
[ml2_type_geneve]
vni_ranges = 1:1000
max_header_size = 38
[ovn]
ovn_nb_connection = {northbound}
ovn_sb_connection = {southbound}
ovn_l3_scheduler = leastloaded
ovn_metadata_enabled = False
enable_distributed_floating_ip = {dvr}
"""

OVS_CONFIGURATION = """\
[ml2]
type_drivers = flat,vxlan
tenant_network_types = vxlan
mechanism_drivers = openvswitch,l2population
extension_drivers = port_security
[ml2_type_vxlan]
vni_ranges = 1:1000
"""

AGENT_CONFIGURATION = """\
[DEFAULT]
debug = {debug}
host = {host}
transport_url = {bus}
[oslo_messaging_rabbit]
rabbit_quorum_queue = False
[ovs]
ovsdb_connection = {ovsdb}
[ovn]
ovn_sb_connection = {southbound}
"""


def has_swanherd_server() -> bool:
    """Whether this tree has Swanherd's service plugin."""
    return importlib.util.find_spec("swanherd.server.plugin") is not None


def has_swanherd_agent() -> bool:
    """Whether this tree has Swanherd's agent for OVN."""
    return importlib.util.find_spec("swanherd.agent.ovn") is not None


def configuration(lab: Lab, cloud: CloudPlan, box: Box) -> pathlib.Path:
    """Return the box's neutron.conf."""
    return box.directory / "neutron.conf"


def write_configuration(lab: Lab, cloud: CloudPlan, chassis: Chassis) -> None:
    """Write neutron.conf and the agent's configuration, readable by root only."""
    box = Box(lab, chassis.name)
    router = "ovn-router" if cloud.has_ovn else "router"
    plugin = predecessor.plugin(cloud) if cloud.predecessor else "swanherd"
    plugins = f"{router},{plugin}" if lab.shape.swanherd else router
    values = {
        "debug": lab.shape.debug,
        "host": chassis.name,
        "plugins": plugins,
        "bus": bus.url(cloud),
        "venv": cloud.neutron,
        "database": database.url(lab, cloud),
        "address": cloud.api_address,
        "password": SERVICE_PASSWORD,
        "northbound": f"tcp:{cloud.api_address}:6641",
        "southbound": ovn.southbound(cloud),
        "dvr": cloud.distributed,
        "ovsdb": openvswitch.OVSDB,
    }
    if chassis == cloud.central:
        backend = OVN_CONFIGURATION if cloud.has_ovn else OVS_CONFIGURATION
        more = predecessor.server_configuration(cloud) if cloud.predecessor else ""
        text = (CONFIGURATION + backend + more).format(**values)
        configuration(lab, cloud, box).write_text(text)
    else:  # an agent's host has no database password
        configuration(lab, cloud, box).write_text("")
    if cloud.predecessor and chassis.gateway:
        predecessor.write_configuration(lab, cloud, chassis)
    if cloud.has_ovn:
        (box.directory / "swanherd-agent.conf").write_text(AGENT_CONFIGURATION.format(**values))
    else:
        ovs.write_configuration(lab, cloud, chassis)


def migrate(lab: Lab, cloud: CloudPlan) -> None:
    """Bring the cloud's database to the newest schema."""
    box = Box(lab, cloud.central.name)
    database.migrate(lab, cloud, box, configuration(lab, cloud, box))


def start_api(lab: Lab, cloud: CloudPlan) -> None:
    """Start the API and wait until it answers."""
    if cloud.serves_in_one:
        _start(lab, cloud, cloud.rpc_service)
        wsgi.wait(lab, cloud, cloud.rpc_service, 9696)
        return
    box = Box(lab, cloud.central.name)
    env = {
        "OS_NEUTRON_CONFIG_DIR": str(box.directory),
        "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
    }
    wsgi.start(box, API, "neutron.wsgi.api:application", 9696, env, cloud.venv)
    wsgi.wait(lab, cloud, API, 9696)


def start_rpc(lab: Lab, cloud: CloudPlan) -> None:
    """Start the server's RPC side."""
    if not cloud.serves_in_one:
        _start(lab, cloud, cloud.rpc_service)


def start_workers(lab: Lab, cloud: CloudPlan) -> None:
    """Start the periodic and, with OVN, the maintenance worker."""
    if cloud.serves_in_one:
        return
    for name in (*WORKERS, *(OVN_WORKERS if cloud.has_ovn else ())):
        _start(lab, cloud, name)


def _start(lab: Lab, cloud: CloudPlan, name: str) -> None:
    box = Box(lab, cloud.central.name)
    file = str(configuration(lab, cloud, box))
    program = predecessor.rpc_server(cloud) if name == cloud.rpc_service else None
    argv = (*(program or cloud.program(name)), "--config-file", file)
    services.start(box, Service(name, argv, {"PATH": search_path(cloud.venv)}))


def start_agent(lab: Lab, cloud: CloudPlan, chassis: Chassis) -> None:
    """Start Swanherd's agent on a gateway."""
    box = Box(lab, chassis.name)
    files = (configuration(lab, cloud, box), box.directory / "swanherd-agent.conf")
    options = [part for file in files for part in ("--config-file", str(file))]
    argv = (f"{cloud.venv}/bin/{AGENT}", *options)
    env = {"PATH": search_path(cloud.venv)}
    services.start(box, Service(AGENT, argv, env, alone=True))
