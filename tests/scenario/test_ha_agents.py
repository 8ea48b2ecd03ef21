"""A router that isn't redundant moves from one L3 agent to another, by Neutron's own API.

Cloud a has Neutron's L3 agents and two network nodes, cloud b OVN.
"""

import dataclasses
import json
import time

import pytest

from lab.layout import LabError
from lab.processes import wait_for
from lab.stream import Stream
from lab.vpn import charons, join, namespace_of
from tests.scenario.closed import whole

pytestmark = pytest.mark.long

# Seconds from the router's address on the other node to the first answer. Of a distributed one
# Neutron's turn goes on for long after that (docs/failover.md).
OURS = {"legacy": 10.0, "dvr": 60.0}
FIGURES = "build/moves.jsonl"


@pytest.fixture(scope="module", params=["legacy", "dvr"])
def pair(request, make_pair):
    """A router of cloud a that one node has, joined with one of OVN."""
    pair = make_pair(inner=(4, 6), kinds=(request.param, ""))
    pair.connections = tuple(join(*pair.ends, 4, inner) for inner in (4, 6))
    pair.up(90)
    return pair


@dataclasses.dataclass
class Scheduler:
    """The operator, who says which L3 agent has the router."""

    end: object

    def __post_init__(self):
        self.network = self.end.cloud.connect("admin").network

    @property
    def agents(self):
        """The network nodes' L3 agents by host."""
        hosts = [box.name for box in self.end.cloud.gateways]
        agents = self.network.agents(agent_type="L3 agent")
        return {a.host: a for a in agents if a.host in hosts}

    def node(self):
        """The node that Neutron has given the router, and the other one."""
        router = self.end.site.router_id
        (host,) = [a.host for a in self.network.routers_hosting_l3_agents(router)]
        one, other = self.end.cloud.gateways
        return (one, other) if one.name == host else (other, one)

    def take(self, node):
        self.network.remove_router_from_agent(self.agents[node.name], self.end.site.router_id)

    def give(self, node):
        self.network.add_router_to_agent(self.agents[node.name], self.end.site.router_id)


@pytest.fixture
def operator(pair):
    return Scheduler(pair.one)


@pytest.fixture(autouse=True)
def unbroken(pair, lab):
    """Each test begins and ends with a tunnel that works; nothing is ever in clear."""
    with whole(lab, pair):
        yield


def kept(end, node):
    """What a node still has of the end's router: namespaces, files, processes."""
    router = end.site.router_id
    named = [n for n in node.run(["ip", "netns"]).stdout.splitlines() if router in n]
    files = node.run(["find", "/var/lib/swanherd", "-path", f"*{router}*"]).stdout.splitlines()
    # A daemon has the router in its environment, others on their command line.
    look = f"grep -ls {router} /proc/[0-9]*/environ"
    processes = node.run(["sh", "-c", look], check=False).stdout.splitlines()
    processes += node.run(["pgrep", "-af", router], check=False).stdout.splitlines()
    return named + files + processes


def has_address(end, node):
    """Whether the router's address is in its namespace on a node."""
    argv = ["ip", "-o", "address", "show", "to", end.address(4)]
    return bool(node.run(argv, namespace_of(end), check=False).stdout)


def follows(pair, node, act, what):
    """Let an act move the router to a node, under traffic; return and note its figures."""
    streams = [Stream.start(pair.here, address) for address in pair.there.addresses]
    began = time.time()
    try:
        act()
        wait_for(lambda: has_address(pair.one, node), 120, "the router is there", every=0.1)
        address = time.time()
        for each in streams:
            each.wait_for_answers(address)
        first = [each.first_answer(address) for each in streams]
        pair.up(60)
        active = time.time()
    finally:
        outcomes = [each.stop() for each in streams]
    figures = {
        "router": pair.one.site.kind,
        "what": what,
        "neutron_s": round(address - began, 2),
        "ours_s": round(max(first) - address, 2),
        "active_s": round(active - address, 2),
        "outage_s": round(max(each.outage for each in outcomes), 2),
    }
    with open(FIGURES, "a") as file:
        file.write(json.dumps(figures) + "\n")
    return figures


@pytest.mark.parametrize("way", ["there", "back"])
def test_the_vpn_follows_its_router_to_another_agent(pair, operator, way):
    """It is up on the other node within seconds of the router; the one before keeps nothing."""
    old, new = operator.node()

    def move():
        operator.take(old)
        operator.give(new)

    figures = follows(pair, new, move, f"moved {way}")
    assert figures["ours_s"] <= OURS[pair.one.site.kind]
    assert [box.name for box, _ in charons(pair.one)] == [new.name]
    keeps_nothing(pair.one, old)


def keeps_nothing(end, node):
    """Wait until a node has nothing of the router any more; LabError tells what it still has."""
    try:
        wait_for(lambda: not kept(end, node), 60, f"nothing is left on {node.name}", every=0.5)
    except LabError as failure:
        raise LabError(f"{failure}: {kept(end, node)}") from None
