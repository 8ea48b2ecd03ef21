"""A router's VPN moves: between Neutron's kinds of routers, and from Open vSwitch to OVN.

And what Neutron itself forgets when a router is distributed no more, shown without a VPN.
"""

import itertools

import pytest

from lab.capture import Capture
from lab.layout import PUBLIC_CIDRS, gateway_of
from lab.processes import wait_for
from lab.sites import KINDS, boot, make_site, remove_site
from lab.vpn import child_sas, connect, join, make_end, remove_end, views, wait_status

# The first test makes the ground, and each waits for agents on a machine that may be busy.
pytestmark = [pytest.mark.timeout(900), pytest.mark.long]


@pytest.fixture(scope="module")
def pair(make_pair):
    """A legacy router of cloud a, whose L3 agents are Open vSwitch's, joined with one of OVN."""
    pair = make_pair(kinds=("legacy", ""))
    pair.connections = (join(*pair.ends, 4, 4),)
    pair.up(60)
    return pair


@pytest.fixture(autouse=True)
def closed(pair, lab):
    """Nothing is ever in clear on the way from cloud a, whatever its router becomes."""
    inner = " or ".join(f"host {a}" for w in (pair.here, pair.there) for a in w.addresses)
    with Capture.on_wire(lab, pair.one.cloud.plan, inner) as wire:
        yield
        assert wire.lines() == []


def become(cloud, site, workload, kind):
    """Make the router another kind, as Neutron wants it: by the admin, while it is down."""
    let_go(cloud, site)
    # Who sent while Neutron made it distributed was redirected to its central part, and keeps to
    # that for 300 s (docs/limitations.md).
    workload.run(["ip", "route", "flush", "cache"])
    change(cloud, site, kind)
    if kind != "dvr":  # a distributed router's are bound to no node yet (docs/limitations.md)
        tell_of_ports(cloud, site, kind)
    take_up(cloud, site)


def let_go(cloud, site):
    """Take the router down, and wait until nobody has anything of it."""
    network = cloud.connect("admin").network
    network.update_router(site.router_id, is_admin_state_up=False)
    # An L3 agent that is late would ask for it as what it is by then, and be given it: of a
    # distributed router each compute node would make a whole one (docs/limitations.md).
    wait_for(lambda: not _nodes_with(cloud, site), 120, "every node has let it go", every=0.5)
    # Who is told late that the port of a legacy router is down finds one of another kind, of
    # which other nodes aren't told: they keep sending to where it was (docs/limitations.md).
    wait_for(lambda: not _ports_up(network, site), 120, "its ports are down", every=0.5)


def change(cloud, site, kind):
    """Make the router that is down another kind."""
    kinds = {
        {"ha": "is_ha", "distributed": "is_distributed"}[k]: v for k, v in KINDS[kind].items()
    }
    cloud.connect("admin").network.update_router(site.router_id, **kinds)


def tell_of_ports(cloud, site, why):
    """Change the router's ports a little, so that Neutron tells its agents whose they are.

    When it makes a router another kind, it doesn't (docs/limitations.md).
    """
    network = cloud.connect("admin").network
    for port in network.ports(device_id=site.router_id, network_id=site.network_id):
        network.update_port(port, description=f"{why}, {port.revision_number}")


def take_up(cloud, site):
    """Take the router up again."""
    cloud.connect("admin").network.update_router(site.router_id, is_admin_state_up=True)


def _is(end, kind):
    router = end.cloud.connect("admin").network.get_router(end.site.router_id)
    return {"ha": router.is_ha, "distributed": router.is_distributed} == KINDS[kind]


def _ports_up(network, site):
    return [p.id for p in network.ports(device_id=site.router_id) if p.status != "DOWN"]


def _nodes(cloud):
    return (*cloud.gateways, *cloud.computes)


def _nodes_with(cloud, site):
    names = [f"{kind}-{site.router_id}" for kind in ("qrouter", "snat")]
    return [
        b.name for b in _nodes(cloud) if any(n in b.run(["ip", "netns"]).stdout for n in names)
    ]


def kept_apart(cloud, gateway):
    """Return the nodes whose switch keeps ARP about the gateway, as of a distributed router."""
    flow = ["ovs-ofctl", "dump-flows", "br-tun", f"table=22,arp,arp_tpa={gateway}"]
    return {b.name for b in _nodes(cloud) if "actions=drop" in b.run(flow, check=False).stdout}


def reaching(cloud, site, address):
    """Return the gateways from which the router itself reaches an address."""
    ping = ["ip", "netns", "exec", f"qrouter-{site.router_id}", "ping", "-c1", "-W1", address]
    return {box.name for box in cloud.gateways if not box.run(ping, check=False).returncode}


# A way through all changes between the three, from legacy and back to it.
WAY = ("legacy", "ha", "dvr", "legacy", "dvr", "ha", "legacy")


@pytest.mark.parametrize(
    ("before", "kind"), itertools.pairwise(WAY), ids=map("-".join, itertools.pairwise(WAY))
)
def test_the_vpn_follows_its_router_from_kind_to_kind(pair, before, kind):
    """Legacy, redundant, distributed and back: the connection is the same and is ACTIVE again."""
    cloud, site = pair.one.cloud, pair.one.site
    if not _is(pair.one, before):  # run alone
        become(cloud, site, pair.here, before)
    become(cloud, site, pair.here, kind)
    wait_for(lambda: _served(pair.one), 60, f"a {kind} router is served", every=0.5)
    pair.here.wait_for_ping(pair.there.ipv4, 60)
    pair.up(30)
    (cidr,) = site.subnets
    assert kind == "dvr" or not kept_apart(cloud, gateway_of(cidr))


def test_neutron_takes_a_router_for_a_distributed_one(clouds, clients, number):
    """Without a VPN: agents that aren't told of its ports again keep it apart from workloads.

    Told, and the router down and up once more, they don't. Should the first part ever fail,
    Neutron tells them, and `tell_of_ports` isn't needed any more.
    """
    cloud, client = clouds[0], clients[0]
    cidr = f"10.{number}.1.0/24"
    outside, inside = gateway_of(PUBLIC_CIDRS["a"][0]), gateway_of(cidr)
    site = make_site(cloud, client, f"plain{number}", [cidr], kind="dvr")
    workload = boot(cloud, client, site, f"p{number}")
    workload.wait_for_ping(outside, 90)
    let_go(cloud, site)
    workload.run(["ip", "route", "flush", "cache"])
    # Each agent has heard of them as of a distributed router's, as it may by chance.
    tell_of_ports(cloud, site, "while distributed")
    change(cloud, site, "ha")
    take_up(cloud, site)
    wait_for(lambda: reaching(cloud, site, outside), 90, "the router is served", every=0.5)
    assert reaching(cloud, site, outside) & kept_apart(cloud, inside)
    assert not workload.pings(inside, count=50)
    assert not workload.pings(outside, count=50)
    let_go(cloud, site)
    tell_of_ports(cloud, site, "afterwards")
    take_up(cloud, site)
    workload.wait_for_ping(outside, 90)
    workload.wait_for_ping(inside, 10)
    assert not kept_apart(cloud, inside)
    workload.remove()
    remove_site(client, site)


def _served(end):
    return [v for v in views(end).values() if v["desired"]["role"] == "active" and v["report"]]


def test_a_project_moves_its_vpn_to_ovn_by_the_api(pair, clouds, clients):
    """The same networks behind a router of OVN; the peer is told the new address; all by users."""
    (cidr,), (far,) = pair.one.site.subnets, pair.other.site.subnets
    cloud, client = clouds[1], clients[1]
    site = make_site(cloud, client, f"moved-{pair.one.site.name}", [cidr])
    end = make_end(cloud, client, site)
    workload = boot(cloud, client, site, f"m-{pair.one.site.name}")
    connection = connect(end, pair.other.address(4), [cidr], [far])
    ((old, theirs),) = pair.connections
    pair.other.client.network.update_vpn_ipsec_site_connection(
        theirs, peer_address=end.address(4), peer_id=end.address(4)
    )
    pair.one.client.network.delete_vpn_ipsec_site_connection(old)
    pair.one.made = [each for each in pair.one.made if each[1] != old]
    assert end.address(4).startswith(PUBLIC_CIDRS["b"][0].rpartition(".")[0])
    wait_status(end, connection, "ACTIVE", 60)
    wait_status(pair.other, theirs, "ACTIVE", 60)
    workload.wait_for_ping(pair.there.ipv4, 30)
    pair.there.wait_for_ping(workload.ipv4, 10)
    # Not asked by a ping: what no connection protects any more may leave in clear.
    wait_for(lambda: not child_sas(pair.one), 30, "the old tunnel is gone", every=0.5)
    remove_end(end)
