"""What the API shows has the names that charon has it under, whatever of it is negotiated."""

import copy
import types

import pytest

from lab.agreement import as_shown, names_of
from lab.vpn import End
from swanherd.core.peering import peerings
from swanherd.testing import builders as make

STRONG = {"encryption_algorithm": "aes-256", "auth_algorithm": "sha256", "pfs": "group19"}
LIFETIME = {"units": "seconds", "value": 3600}
ROWS = {
    "ipsec-site-connections/c": {
        "local_id": "",
        "peer_address": "198.51.100.2",
        "peer_id": "198.51.100.2",
        "psk": "correct horse battery staple",
        "dpd": {"action": "hold", "interval": 30, "timeout": 120},
        "ikepolicy_id": "i",
        "ipsecpolicy_id": "e",
        "local_ep_group_id": "here",
        "peer_ep_group_id": "there",
    },
    "ikepolicies/i": {
        "ike_version": "v2",
        "phase1_negotiation_mode": "main",
        "lifetime": LIFETIME,
        **STRONG,
    },
    "ipsecpolicies/e": {
        "transform_protocol": "esp",
        "encapsulation_mode": "tunnel",
        "lifetime": LIFETIME,
        **STRONG,
    },
    "endpoint-groups/here": {"endpoints": ["s"]},
    "endpoint-groups/there": {"endpoints": ["10.2.0.0/24"]},
}


class Network:
    """The API of one end."""

    def __init__(self, rows):
        self.rows = rows

    def get(self, path, timeout):
        row = self.rows[path.removeprefix("/vpn/")]
        return types.SimpleNamespace(status_code=200, json=lambda: {"row": row})

    def get_vpn_service(self, _):
        return types.SimpleNamespace(id="v", external_v4_ip="203.0.113.2", external_v6_ip=None)


def names(rows):
    """Return the names of what this API shows."""
    network = Network(rows)
    client = types.SimpleNamespace(network=network)
    site = types.SimpleNamespace(name="site", subnets={"10.1.0.0/24": "s"})
    end = End(None, client, site, network.get_vpn_service("v"), None, None)
    shown = rows["ipsec-site-connections/c"]
    return names_of([as_shown(end, shown)], make.desired().naming_key)


def test_they_are_those_of_the_plan():
    """Of the router that has just this connection."""
    (peering,) = peerings(make.desired(make.connection(local_id="203.0.113.2")))
    found = names(ROWS)
    assert found.configs == {peering.config.name}
    assert found.children == peering.children


@pytest.mark.parametrize(
    ("row", "field", "value"),
    [
        ("ipsec-site-connections/c", "psk", "another"),
        ("ipsec-site-connections/c", "local_id", "west.example"),
        ("ipsec-site-connections/c", "peer_id", "east.example"),
        ("ipsec-site-connections/c", "peer_address", "198.51.100.3"),
        ("ipsec-site-connections/c", "dpd", {"action": "hold", "interval": 5, "timeout": 120}),
        ("ikepolicies/i", "ike_version", "v1"),
        ("ikepolicies/i", "phase1_negotiation_mode", "aggressive"),
        *(
            (policy, field, value)
            for policy in ("ikepolicies/i", "ipsecpolicies/e")
            for field, value in (
                ("encryption_algorithm", "aes-128"),
                ("auth_algorithm", "sha512"),
                ("pfs", "group14"),
                ("lifetime", {"value": 7200}),
            )
        ),
        ("ipsecpolicies/e", "transform_protocol", "ah"),
        ("ipsecpolicies/e", "encapsulation_mode", "transport"),
        ("endpoint-groups/there", "endpoints", ["10.3.0.0/24"]),
    ],
)
def test_another_value_of_anything_is_another_name_and_none_tells_the_key(row, field, value):
    """So what differs shows, and nothing secret does."""
    rows = copy.deepcopy(ROWS)
    rows[row][field] = value
    assert names(rows) != names(ROWS)
    assert "another" not in repr(names(rows))
