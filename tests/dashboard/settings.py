"""Horizon's own test settings with our panel, installed as a deployer does it."""

import neutron_vpnaas_dashboard.enabled
import openstack_dashboard.enabled
from horizon.test.settings import *  # noqa: F403
from openstack_dashboard.test.settings import *  # noqa: F403
from openstack_dashboard.test.settings import (
    HORIZON_CONFIG,
    INSTALLED_APPS,
    TEST_GLOBAL_MOCKS_ON_PANELS,
)
from openstack_dashboard.utils import settings

import swanherd_dashboard.enabled

for key in ("dashboards", "default_dashboard"):
    HORIZON_CONFIG.pop(key, None)
settings.update_dashboards(
    [openstack_dashboard.enabled, neutron_vpnaas_dashboard.enabled, swanherd_dashboard.enabled],
    HORIZON_CONFIG,
    INSTALLED_APPS,
)
INSTALLED_APPS = list(dict.fromkeys(INSTALLED_APPS))
TEST_GLOBAL_MOCKS_ON_PANELS["swanherd"] = {
    "method": "swanherd_dashboard.panel.Swanherd.can_access",
    "return_value": True,
}
