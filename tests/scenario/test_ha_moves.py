"""A router's VPN moves: between Neutron's kinds of routers, and from Open vSwitch to OVN."""

import itertools

import pytest

from lab.capture import Capture
from lab.layout import PUBLIC_CIDRS
from lab.processes import wait_for
from lab.sites import KINDS, boot, make_site
from lab.vpn import child_sas, connect, join, make_end, remove_end, views, wait_status

pytestmark = pytest.mark.long


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


def become(end, workload, kind):
    """Make the router another kind, as Neutron wants it: by the admin, while it is down."""
    network = end.cloud.connect("admin").network
    network.update_router(end.site.router_id, is_admin_state_up=False)
    # An L3 agent that is late would ask for it as what it is by then, and be given it: of a
    # distributed router each compute node would make a whole one (docs/limitations.md).
    wait_for(lambda: not _nodes_with(end), 120, "every node has let the router go", every=0.5)
    # Who is told late that the port of a legacy router is down finds one of another kind, of
    # which other nodes aren't told: they keep sending to where it was (docs/limitations.md).
    wait_for(lambda: not _ports_up(end, network), 120, "its ports are down", every=0.5)
    # Who sent while Neutron made it distributed was redirected to its central part, and keeps to
    # that for 300 s (docs/limitations.md).
    workload.run(["ip", "route", "flush", "cache"])
    kinds = {
        {"ha": "is_ha", "distributed": "is_distributed"}[k]: v for k, v in KINDS[kind].items()
    }
    network.update_router(end.site.router_id, **kinds)
    network.update_router(end.site.router_id, is_admin_state_up=True)


def _is(end, kind):
    router = end.cloud.connect("admin").network.get_router(end.site.router_id)
    return {"ha": router.is_ha, "distributed": router.is_distributed} == KINDS[kind]


def _ports_up(end, network):
    return [p.id for p in network.ports(device_id=end.site.router_id) if p.status != "DOWN"]


def _nodes_with(end):
    names = [f"{kind}-{end.site.router_id}" for kind in ("qrouter", "snat")]
    boxes = (*end.cloud.gateways, *end.cloud.computes)
    return [box.name for box in boxes if any(n in box.run(["ip", "netns"]).stdout for n in names)]


# A way through all changes between the three, from legacy and back to it.
WAY = ("legacy", "ha", "dvr", "legacy", "dvr", "ha", "legacy")


@pytest.mark.parametrize(
    ("before", "kind"), itertools.pairwise(WAY), ids=map("-".join, itertools.pairwise(WAY))
)
def test_the_vpn_follows_its_router_from_kind_to_kind(pair, before, kind):
    """Legacy, redundant, distributed and back: the connection is the same and is ACTIVE again."""
    if not _is(pair.one, before):  # run alone
        become(pair.one, pair.here, before)
    become(pair.one, pair.here, kind)
    wait_for(lambda: _served(pair.one), 60, f"a {kind} router is served", every=0.5)
    pair.here.wait_for_ping(pair.there.ipv4, 60)
    pair.up(30)


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
