"""neutron-vpnaas' own API tests, unmodified, against Swanherd's plugin.

Run in an environment of their own (tests/oracles/environments.py) by testtools. What stands here
is only what puts our plugin in the place of theirs: the models (both packages declare tables of
the same names), the extensions, and the plugin class. The tests come from the installed package.
"""

import sys
import types
from unittest import mock

import fixtures
from neutron import extensions as neutron_extensions
from neutron_lib.api.definitions import vpn
from neutron_lib.callbacks import events, resources

from swanherd.server import guards
from swanherd.server.api.extensions import vpnaas, vpnendpointgroups
from swanherd.server.db import models
from swanherd.server.plugin import EXTENSIONS_PATH, SwanherdPlugin

_MODELS = "neutron_vpnaas.db.vpn.vpn_models"
_pfs = vpn.RESOURCE_ATTRIBUTE_MAP["ikepolicies"]["pfs"]["validate"]["type:values"]

sys.modules[_MODELS] = types.ModuleType(_MODELS)
sys.modules[_MODELS].__dict__.update(
    IPsecPeerCidr=models.PeerCidrRow,
    IPsecPolicy=models.IpsecPolicyRow,
    IKEPolicy=models.IkePolicyRow,
    IPsecSiteConnection=models.SiteConnectionRow,
    VPNService=models.VpnServiceRow,
    VPNEndpoint=models.EndpointRow,
    VPNEndpointGroup=models.EndpointGroupRow,
    PFS_ENUM_VALUES=_pfs,
)

from neutron_vpnaas import policies  # noqa: E402
from neutron_vpnaas.tests.unit.db.vpn import test_vpn_db as api  # noqa: E402
from neutron_vpnaas.tests.unit.extensions import test_vpn_endpoint_groups as groups  # noqa: E402
from neutron_vpnaas.tests.unit.extensions import test_vpnaas as resources_  # noqa: E402

# Both packages' rules are entry points of Neutron's, and have the same names.
policies.list_rules = tuple

EXTENSIONS = ":".join([EXTENSIONS_PATH, *neutron_extensions.__path__])


class Plugin(SwanherdPlugin):
    """Ours, with what the suite calls beside the API: our callbacks answer there."""

    def _get_resource(self, context, model, resource_id):
        return context.session.get(model, resource_id)

    def check_router_in_use(self, context, router_id):
        payload = events.DBEventPayload(context, resource_id=router_id)
        guards.keep_router(resources.ROUTER_GATEWAY, events.BEFORE_DELETE, self, payload)

    def check_subnet_in_use(self, context, subnet_id, router_id):
        about = {"subnet_id": subnet_id}
        payload = events.DBEventPayload(context, resource_id=router_id, metadata=about)
        guards.keep_interface(resources.ROUTER_INTERFACE, events.BEFORE_DELETE, self, payload)


class TestApi(api.TestVpnaas):
    """The API on a database."""

    def setUp(self):
        for name, value in (
            ("vpn_plugin.VPNPlugin", Plugin),
            ("extensions_path", EXTENSIONS),
            ("vpn_db.subscribe", mock.Mock()),
        ):
            self.useFixture(fixtures.MonkeyPatch(f"{api.__name__}.{name}", value))
        super().setUp(vpnaas_plugin=f"{__name__}.Plugin")


class TestResources(resources_.VpnaasExtensionTestCase):
    """What a plugin gets of a request, for our extension `vpnaas`."""

    def setUp(self):
        for name, value in (("vpnaas.Vpnaas", vpnaas.Vpnaas),):
            self.useFixture(fixtures.MonkeyPatch(f"{resources_.__name__}.{name}", value))
        super().setUp()


class TestEndpointGroups(groups.VpnEndpointGroupsTestCase):
    """What a plugin gets of a request, for our extension `vpn-endpoint-groups`."""

    def setUp(self):
        name = f"{groups.__name__}.vpn_endpoint_groups.Vpn_endpoint_groups"
        self.useFixture(fixtures.MonkeyPatch(name, vpnendpointgroups.Vpnendpointgroups))
        super().setUp()
