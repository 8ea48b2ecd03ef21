from neutron_lib.api.definitions import vpn

from swanherd.core.validation import WEAK
from swanherd.server.api.definitions import AES_CTR
from swanherd_dashboard.core import profiles
from swanherd_dashboard.core.choices import CHOICES


def test_what_is_offered_is_what_the_server_takes():
    """Each attribute's values, none twice."""
    for collection in (vpn.IKE_POLICIES, vpn.IPSEC_POLICIES):
        server = vpn.RESOURCE_ATTRIBUTE_MAP[collection]
        ctr = AES_CTR.RESOURCE_ATTRIBUTE_MAP[collection]
        for name in CHOICES.keys() & server.keys():
            taken = {**server, **ctr}[name]["validate"]["type:values"]
            assert sorted(CHOICES[name]) == sorted(taken), name


def test_what_is_marked_weak_is_what_the_server_calls_weak():
    """The same values, so that a mark here is a warning there."""
    marked = {
        "encryption_algorithm": profiles.WEAK["encryption"],
        "auth_algorithm": profiles.WEAK["integrity"],
        "pfs": profiles.WEAK["group"],
    }
    assert {name: WEAK[name][0] for name in marked} == marked
