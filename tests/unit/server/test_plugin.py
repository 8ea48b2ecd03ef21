import warnings

import pytest

with warnings.catch_warnings():
    # futurist imports eventlet where it is installed, which warns.
    warnings.simplefilter("ignore")
    from swanherd.server.plugin import refuse_unsupported

from swanherd.server.api.masking import masked
from swanherd.server.api.policies import list_rules


@pytest.mark.parametrize(
    "name",
    ["neutron_plugin_contrail.plugins.opencontrail.Plugin", "tungsten", "x.OpenSDN.Plugin"],
)
def test_a_core_plugin_that_is_not_supported_is_named(name):
    """The server refuses to start with one sentence."""
    with pytest.raises(SystemExit, match="OpenSDN"):
        refuse_unsupported(name)
    refuse_unsupported("ml2")


def test_keys_are_masked_at_any_depth_and_the_original_stays():
    """Bulk requests nest bodies in lists."""
    body = {"ipsec_site_connections": [{"psk": "secret", "name": "n"}]}
    assert "secret" not in repr(masked(body))
    assert masked(body)["ipsec_site_connections"][0]["name"] == "n"
    assert body["ipsec_site_connections"][0]["psk"] == "secret"


def test_each_resource_has_its_four_rules():
    """Operators' policy files name them."""
    names = {rule.name for rule in list_rules()}
    resources = ("vpnservice", "ikepolicy", "ipsecpolicy", "ipsec_site_connection")
    for resource in (*resources, "endpoint_group"):
        assert {f"{verb}_{resource}" for verb in ("create", "update", "delete", "get")} <= names
    assert "get_ipsec_site_connection:psk" in names
    scheduling = {"get_vpn-routers", "create_vpn-router", "delete_vpn-router", "get_vpn-agents"}
    assert scheduling <= names
    assert len(names) == 21 + len(scheduling)
