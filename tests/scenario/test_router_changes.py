"""What Neutron changes of a router while its tunnel runs: its addresses and its interfaces."""

import ipaddress
import json
import time

import pytest
from openstack.exceptions import ConflictException

from lab.addresses import move_address
from lab.capture import Capture
from lab.processes import wait_for
from lab.sites import add_subnet, boot
from lab.stream import Stream
from lab.vpn import agent_view, child_sas, connect
from tests.scenario.closed import whole
from tests.scenario.test_self_healing import OVN, lost, stream

# On OVN a VPN has an address of its own beside the router's.
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(OVN, reason="the VPN isn't in the router's own namespace"),
]

FIGURES = "build/router-changes.jsonl"


@pytest.fixture(autouse=True)
def unbroken(pair, lab):
    """Each test begins and ends with a tunnel that works; nothing is ever in clear."""
    with whole(lab, pair):
        yield


def remotes(end):
    """The peers' addresses of what is up."""
    sas = agent_view(end)["observed"]["charon"]["ike_sas"]
    return {sa["remote_host"] for sa in sas if sa["state"] == "ESTABLISHED"}


def test_another_external_address_reaches_the_api_the_tunnel_and_the_peer(pair):
    """The API has it at once; told of it by PUT, the peer has the tunnel with it in seconds."""
    before = pair.one.address(4)
    pings = stream(pair)
    began = time.time()
    after = move_address(pair.one)
    assert after != before
    wait_for(lambda: pair.one.refresh().external_v4_ip == after, 15, "the API has it", every=0.1)
    shown = time.time()
    for _, theirs in pair.connections:
        pair.other.client.network.update_vpn_ipsec_site_connection(
            theirs, peer_address=after, peer_id=after
        )
    told = time.time()
    pings.wait_for_answers(told)
    wait_for(lambda: remotes(pair.other) == {after}, 30, "the peer's SA is with it", every=0.2)
    outcome = pings.stop()
    figures = {
        "what": "another address",
        "shown_s": round(shown - began, 2),
        "from_told_s": round(pings.first_answer(told) - told, 2),
        "outage_s": round(outcome.outage, 2),
        "lost": outcome.lost,
    }
    with open(FIGURES, "a") as file:
        file.write(json.dumps(figures) + "\n")
    assert figures["from_told_s"] < 30


def test_a_protected_subnet_comes_and_goes_beside_a_tunnel_that_notices_nothing(pair, lab):
    """Its interface is added, protected, held while that is so, and removed: 0 lost, same SAs."""
    before = child_sas(pair.one)
    client, cloud, site = pair.one.client, pair.one.cloud, pair.one.site
    number = site.name.removeprefix("s").partition("-")[0]
    cidr = f"10.{number}.77.0/24"
    (far,) = (c for c in pair.other.site.subnets if ipaddress.ip_network(c).version == 4)
    pings = stream(pair)
    subnet = add_subnet(client, site, cidr)
    workload = boot(cloud, client, site, f"n{number}", subnets=[cidr])
    ends = (
        connect(pair.one, pair.other.address(4), [cidr], [far]),
        connect(pair.other, pair.one.address(4), [far], [cidr]),
    )
    pair.connections = (*pair.connections, ends)
    with Capture.on_wire(lab, cloud.plan, f"host {workload.ipv4}") as wire:
        workload.wait_for_ping(pair.there.ipv4, 60)
        pair.there.wait_for_ping(workload.ipv4)
        with pytest.raises(ConflictException):
            client.network.remove_interface_from_router(site.router_id, subnet_id=subnet)
        (port,) = interfaces(client, site, subnet)
        with pytest.raises(ConflictException):
            client.network.remove_interface_from_router(site.router_id, port_id=port.id)
        busy = Stream.start(workload, pair.there.ipv4)
        assert lost(busy) == 0
        assert wire.lines() == []
    pair.connections = pair.connections[:-1]
    for end, connection_id in zip(pair.ends, ends, strict=True):
        end.client.network.delete_vpn_ipsec_site_connection(connection_id)
        end.made.remove(("connection", connection_id))
    client.network.remove_interface_from_router(site.router_id, subnet_id=subnet)
    wait_for(lambda: not interfaces(client, site, subnet), 30, "the interface is gone", every=0.2)
    plan = lambda: agent_view(pair.one, "plan")["actions"]  # noqa: E731
    wait_for(lambda: not plan(), 30, "the agent is at rest", every=0.5)
    assert lost(pings) <= 1
    assert before <= child_sas(pair.one)
    site.subnets.pop(cidr)


def interfaces(client, site, subnet):
    """The router's own ports in a subnet."""
    return [
        port
        for port in client.network.ports(network_id=site.network_id, device_id=site.router_id)
        if port.device_owner
        in ("network:router_interface", "network:router_interface_distributed")
        and any(f["subnet_id"] == subnet for f in port.fixed_ips)
    ]
