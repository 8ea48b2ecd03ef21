import ipaddress

import pytest

from swanherd.server.ovn_wanted import lasting_network
from swanherd.server.topology import Inside, Router


def inside(network, subnet):
    cidr = ipaddress.ip_network("10.1.0.0/24")
    return Inside(network, subnet, cidr, cidr[1], mtu=1442)


def router(*interfaces):
    return Router("gateway", "public", None, interfaces)


@pytest.mark.parametrize(
    ("around", "local", "network"),
    [
        (router(inside("a", "1"), inside("b", "2")), {"2"}, "b"),
        (router(inside("a", "1"), inside("b", "2")), set(), "a"),
        (router(), {"2"}, None),
        (None, {"2"}, None),
    ],
    ids=["a network of the VPN", "a router without connections", "no interface", "no router"],
)
def test_a_network_that_cannot_leave_the_router_is_named_to_neutron(around, local, network):
    """A subnet of a VPN can't be detached; without any, whatever the router has."""
    assert lasting_network(around, local) == network
