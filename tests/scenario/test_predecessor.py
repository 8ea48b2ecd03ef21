"""Swanherd in one cloud, the real neutron-vpnaas 29 in the other: BACKEND=predecessor.

It is what we are measured beside (bench/beside) and what is migrated from.
"""

import pytest

from lab import predecessor, services
from lab.capture import Capture
from lab.vpn import join

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def joined(make_pair):
    """A tunnel between both, ACTIVE in both clouds' APIs."""
    pair = make_pair()
    pair.connections = (join(*pair.ends, 4, 4),)
    pair.up(120)
    return pair


def test_servers_and_agent_are_its_own(clouds):
    """The API of that cloud and the agent on its gateway run neutron-vpnaas and not Swanherd."""
    cloud = clouds[1]
    agents = {a.binary for a in cloud.connect("admin").network.agents()}
    assert predecessor.AGENT in agents
    assert not [name for name in agents if "swanherd" in name]
    main = services.find(cloud.central, predecessor.AGENT).main
    assert f"{cloud.plan.venv}/bin/{predecessor.AGENT}" in " ".join(main.argv)


def test_a_tunnel_to_swanherd_passes_packets_and_none_in_clear(lab, clouds, joined):
    """Pings are answered both ways, and the wire has ESP and no inner packet."""
    with Capture.on_wire(lab, clouds[0].plan) as wire:
        joined.here.wait_for_ping(joined.there.ipv4)
        assert joined.there.pings(joined.here.ipv4, count=5)
    assert wire.count("udp port 4500 or esp") >= 12
    inner = " or ".join(f"host {w.ipv4}" for w in (joined.here, joined.there))
    assert not wire.lines(inner)


def test_its_charon_is_asked_by_vici(joined):
    """Who measures it sees its live SAs and its configuration without its own words."""
    end, (ids,) = joined.other, joined.connections
    sas = predecessor.ike_sas(end.cloud.central, end.site.router_id)
    assert [sa["name"] for sa in sas] == [ids[1]]
    assert (
        predecessor.file(end.cloud.central, end.site.router_id, "ipsec.conf").count("conn ") == 2
    )  # and the default
