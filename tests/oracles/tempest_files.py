"""Tempest's configuration for one cloud of a lab."""

from lab.layout import ADMIN_PASSWORD
from tests.oracles.environments import FOLDER

CONFIGURATION = """\
[DEFAULT]
log_file = {folder}/tempest.log
[oslo_concurrency]
lock_path = {folder}/lock
[auth]
use_dynamic_credentials = True
admin_username = admin
admin_password = {password}
admin_project_name = admin
admin_domain_name = Default
create_isolated_networks = False
[identity]
auth_version = v3
uri_v3 = {url}
region = RegionOne
[identity-feature-enabled]
api_v3 = True
[service_available]
neutron = True
nova = False
glance = False
cinder = False
swift = False
[network]
public_network_id = {public}
project_network_cidr = 10.100.0.0/16
floating_network_name = public
[network-feature-enabled]
api_extensions = all
ipv6 = True
ipv6_subnet_attributes = True
[validation]
run_validation = False
ping_timeout = 60
ping_count = 1
[neutron_plugin_options]
is_igmp_snooping_enabled = False
"""


def tempest_environment(cloud, public_id):
    """Write tempest's configuration for a cloud; the environment variables that name it."""
    folder = FOLDER / "tempest-workspace"
    folder.mkdir(parents=True, exist_ok=True)
    text = CONFIGURATION.format(
        folder=folder,
        password=ADMIN_PASSWORD,
        url=f"http://{cloud.plan.api_address}:5000/v3",
        public=public_id,
    )
    (folder / "tempest.conf").write_text(text)
    return {"TEMPEST_CONFIG_DIR": str(folder), "TEMPEST_CONFIG": "tempest.conf"}
