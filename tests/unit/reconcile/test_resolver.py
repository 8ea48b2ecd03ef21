import ipaddress

from swanherd.reconcile.resolver import ResolvingSource
from swanherd.testing import builders as make

NAMES = {"vpn.example": ["2001:db8::9", "198.51.100.9", "198.51.100.7"], "gone.example": []}


class Server:
    def __init__(self, *peers):
        self.desired = make.desired(*(make.connection(p, peer_address=p) for p in peers))

    def get_router(self, _):
        return self.desired

    def get_revisions(self):
        return {}


def peers_of(*peers):
    source = ResolvingSource(
        Server(*peers), lambda name: [ipaddress.ip_address(a) for a in NAMES[name]]
    )
    return [c.peer_address for c in source.get_router(make.ROUTER).connections]


def test_a_name_becomes_the_lowest_address_of_the_local_family():
    """The choice doesn't depend on the resolver's order, so that nothing flaps."""
    assert peers_of("vpn.example") == ["198.51.100.7"]


def test_addresses_and_wildcards_are_left_alone():
    """Only names are looked up."""
    assert peers_of("198.51.100.2", "%any") == ["198.51.100.2", "%any"]


def test_a_name_that_has_no_address_stays():
    """So that it is known for what it is."""
    assert peers_of("gone.example") == ["gone.example"]
