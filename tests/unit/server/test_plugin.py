import json
import logging
import warnings

import oslo_messaging
import pytest
from neutron_lib.api import validators
from oslo_config import cfg
from oslo_messaging.notify import _impl_test

with warnings.catch_warnings():
    # futurist imports eventlet where it is installed, which warns.
    warnings.simplefilter("ignore")
    from swanherd.server.backend import NoBackend
    from swanherd.server.l3_backend import L3Backend
    from swanherd.server.ovn_backend import OvnBackend
    from swanherd.server.plugin import refuse_unsupported, takes_over

from swanherd.server.api.extensions.vpnaas import _ATTRIBUTES
from swanherd.server.api.masking import install, masked, masking
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


@pytest.mark.parametrize("backend", [NoBackend, OvnBackend, L3Backend])
def test_a_router_waits_for_a_request_only_where_its_tunnel_lasts_meanwhile(backend):
    """In an L3 agent with our extension what neutron-vpnaas left would send in clear."""
    assert takes_over("at_once", backend)
    assert takes_over("on_request", backend) is (backend is L3Backend)


def test_keys_are_masked_at_any_depth_and_the_original_stays():
    """Bulk requests nest bodies in lists."""
    body = {"ipsec_site_connections": [{"psk": "secret", "name": "n"}]}
    assert "secret" not in repr(masked(body))
    assert masked(body)["ipsec_site_connections"][0]["name"] == "n"
    assert body["ipsec_site_connections"][0]["psk"] == "secret"


def test_what_a_policy_decides_about_is_logged_without_the_key(caplog):
    """oslo.policy prints it as JSON with debug on."""
    install()
    log = logging.getLogger("oslo_policy.policy")
    caplog.set_level(logging.DEBUG, log.name)
    target = json.dumps({"mtu": 1400, "psk": 'sec"ret\\', "peer_id": "me"})
    log.debug("enforce: rule=%s creds=%s target=%s", '"get"', "{}", target)
    assert "sec" not in caplog.text
    assert '"psk": "***", "peer_id": "me"' in caplog.text


def test_a_key_of_a_wrong_type_is_not_quoted():
    """Neutron logs what a validator says, at INFO, and answers with it."""
    rule = _ATTRIBUTES["ipsec_site_connections"]["psk"]["validate"]
    (name,) = rule
    for wrong in (["secret"], {"psk": "secret"}, 5):
        assert validators.get_validator(name)(wrong, None) == "it must be a string"
    assert validators.get_validator(name)("secret", None) is None


def test_a_notification_of_a_request_has_no_key():
    """What telemetry gets of a body, also from a notifier that was prepared for somebody."""
    conf = cfg.ConfigOpts()
    conf([])
    transport = oslo_messaging.get_notification_transport(conf, url="fake:/")
    get = masking(lambda name: oslo_messaging.Notifier(transport, name, driver="test", topics=[]))
    body = {"ipsec_site_connection": {"psk": "secret", "mtu": 1400}}
    for notifier in (get("network"), get("network").prepare("somebody")):
        notifier.info({}, "ipsec_site_connection.create.start", body)
        _, told, _, _ = _impl_test.NOTIFICATIONS[-1]
        assert told["payload"] == {"ipsec_site_connection": {"psk": "***", "mtu": 1400}}
    assert body["ipsec_site_connection"]["psk"] == "secret"


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


def test_what_the_database_says_of_a_key_is_not_logged(caplog):
    """MariaDB quotes the bytes that it can't store, with what follows; oslo.db warns of it."""
    install()
    log = logging.getLogger("oslo_db.sqlalchemy.exc_filters")
    for column, told in (("psk", False), ("name", True)):
        why = f"Incorrect string value: '\\xF0sec...' for column `n`.`t`.`{column}` at row 1"
        log.warning("DBAPIError exception wrapped.", exc_info=ValueError(why))
        assert ("sec" in caplog.text) is told
    assert caplog.text.count("exception wrapped") == 2
