import ipaddress

import pytest

from swanherd.core.model import DataPlane, Secret, TrafficSelector
from swanherd.core.peering import ike_config
from swanherd.swan import codec, wire
from swanherd.testing import builders as make


def of_pairs(count):
    local = ipaddress.ip_network("10.1.0.0/24")
    remotes = (ipaddress.ip_network(f"10.{100 + n // 250}.{n % 250}.0/24") for n in range(count))
    selectors = tuple(TrafficSelector(local, remote) for remote in remotes)
    return ike_config(make.connection(selectors=selectors), Secret("k"))


@pytest.mark.parametrize("plane", DataPlane)
def test_what_charon_would_not_read_is_not_rendered(plane):
    """Some 1,700 pairs of networks of one peer fit into what it reads at once."""
    assert wire.size_of(codec.render(of_pairs(1700), plane)) <= wire.MOST
    with pytest.raises(codec.Unrenderable, match="2500 pairs of networks are too many"):
        codec.render(of_pairs(2500), plane)
