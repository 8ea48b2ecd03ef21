"""Heat beside one cloud of a lab, and a stack with both ends of a tunnel."""

from lab import database, services, wsgi
from lab.layout import DATABASE_PASSWORD, ROOT, SERVICE_PASSWORD
from lab.services import Service
from tests.oracles.environments import environment

NAME = "heat"
PORT = 8004

CONFIGURATION = """\
[DEFAULT]
transport_url = fake://
auth_encryption_key = 0123456789abcdef0123456789abcdef
region_name_for_services = RegionOne
stack_user_domain_name = heat
stack_domain_admin = heat_domain_admin
stack_domain_admin_password = {password}
environment_dir = {etc}/environment.d
template_dir = {etc}/templates
heat_metadata_server_url = {url}:8000
heat_waitcondition_server_url = {url}:8000/v1/waitcondition
[paste_deploy]
api_paste_config = {etc}/api-paste.ini
[database]
connection = {database}
[oslo_concurrency]
lock_path = {folder}/lock
[keystone_authtoken]
www_authenticate_uri = {url}:5000
auth_url = {url}:5000
auth_type = password
username = heat
password = {password}
project_name = service
user_domain_id = default
project_domain_id = default
[trustee]
auth_type = password
auth_url = {url}:5000
username = heat
password = {password}
user_domain_id = default
[clients_keystone]
auth_uri = {url}:5000
"""


def start_heat(lab, cloud):
    """Start Heat in the central box of a cloud, unless it runs, and tell Keystone of it."""
    box = cloud.central
    if NAME in services.names(box) and services.alive(box, NAME):
        return
    folder = box.directory / NAME
    folder.mkdir(exist_ok=True)
    home = environment("heat")
    url = f"http://{cloud.plan.api_address}"
    where = f"heat_{cloud.name}"
    database.sql(
        lab,
        f"CREATE DATABASE IF NOT EXISTS {where} CHARACTER SET utf8mb4;"
        f"GRANT ALL ON {where}.* TO lab@localhost IDENTIFIED BY '{DATABASE_PASSWORD}';",
    )
    configuration = folder / "heat.conf"
    configuration.write_text(
        CONFIGURATION.format(
            password=SERVICE_PASSWORD,
            etc=home / "etc" / "heat",
            url=url,
            folder=folder,
            database=database.url(lab, cloud.plan).replace(f"neutron_{cloud.name}", where),
        )
    )
    _seed(cloud.connect("admin").identity, url)
    env = {"PYTHONPATH": str(ROOT)}
    python = str(home / "bin" / "python")
    manage = [python, "-W", "ignore", str(home / "bin" / "heat-manage")]
    box.run([*manage, "--config-file", str(configuration), "db_sync"], timeout=120, env=env)
    server = ("-m", "tests.oracles.heat_server", str(configuration), str(PORT))
    argv = (python, "-W", "ignore", *server)
    services.start(box, Service(NAME, argv, env))
    wsgi.wait(lab, cloud.plan, NAME, PORT, "/")


def _seed(identity, url):
    """Make Heat's user, roles, domain and endpoints; what is there stays."""
    roles = {role.name: role for role in identity.roles()}
    for name in ("heat_stack_owner", "heat_stack_user"):
        if name not in roles:
            roles[name] = identity.create_role(name=name)
    project = identity.find_project("service")
    if identity.find_user("heat") is None:
        user = identity.create_user(name="heat", password=SERVICE_PASSWORD, domain_id="default")
        for name in ("admin", "service"):
            identity.assign_project_role_to_user(project, user, roles[name])
        service = identity.create_service(name="heat", type="orchestration")
        for interface in ("public", "internal", "admin"):
            identity.create_endpoint(
                service_id=service.id,
                interface=interface,
                region_id="RegionOne",
                url=f"{url}:{PORT}/v1/%(tenant_id)s",
            )
        domain = identity.create_domain(name="heat")
        admin = identity.create_user(
            name="heat_domain_admin", password=SERVICE_PASSWORD, domain_id=domain.id
        )
        identity.assign_domain_role_to_user(domain, admin, roles["admin"])


def template(words, psk="a key"):
    """Return a stack with two sites of one cloud and a tunnel between them.

    Heat changes the description in place; for another key it makes another connection.

    Algorithms are Heat's own defaults, and `dpd` has the key that Heat sends.
    """
    resources = {
        "ike": {"type": "OS::Neutron::IKEPolicy", "properties": {"ike_version": "v2"}},
        "ipsec": {"type": "OS::Neutron::IPsecPolicy"},
    }
    for number, (side, other) in enumerate((("left", "right"), ("right", "left")), 1):
        resources |= _side(side, f"10.{220 + number}.0.0/24")
        peer = {"get_attr": [f"{other}-vpn", "show", "external_v4_ip"]}
        resources[f"{side}-connection"] = {
            "type": "OS::Neutron::IPsecSiteConnection",
            "properties": {
                "vpnservice_id": {"get_resource": f"{side}-vpn"},
                "ikepolicy_id": {"get_resource": "ike"},
                "ipsecpolicy_id": {"get_resource": "ipsec"},
                "peer_address": peer,
                "peer_id": peer,
                "peer_cidrs": [f"10.{223 - number}.0.0/24"],
                "psk": psk,
                "mtu": 1400,
                "description": words,
                "dpd": {"actions": "restart", "interval": 20, "timeout": 90},
            },
        }
    return {"heat_template_version": "2021-04-16", "resources": resources}


def _side(side, cidr):
    network, subnet, router = f"{side}-net", f"{side}-subnet", f"{side}-router"
    return {
        network: {"type": "OS::Neutron::Net"},
        subnet: {
            "type": "OS::Neutron::Subnet",
            "properties": {"network": {"get_resource": network}, "cidr": cidr},
        },
        router: {
            "type": "OS::Neutron::Router",
            "properties": {"external_gateway_info": {"network": "public"}},
        },
        f"{side}-interface": {
            "type": "OS::Neutron::RouterInterface",
            "properties": {
                "router": {"get_resource": router},
                "subnet": {"get_resource": subnet},
            },
        },
        f"{side}-vpn": {
            "type": "OS::Neutron::VPNService",
            "depends_on": f"{side}-interface",
            "properties": {
                "router": {"get_resource": router},
                "subnet": {"get_resource": subnet},
            },
        },
    }
