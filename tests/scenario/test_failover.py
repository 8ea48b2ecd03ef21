"""The VPN follows the router's gateway; a standby on every other candidate is ready for it."""

import time

import pytest

from lab.capture import Capture
from lab.processes import wait_for
from lab.stream import Stream
from lab.vpn import views


@pytest.fixture(scope="module")
def nodes(pair):
    """Cloud a's second gateway node, on which the tunnel's router begins, and its first one."""
    first, second = pair.one.cloud.gateways
    return second, first


@pytest.fixture(autouse=True)
def settled(pair, nodes, lab):
    """Each test begins on the second node with a ready standby; nothing ever leaves in clear."""
    node, other = nodes
    move_gateway(pair.one, node)
    wait_for(lambda: served_by(pair.one, node, other), 60, "a standby is ready", every=0.2)
    pair.here.wait_for_ping(pair.there.ipv4, 30)
    pair.up(60)
    inner = " or ".join(f"host {a}" for w in (pair.here, pair.there) for a in w.addresses)
    with Capture.on_wire(lab, pair.one.cloud.plan, inner) as wire:
        yield
        assert wire.lines() == []


def move_gateway(end, node):
    """Let OVN prefer a node for the router's gateway, as Neutron's gateway scheduler would."""
    cloud = end.cloud
    for box in cloud.gateways:
        priority = "30" if box.name == node.name else "10"
        group = f"neutron-{end.site.router_id}"
        cloud.nbctl("ha-chassis-group-add-chassis", group, box.name, priority)


def served_by(end, node, *standbys):
    """Whether the node serves, and the others, no more, stand by and are ready."""
    seen = views(end)
    expected = {node.name: "active"} | {box.name: "standby" for box in standbys}
    return expected == {n: v["desired"]["role"] for n, v in seen.items()} and all(
        v["report"] and v["report"]["ready"] and not v["plan"] for v in seen.values()
    )


def test_the_gateway_port_is_moved(pair, nodes):
    """OVN moves the router's gateway: the tunnel is there within a second."""
    node, other = nodes
    stream = Stream.start(pair.here, pair.there.ipv4)
    moved = time.time()
    move_gateway(pair.one, other)
    wait_for(lambda: served_by(pair.one, other, node), 30, "the other node serves", every=0.1)
    stream.wait_for_answers(moved + 1)
    outcome = stream.stop()
    assert outcome.outage < 1
    pair.up(30)
