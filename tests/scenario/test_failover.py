"""The VPN follows the router's gateway; a standby on every other candidate is ready for it."""

import contextlib
import json
import signal
import time

import pytest

from lab import recovery
from lab.boxes import Box
from lab.layout import FABRIC_BOX, INTERNET_BOX
from lab.processes import wait_for
from lab.stream import Stream
from lab.vpn import namespace_of, roles, views, wait_status
from swanherd.core.steering import public_port_id
from tests.scenario.closed import closed

# Seconds; what docs/failover.md promises, and what these tests set for the fence.
LIMIT_PLANNED = 1
LIMIT_DEAD = {"default": 6, "tuned": 3}
FENCE = 15


@pytest.fixture(scope="module")
def nodes(pair):
    """Cloud a's second gateway node, on which the tunnel's router begins, and its first one."""
    first, second = pair.one.cloud.gateways
    for box in (first, second):
        file = box.directory / "swanherd-agent.conf"
        if "fence_after" not in file.read_text():
            with file.open("a") as text:
                text.write(f"[swanherd]\nfence_after = {FENCE}\n")
        pair.one.cloud.restart_service("swanherd-ovn-agent", box=box)
    return second, first


@pytest.fixture(autouse=True)
def settled(pair, nodes, lab):
    """Each test begins on the second node with a ready standby; nothing is in clear, out or in."""
    node, other = nodes
    move_gateway(pair.one, node)
    wait_for(lambda: served_by(pair.one, node, other), 60, "a standby is ready", every=0.2)
    pair.here.wait_for_ping(pair.there.ipv4, 30)
    pair.up(60)
    with closed(lab, pair):
        yield


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


def note(what, outcome, **times):
    """Leave a figure where the documents' table comes from; and times, in seconds."""
    with open("build/failover.jsonl", "a") as file:
        figures = {"what": what, "outage_s": round(outcome.outage, 2), "lost": outcome.lost}
        figures |= {"sent": outcome.sent, "load": recovery.load()}
        file.write(json.dumps(figures | times) + "\n")


def agents(end):
    """The VPN agents of the cloud by host, as Neutron shows them."""
    network = end.cloud.connect("admin").network
    return {a.host: a for a in network.agents(agent_type="Swanherd VPN agent")}


def hosting(end):
    """The agents of the end's router and their state, by the scheduler's API."""
    network = end.cloud.connect("admin").network
    shown = network.get(f"/routers/{end.site.router_id}/vpn-agents").json()["agents"]
    return {agent["host"]: agent["ha_state"] for agent in shown}


@contextlib.contextmanager
def cut(lab, node, *wires):
    """Pull wires of a node: m(anagement), u(nderlay), p(ublic)."""
    ends = [
        (Box(lab, INTERNET_BOX if w == "p" else FABRIC_BOX), f"{w}-{node.name}") for w in wires
    ]
    for box, device in ends:
        box.ip(f"link set {device} down")
    try:
        yield
    finally:
        for box, device in ends:
            box.ip(f"link set {device} up")


def moved_under_traffic(pair, move, node, limit):
    """Do something that moves the router to the node, under traffic; what became of it."""
    stream = Stream.start(pair.here, pair.there.ipv4)
    began = time.time()
    move()
    wait_for(lambda: bound_to(pair.one) == node.name, limit, f"it is on {node.name}")
    stream.wait_for_answers(began + 1)
    outcome = stream.stop()
    wait_for(lambda: roles(pair.one).get(node.name) == "active", limit, f"{node.name} serves")
    return outcome


def claims(end, node):
    """Wait in the background until the node has the router's gateway, and its public port.

    What `since` takes: programs that end by telling when.
    """
    cloud, router = end.cloud, end.site.router_id
    network = cloud.connect("admin").network
    (gateway,) = network.ports(device_id=router, device_owner="network:router_gateway")
    chassis = cloud.sbctl("--bare", "--columns=_uuid", "find", "Chassis", f"name={node.name}")
    until = 'ovn-sbctl wait-until Port_Binding "$0" "chassis=$1" && date +%s.%N'
    ports = {"gateway": f"cr-lrp-{gateway.id}", "port": public_port_id(router)}
    return {
        what: cloud.central.popen(["sh", "-c", until, port, chassis.strip()])
        for what, port in ports.items()
    }


def since(began, waits):
    """Return after how many seconds each came."""
    return {
        f"{what}_s": round(float(wait.communicate(timeout=30)[0]) - began, 2)
        for what, wait in waits.items()
    }


def bound_to(end):
    """The name of the node that OVN has given the router's public port.

    By a small program: what is asked while packets are timed must not take them the machine.
    """
    port = public_port_id(end.site.router_id)
    find = end.cloud.sbctl
    columns = ("--bare", "--columns=chassis", "find", "Port_Binding")
    chassis = find(*columns, f"logical_port={port}").strip()
    return find("get", "Chassis", chassis, "name").strip().strip('"') if chassis else None


def test_the_gateway_port_is_moved(pair, nodes):
    """OVN moves the router's gateway: the tunnel is there within a second."""
    node, other = nodes
    cloud = pair.one.cloud
    said = cloud.lab.log(cloud.central.name, "neutron-api")
    before = len(said.read_bytes())
    outcome = moved_under_traffic(pair, lambda: move_gateway(pair.one, other), other, 30)
    note("gateway port moved", outcome)
    assert outcome.outage <= LIMIT_PLANNED
    pair.up(30)
    assert hosting(pair.one) == {other.name: "active", node.name: "standby"}
    # Neutron's own code works on every port of such a router, ours too.
    assert b"KeyError: 'neutron" not in said.read_bytes()[before:]


def test_an_agent_is_drained(pair, nodes):
    """`openstack network agent set --disable` moves its routers; enabled, they come back."""
    node, other = nodes
    network = pair.one.cloud.connect("admin").network
    agent = agents(pair.one)[node.name]
    try:
        outcome = moved_under_traffic(
            pair, lambda: network.update_agent(agent, admin_state_up=False), other, 30
        )
        note("agent drained", outcome)
        assert outcome.outage <= LIMIT_PLANNED
        assert hosting(pair.one) == {other.name: "active"}
        wait_for(lambda: set(views(pair.one)) == {other.name}, 60, "nothing is left", every=0.5)
        pair.up(30)
    finally:
        network.update_agent(agent, admin_state_up=True)


def test_a_router_is_pinned_by_the_scheduler(pair, nodes):
    """POST moves it among the candidates and it stays; DELETE moves it away; else 409 or 404."""
    node, other = nodes
    network = pair.one.cloud.connect("admin").network
    router = pair.one.site.router_id
    ids = {host: agent.id for host, agent in agents(pair.one).items()}
    body = {"router_id": router}

    def pin(host):
        assert network.post(f"/agents/{ids[host]}/vpn-routers", json=body).status_code == 201

    outcome = moved_under_traffic(pair, lambda: pin(other.name), other, 30)
    note("router pinned to another agent", outcome)
    routers = network.get(f"/agents/{ids[other.name]}/vpn-routers").json()["routers"]
    assert [r["id"] for r in routers] == [router]
    # Its gateway is where it was, and a look of the server changes nothing.
    network.update_router(router, description="looked at")
    assert hosting(pair.one) == {other.name: "active", node.name: "standby"}
    assert network.delete(f"/agents/{ids[node.name]}/vpn-routers/{router}").status_code == 409
    assert network.delete(f"/agents/{ids[other.name]}/vpn-routers/{router}").status_code == 204
    assert hosting(pair.one) == {node.name: "active", other.name: "standby"}
    controller = next(iter(network.agents(binary="ovn-controller")))
    assert network.post(f"/agents/{controller.id}/vpn-routers", json=body).status_code == 404
    assert pair.one.client.network.get(f"/routers/{router}/vpn-agents").status_code in (403, 404)
    assert outcome.outage <= LIMIT_PLANNED


@pytest.mark.long
@pytest.mark.parametrize("bfd", ["default", "tuned"])
def test_a_node_dies(pair, nodes, lab, bfd):
    """All its wires are cut at once: packets flow again by the other node, IKE included."""
    node, other = nodes
    nbctl = pair.one.cloud.nbctl
    if bfd == "tuned":
        options = ("bfd-min-rx=200", "bfd-min-tx=100", "bfd-mult=3")
        nbctl("set", "NB_Global", ".", *(f"options:{option}" for option in options))
    connection = pair.connections[0][0]
    wires = cut(lab, node, "m", "u", "p")
    waits = claims(pair.one, other)
    try:
        began = time.time()
        outcome = moved_under_traffic(pair, wires.__enter__, other, 30)
        note(f"node dead, {bfd} BFD", outcome, **since(began, waits))
        wait_status(pair.one, connection, "ACTIVE", 30)
        assert hosting(pair.one)[other.name] == "active"
    finally:
        wires.__exit__(None, None, None)
        for option in ("bfd-min-rx", "bfd-min-tx", "bfd-mult"):
            nbctl("--if-exists", "remove", "NB_Global", ".", "options", option)
    assert outcome.outage <= LIMIT_DEAD[bfd]


def test_without_the_bus_one_agent_serves_and_the_node_may_die(pair, nodes, lab):
    """RabbitMQ is gone: the southbound database alone decides, at no time for two.

    Also when it moves again, while Neutron's part of the first move waits for the bus.
    """
    node, other = nodes
    cloud = pair.one.cloud
    cloud.stop_service("rabbitmq", signal.SIGKILL)
    try:
        for what, target in (("moved", other), ("moved again", node)):
            stream = Stream.start(pair.here, pair.there.ipv4)
            began = time.time()
            move_gateway(pair.one, target)
            seen = set()
            goal = {target.name}
            wait_for(lambda g=goal, s=seen: _serving(pair, nodes, s) == g, 30, what, every=0.02)
            stream.wait_for_answers(began + 1)
            outcome = stream.stop()
            note(f"gateway port {what}, no bus", outcome)
            assert outcome.outage <= 2 * LIMIT_PLANNED
            assert max(map(len, seen)) == 1
    finally:
        cloud.start_service("rabbitmq")
    wait_status(pair.one, pair.connections[0][0], "ACTIVE", 90)


def _serving(pair, nodes, seen):
    """The nodes on which an IKE SA of the router lives, noted in `seen`."""
    now = _with_ike_sas(pair)
    if len(now) > 1:
        # One is asked after the other, and it may move between: who has one in both looks had it
        # all the time between them.
        now &= _with_ike_sas(pair)
    seen.add(now)
    return now


def _with_ike_sas(pair):
    return frozenset(n for n, v in views(pair.one).items() if v["observed"]["charon"]["ike_sas"])


@pytest.mark.long
def test_who_loses_the_southbound_database_is_silent_in_time(pair, nodes, lab):
    """Cut from the management network, a node whose router has moved stops within the time."""
    node, other = nodes
    name = namespace_of(pair.one)
    with cut(lab, node, "m"):
        began = time.monotonic()
        outcome = moved_under_traffic(pair, lambda: move_gateway(pair.one, other), other, 30)
        note("gateway port moved, old node cut from OVN", outcome)
        silent = lambda: "goto mss" not in _forwarded(node, name)  # noqa: E731
        wait_for(silent, FENCE + 5, "the old node is fenced", every=0.2)
        assert time.monotonic() - began <= FENCE + 1
        assert pair.here.pings(pair.there.ipv4)
    wait_for(lambda: served_by(pair.one, other, node), 60, "both are settled", every=0.5)


def _forwarded(node, name):
    return node.run(["nft", "list", "chain", "inet", "swanherd", "forward"], name).stdout
