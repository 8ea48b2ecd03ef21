"""A public port that somebody gives other addresses is seen at once."""

from types import SimpleNamespace

import pytest

from swanherd.server.ovn_backend import OvnBackend
from swanherd.server.public_port import OWNER

HERE, THERE = [{"ip_address": "203.0.113.9"}], [{"ip_address": "203.0.113.10"}]


def looked_at(before, after, owner=OWNER):
    """Which routers are looked at after a port's update."""
    seen = []
    backend = SimpleNamespace(_looks=SimpleNamespace(add=seen.append))
    port = {"device_owner": owner, "device_id": "r", "fixed_ips": after}
    payload = SimpleNamespace(states=[port | {"fixed_ips": before}, port], latest_state=port)
    OvnBackend._port_changed(backend, "port", "after_update", None, payload)
    return seen


@pytest.mark.parametrize("after", [THERE, []])
def test_other_addresses_let_the_router_be_looked_at(after):
    """Also if it has none any more."""
    assert looked_at(HERE, after) == ["r"]


def test_other_updates_and_others_ports_are_nothing_to_look_at():
    """A port is updated often."""
    assert looked_at(HERE, HERE) == []
    assert looked_at(HERE, THERE, owner="compute:nova") == []
