"""A key that no key of this controller decrypts: one that was taken away, or isn't here yet."""

import base64

import pytest
from neutron_lib import context as n_context

from swanherd.server.db import vault

ONE, OTHER = (base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2))


@pytest.fixture
def keys(cloud):
    """What makes keys this process' own; none, when the test has ended."""
    yield lambda *keys: vault.use(vault.Keyring(keys))
    vault.use(vault.Keyring())


def test_it_hides_no_connection_and_can_be_set_anew(cloud, keys):
    """Lists answer, without it; what doesn't come up must be correctable."""
    keys(ONE)
    made = cloud.connection(psk="first")
    keys(OTHER)
    readable = cloud.connection(cloud.show("vpnservice", made["vpnservice_id"]), psk="mine")
    listed = cloud.api.get_ipsec_site_connections(n_context.get_admin_context())
    assert {c["id"]: c["psk"] for c in listed} == {made["id"]: None, readable["id"]: "mine"}
    assert cloud.show("ipsec_site_connection", made["id"])["psk"] is None
    renamed = cloud.update("ipsec_site_connection", made["id"], name="other")
    assert (renamed["name"], renamed["psk"]) == ("other", None)
    assert cloud.update("ipsec_site_connection", made["id"], psk="second")["psk"] == "second"


def test_it_can_be_read_again_where_its_key_is(cloud, keys):
    """Nothing was changed meanwhile."""
    keys(ONE)
    made = cloud.connection(psk="first")
    keys(OTHER)
    assert cloud.show("ipsec_site_connection", made["id"])["psk"] is None
    keys(OTHER, ONE)
    assert cloud.show("ipsec_site_connection", made["id"])["psk"] == "first"
