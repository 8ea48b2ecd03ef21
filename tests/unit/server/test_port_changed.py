"""A public port that somebody changes: what can be put right is seen at once, else refused."""

from types import SimpleNamespace
from unittest import mock

import pytest
from neutron_lib import exceptions as lib_exc

from swanherd.core.failures import Temporary
from swanherd.core.model import Reason
from swanherd.core.steering import public_port_id
from swanherd.server import public_port
from swanherd.server.maintenance import Apart
from swanherd.server.ovn_backend import OvnBackend
from swanherd.server.public_port import OWNER

MAC = "fa:16:3e:00:00:01"
HERE = {"fixed_ips": [{"ip_address": "203.0.113.9"}], "mac_address": MAC}
THERE = HERE | {"fixed_ips": [{"ip_address": "203.0.113.10"}]}
NOWHERE = HERE | {"fixed_ips": []}
ANEW = HERE | {"mac_address": "fa:16:3e:00:00:02"}


def looked_at(before, after, owner=OWNER):
    """Which routers are looked at after a port's update."""
    seen = []
    backend = SimpleNamespace(_looks=SimpleNamespace(add=seen.append))
    port = {"device_owner": owner, "device_id": "r", **after}
    payload = SimpleNamespace(states=[port | before, port], latest_state=port)
    OvnBackend._port_changed(backend, "port", "after_update", None, payload)
    return seen


@pytest.mark.parametrize("after", [THERE, NOWHERE, ANEW])
def test_other_addresses_let_the_router_be_looked_at(after):
    """Also if it has none any more."""
    assert looked_at(HERE, after) == ["r"]


def test_other_updates_and_others_ports_are_nothing_to_look_at():
    """A port is updated often."""
    assert looked_at(HERE, HERE) == []
    assert looked_at(HERE, THERE, owner="compute:nova") == []


def moved(before, after, owner=OWNER, trouble=None):
    """Which ports OVN is told to move after a port's update."""
    told = []

    def move(_nb, *what):
        told.append(what)
        if trouble:
            raise trouble

    port = {"id": "p", "device_owner": owner, "device_id": "r", "binding:host_id": after}
    payload = SimpleNamespace(states=[port | {"binding:host_id": before}, port], latest_state=port)
    driver = SimpleNamespace(nb_ovn=None)
    backend = SimpleNamespace(_moves=Apart(None))
    with (
        mock.patch("swanherd.server.ovn_backend.moving.move", move),
        mock.patch("swanherd.server.ovn_backend.driver", return_value=driver),
    ):
        OvnBackend._port_bound(backend, "port", "after_update", None, payload)
    return told


def test_ovn_is_told_at_once_of_a_public_port_that_is_recorded_elsewhere():
    """Of no other, none that stays or is nowhere; Neutron goes on if OVN can't be told."""
    away = Temporary("r", Reason("ovn_unreachable", "away"))
    assert moved("a", "b") == [("r", "p", "b")]
    assert moved("", "b") == [("r", "p", "b")]
    assert moved("a", "b", trouble=away) == [("r", "p", "b")]
    assert moved("a", "a") == moved("a", "") == moved("a", "b", owner="compute:nova") == []


def change(wanted, port_id=public_port_id("r"), owner=OWNER):  # noqa: B008 - a constant
    port = {"id": port_id, "device_owner": owner, "device_id": "r"}
    payload = SimpleNamespace(states=[port, wanted], resource_id=port_id, context=None)
    public_port.refuse_change("port", "before_update", None, payload)


@pytest.mark.parametrize(
    "wanted", [{"device_id": ""}, {"device_id": "vm", "device_owner": "compute:nova"}]
)
def test_a_public_port_can_t_become_another_device_s(wanted):
    """Other changes of it, and of others' ports, are none of this."""
    with pytest.raises(lib_exc.ServicePortInUse, match="the public port of a router's VPN"):
        change(wanted)
    change({"device_id": "r", "device_owner": OWNER, "name": "x", "fixed_ips": []})
    change(wanted, "a-port-of-a-workload", owner="compute:nova")
