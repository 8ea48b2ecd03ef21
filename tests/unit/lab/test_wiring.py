"""When the lab takes a router's ports as wired."""

import types

from lab.wiring import unwired


def port(owner: str, host: str = "", status: str = "ACTIVE") -> types.SimpleNamespace:
    """Return a port as the SDK shows it to the admin."""
    return types.SimpleNamespace(
        id="p1", device_owner=f"network:{owner}", binding_host_id=host, status=status
    )


GATEWAY = port("router_gateway", "gw1")
HA_STATES = {"gw1": "active", "gw2": "standby"}
VRRP = [port("router_ha_interface", host) for host in HA_STATES]


def test_a_router_is_wired_when_all_its_ports_are_active() -> None:
    """One that isn't is told, with its status."""
    assert unwired([GATEWAY], {}) == []
    (said,) = unwired([GATEWAY, port("router_interface", "gw1", "BUILD")], {})
    assert said == "network:router_interface p1 is BUILD"


def test_a_redundant_routers_ports_are_bound_to_the_node_that_serves() -> None:
    """Those of VRRP's network are on every node, and a distributed interface is on none."""
    distributed = port("router_interface_distributed")
    assert unwired([GATEWAY, *VRRP, distributed], HA_STATES) == []
    (said,) = unwired([port("ha_router_replicated_interface", "gw2"), *VRRP], HA_STATES)
    assert said == "network:ha_router_replicated_interface p1 is bound to gw2, not gw1"


def test_a_redundant_router_that_nobody_or_two_serve_is_not_wired() -> None:
    """Neutron binds its ports once more when that is known."""
    for state in ("standby", "active"):
        assert unwired([GATEWAY, *VRRP], dict.fromkeys(HA_STATES, state))
    assert unwired([GATEWAY], {"gw1": "active", "gw2": "active"})
