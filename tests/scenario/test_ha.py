"""Redundant routers of two L3 agents: the one that has the address serves, and no other sends.

Cloud a has Neutron's L3 agents and two network nodes, cloud b OVN.
"""

import contextlib
import dataclasses
import datetime
import ipaddress
import json
import re
import time

import pytest

from lab import database
from lab.boxes import Box
from lab.boxes import end as end_process
from lab.capture import Capture
from lab.layout import INTERNET_BOX, LabError
from lab.processes import wait_for
from lab.stream import Outcome, Stream
from lab.vpn import join, namespace_of, roles, views
from tests.scenario.closed import closed
from tests.scenario.test_failover import cut

OURS = 1.0  # seconds from the address to the first answer
FIGURES = "build/ha.jsonl"
SENT = "udp port 500 or udp port 4500 or esp"


@pytest.fixture(scope="module", params=["ha", pytest.param("dvr-ha", marks=pytest.mark.long)])
def pair(request, make_pair):
    """A redundant router of cloud a, joined with one of OVN."""
    pair = make_pair(kinds=(request.param, ""))
    pair.connections = (join(*pair.ends, 4, 4),)
    pair.up(60)
    return pair


def pids(end, box, name):
    """The processes of that name that serve the router on a node, children first."""
    listed = box.run(["pgrep", "-f", f"^{name} .*{end.site.router_id}"], check=False).stdout
    return sorted(listed.split(), key=int, reverse=True)


def serves(end, node, *standbys):
    """Whether the node serves, and the others stand by and are ready, with a VRRP daemon each."""
    expected = {node.name: "active"} | {box.name: "standby" for box in standbys}
    return (
        roles(end) == expected
        and all(pids(end, box, "keepalived") for box in (node, *standbys))
        and all(v["report"] and v["report"]["ready"] for v in views(end).values())
    )


def make_serve(pair, node, standby):
    """Let the node serve, with the other one ready; return both."""
    if roles(pair.one).get(standby.name) == "active":
        # Else no VRRP daemon may be left, and of the two that come the wrong one may be the first.
        wait_for(lambda: serves(pair.one, standby, node), 60, "the other one is ready", every=0.5)
        standby.run(["kill", *pids(pair.one, standby, "keepalived")])
    wait_for(lambda: serves(pair.one, node, standby), 60, "a standby is ready", every=0.5)
    pair.here.wait_for_ping(pair.there.ipv4, 30)
    pair.up(60)
    return node, standby


@pytest.fixture
def nodes(pair):
    """The node that serves, which isn't the one with the API, and the other; settled."""
    first, second = pair.one.cloud.gateways
    return make_serve(pair, second, first)


@dataclasses.dataclass
class Seen:
    """What a failover looked like: on the nodes' own wires, and to a workload."""

    began: float
    address: float  # when the other node had it
    answer: float  # when traffic came back
    outcome: Outcome
    spoke: float = 0.0  # when the other node sent its first IKE or ESP packet

    def note(self, kind, what):
        """Leave the figures where the documents' table comes from."""
        figures = {
            "router": kind,
            "what": what,
            "vrrp_s": round(self.address - self.began, 2),
            "ours_s": round(self.answer - self.address, 2),
            "until_it_spoke_s": round(self.spoke - self.address, 2) if self.spoke else None,
            "outage_s": round(self.outcome.outage, 2),
        }
        with open(FIGURES, "a") as file:
            file.write(json.dumps(figures) + "\n")


@contextlib.contextmanager
def watched(end, node, *, goes=False):
    """Note when the router's address comes to a node, or when it goes: a list of times."""
    address, times = end.address(4), []
    argv = ["stdbuf", "-oL", "ip", "-ts", "-o", "monitor", "address"]
    process = node.popen(argv, netns=namespace_of(end))
    try:
        yield times
    finally:
        end_process(process)
        said, _ = process.communicate(timeout=10)
    for line in said.splitlines():
        if f" {address}/" in line and ("Deleted" in line) is goes:
            stamp = re.match(r"\[(\S+)\]", line)[1]
            times.append(datetime.datetime.fromisoformat(stamp).timestamp())


@contextlib.contextmanager
def only_one_sends(lab, end, node, other):
    """What the old node sends ends before the new one begins; the internet sees both wires.

    Gives a list of when the new one sent something, filled at the end.
    """
    inet = Box(lab, INTERNET_BOX)
    sent = f"src host {end.address(4)} and ({SENT})"
    with (
        Capture.start(inet, f"p-{node.name}", sent) as old,
        Capture.start(inet, f"p-{other.name}", sent) as new,
    ):
        spoken = []
        yield spoken
        last, first = old.times()[-1:], new.times()[:1]
        spoken += first
        assert first
        assert not last or last[0] <= first[0], f"both sent for {last[0] - first[0]:.2f} s"


def failed_over(pair, node, other, act, limit=30):
    """Do something that moves the router to the other node, under traffic."""
    with watched(pair.one, other) as times:
        stream = Stream.start(pair.here, pair.there.ipv4)
        try:
            began = time.time()
            act()
            # The old node may be cut off: only the new one is asked.
            served = lambda: "active" in roles(pair.one, [other]).values()  # noqa: E731
            wait_for(served, limit, "it moves", every=0.1)
            stream.wait_for_answers(began + 1)
        finally:
            outcome = stream.stop()
    return Seen(began, times[0], stream.first_answer(times[0]), outcome)


@pytest.fixture(autouse=True)
def nothing_in_clear(pair, lab):
    """Nothing ever leaves in clear or comes in, on the wire that both nodes share."""
    with closed(lab, pair):
        yield


def test_keepalived_is_stopped(pair, nodes, lab):
    """VRRP hands over at once; traffic is back within a second of the address appearing."""
    node, other = nodes
    stop = ["kill", *pids(pair.one, node, "keepalived")]
    with only_one_sends(lab, pair.one, node, other) as spoken:
        seen = failed_over(pair, node, other, lambda: node.run(stop))
    dataclasses.replace(seen, spoke=spoken[0]).note(pair.one.site.kind, "keepalived stopped")
    assert seen.answer - seen.address <= OURS


@pytest.mark.long
def test_keepalived_is_killed(pair, nodes, lab):
    """Its addresses stay behind on the node, which falls silent all the same; no black hole."""
    node, other = nodes
    kill = ["kill", "-9", *pids(pair.one, node, "keepalived")]
    with only_one_sends(lab, pair.one, node, other) as spoken:
        seen = failed_over(pair, node, other, lambda: node.run(kill))
    dataclasses.replace(seen, spoke=spoken[0]).note(pair.one.site.kind, "keepalived killed")
    assert seen.answer - seen.address <= OURS
    stays(pair, nodes)


def in_dead_vlan(node):
    """The ports that Neutron's agent of Open vSwitch keeps out for a pass of its loop, of 2 s.

    It does so if it looks just while a port's binding moves (docs/failover.md).
    """
    dead = ["ovs-vsctl", "--bare", "--columns=name", "find", "Port", "tag=4095"]
    return [f"{name} is in the dead VLAN" for name in node.run(dead).stdout.split()]


def bound_elsewhere(end, node, admin):
    """The router's ports that Neutron hasn't bound yet to where it is served."""
    owners = ("network:router_gateway", "network:ha_router_replicated_interface")
    return [
        f"port {port.id}, {port.device_owner}, on {port.binding_host_id}: {port.status}"
        for port in admin.network.ports(device_id=end.site.router_id)
        if port.device_owner in owners
        and (port.binding_host_id, port.status) != (node.name, "ACTIVE")
    ]


def stays(pair, nodes, seconds=10, *, follows=True):
    """Once both nodes are settled, whoever serves, the tunnel stays whole.

    `follows`: Neutron binds the router's ports to that node. It does so only when an agent tells
    that it has become the active one (neutron.db.l3_hamode_db, _update_router_port_bindings).
    """
    admin, lacks = pair.one.cloud.connect("admin"), []

    def settled():
        for first, second in (nodes, nodes[::-1]):
            if serves(pair.one, first, second):
                lacks[:] = in_dead_vlan(first)
                lacks.extend(bound_elsewhere(pair.one, first, admin) if follows else ())
                return not lacks
        lacks[:] = [f"nobody serves with the other one ready: {roles(pair.one)}"]
        return False

    try:
        wait_for(settled, 90, "both nodes are settled", every=0.5)
    except LabError as failure:
        raise AssertionError(f"{failure}: {lacks}") from None
    pair.here.wait_for_ping(pair.there.ipv4, 10)
    stream = Stream.start(pair.here, pair.there.ipv4)
    stream.run_for(seconds)
    assert stream.stop().outage < 1
    pair.up(30)


@pytest.mark.long
def test_a_node_is_cut_off(pair, nodes, lab):
    """All its wires are pulled: VRRP sees it in its own time; it comes back to no black hole."""
    node, other = nodes
    wires = cut(lab, node, "m", "u", "p")
    try:
        seen = failed_over(pair, node, other, wires.__enter__)
        seen.note(pair.one.site.kind, "node cut off")
        assert seen.answer - seen.address <= OURS
    finally:
        wires.__exit__(None, None, None)
    # If it keeps the router, it has never ceased to be active and doesn't tell Neutron so.
    gives_up = vrrp_address(pair.one, node) < vrrp_address(pair.one, other)
    stays(pair, nodes, follows=gives_up)


def vrrp_address(end, node):
    """The node's own address among the router's VRRP daemons: of two masters the higher stays."""
    listed = node.run(["ip", "-j", "-4", "address"], namespace_of(end)).stdout
    (device,) = (d for d in json.loads(listed) if d["ifname"].startswith("ha-"))
    return max(
        ipaddress.ip_address(a["local"]) for a in device["addr_info"] if a["prefixlen"] < 24
    )


@pytest.fixture
def preferred(pair):
    """The node to which VRRP gives the router after a split, which serves, and the other."""
    lower, higher = sorted(pair.one.cloud.gateways, key=lambda n: vrrp_address(pair.one, n))
    return make_serve(pair, higher, lower)


def placed(end):
    """The host that has the router by the database, and how often that has changed."""
    query = f"select host, epoch from swanherd_routers where router_id='{end.site.router_id}';"
    host, epoch = database.sql(end.cloud.lab, query, f"neutron_{end.cloud.name}").split()
    return host, int(epoch)


@pytest.mark.long
def test_a_node_that_was_cut_off_keeps_the_router(pair, preferred, lab):
    """It never learns by VRRP that there was another, with whom the peers made new SAs.

    While both have the address the router is, for the API, where it came last, and serves there.
    """
    node, other = preferred
    with cut(lab, node, "u", "p"):
        failed_over(pair, node, other, lambda: None)
        stream = Stream.start(pair.here, pair.there.ipv4)
        wait_for(lambda: placed(pair.one)[0] == other.name, 10, "the API follows", every=0.2)
        before = placed(pair.one)
        stream.run_for(30)
        assert roles(pair.one) == {node.name: "standby", other.name: "active"}
        assert placed(pair.one) == before
        times = watched(pair.one, other, goes=True)
        gone = times.__enter__()
    began = time.time()
    try:
        wait_for(lambda: serves(pair.one, node, other), 60, "VRRP gives it back", every=0.1)
        stream.wait_for_answers(time.time())
    finally:
        times.__exit__(None, None, None)
        outcome = stream.stop()
    seen = Seen(began, gone[0], stream.first_answer(gone[0]), outcome)
    seen.note(pair.one.site.kind, "node is back and keeps it")
    assert seen.answer - seen.address <= OURS
    wait_for(lambda: placed(pair.one)[0] == node.name, 10, "the API follows", every=0.2)
    # It never ceased to be active, so it doesn't tell; the other one told if it had the time.
    stays(pair, (node, other), follows=False)


@pytest.mark.long
def test_of_two_that_reach_the_peer_one_sends(pair, preferred, lab):
    """Only the network between the nodes is cut, and both have the router's address."""
    node, other = preferred
    with cut(lab, node, "u"):
        failed_over(pair, node, other, lambda: None)
        alone = {node.name: "standby", other.name: "active"}
        wait_for(lambda: roles(pair.one) == alone, 40, "one is silent", every=0.2)
        sent = f"src host {pair.one.address(4)} and ({SENT})"
        stream = Stream.start(pair.here, pair.there.ipv4)
        with Capture.start(Box(lab, INTERNET_BOX), f"p-{node.name}", sent) as silent:
            stream.run_for(30)
            outcome = stream.stop()
            assert not silent.times()
        assert outcome.outage < 1
        assert roles(pair.one) == alone
    wait_for(lambda: serves(pair.one, node, other), 60, "VRRP gives it back", every=0.1)
    stays(pair, (node, other), follows=False)
