"""Horizon's own test settings with our panel, installed as a deployer does it."""

import pathlib

import neutron_vpnaas_dashboard.enabled
import openstack_dashboard.enabled
from horizon.test.settings import *  # noqa: F403
from openstack_dashboard import theme_settings
from openstack_dashboard.test.settings import *  # noqa: F403
from openstack_dashboard.test.settings import (
    AVAILABLE_THEMES,
    HORIZON_CONFIG,
    INSTALLED_APPS,
    ROOT_PATH,
    STATICFILES_DIRS,
    TEMPLATES,
    TEST_GLOBAL_MOCKS_ON_PANELS,
    THEME_COLLECTION_DIR,
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

# The style sheets of Horizon's themes, and of a dark one: tests.dashboard.themes compiles them.
HERE = pathlib.Path(__file__).parent
AVAILABLE_THEMES = [*AVAILABLE_THEMES, ("dark", "Dark", str(HERE / "dark"))]
STATICFILES_DIRS = [
    *theme_settings.get_theme_static_dirs(AVAILABLE_THEMES, THEME_COLLECTION_DIR, ROOT_PATH),
    *STATICFILES_DIRS,
]
settings.find_static_files(HORIZON_CONFIG, AVAILABLE_THEMES, THEME_COLLECTION_DIR, ROOT_PATH)
TEMPLATES[0]["DIRS"].insert(0, str(HERE / "templates"))
