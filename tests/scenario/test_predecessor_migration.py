"""The real neutron-vpnaas 29 has live tunnels; Swanherd takes its routers over, and back.

As docs/migrating.md tells an operator to do it. Each step is watched by pings through the tunnels
of two routers: the longest time without an answer is in build/migration.json.
"""

import contextlib
import dataclasses
import json
import signal
import time

import pytest

from lab import neutron, ovs, predecessor
from lab.capture import Capture
from lab.cloud import Cloud
from lab.layout import ROOT, VENV, LabError
from lab.processes import wait_for
from lab.stream import Stream
from lab.vpn import join, namespace_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

RESULT = ROOT / "build" / "migration.json"
WORDS = "[swanherd]\ntake_over = on_request\nsweep_interval = 5\n"
# Seconds without an answer that nobody calls an outage: a ping's own, on a busy machine.
NOTHING = 1.5


@pytest.fixture(scope="module")
def pairs(make_pair):
    """Two routers of the cloud that has neutron-vpnaas, each with a tunnel that passes packets."""
    pairs = [make_pair() for _ in range(2)]
    for pair in pairs:
        pair.connections = (join(*pair.ends, 4, 4),)
    for pair in pairs:
        pair.up(180)
        pair.there.wait_for_ping(pair.here.ipv4)
    return pairs


@pytest.fixture(scope="module")
def told():
    """What each step cost, by router; written when all is done."""
    steps = {}
    yield steps
    RESULT.write_text(json.dumps(steps, indent=2) + "\n")


@dataclasses.dataclass
class Operator:
    """Who exchanges a cloud's programs; `theirs` and `ours` are the cloud before and after."""

    theirs: Cloud
    ours: Cloud
    before: str  # the server's settings

    @property
    def settings(self):
        return neutron.configuration(self.theirs.lab, self.theirs.plan, self.theirs.central)

    def stop_servers(self):
        for name in (*neutron.WORKERS, *neutron.OVN_WORKERS, self.ours.plan.rpc_service):
            # The RPC server's own way out takes half a minute.
            self.ours.stop_service(name, signal.SIGKILL)
        self.ours.stop_service(neutron.API)

    def start_servers(self, cloud):
        for start in (neutron.start_api, neutron.start_rpc, neutron.start_workers):
            start(cloud.lab, cloud.plan)

    def run(self, *argv):
        """Run a program of ours on the server; return what it prints."""
        command = [f"{VENV}/bin/{argv[0]}", *argv[1:]]
        done = self.ours.central.run(command, timeout=400, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def migrate(self, *argv):
        """Run `swanherdctl migrate`; return what it tells, by router."""
        file = ("--config-file", str(self.settings))
        found = json.loads(self.run("swanherdctl", "--json", "migrate", *argv, *file))
        return {each["router_id"]: each for each in found}

    def agent_lives(self, binary):
        agents = self.ours.connect("admin").network.agents(binary=binary)
        return any(agent.is_alive for agent in agents)


@pytest.fixture(scope="module")
def operator(lab, clouds):
    """The person who migrates cloud b; its settings are as they were afterwards."""
    shape = dataclasses.replace(lab.shape, predecessor_b=0)
    theirs, ours = clouds[1], Cloud(dataclasses.replace(lab, shape=shape), "b")
    settings = neutron.configuration(lab, theirs.plan, theirs.central)
    operator = Operator(theirs, ours, settings.read_text())
    yield operator
    operator.settings.write_text(operator.before)


@contextlib.contextmanager
def watched(told, step, pairs):
    """Ping through the tunnels meanwhile, and until each answers steadily again."""
    streams = [Stream.start(pair.there, pair.here.ipv4) for pair in pairs]
    try:
        yield
        ended = time.time()
        for stream in streams:
            stream.wait_for_answers(ended, 180)
    finally:
        told[step] = [round(stream.stop().outage, 2) for stream in streams]


def router_of(pair):
    return pair.other.site.router_id


def bridged(operator):
    """Return neutron-vpnaas' ports in the gateway's bridge."""
    listed = operator.ours.central.run(["ovs-vsctl", "list-ports", "br-int"]).stdout.split()
    return [name for name in listed if name[:2] in ("vg", "vr")]


def ours_left(operator):
    """Return the VPN namespaces on the gateway."""
    listed = operator.ours.central.run(["ip", "netns", "list"]).stdout.split()
    return [name for name in listed if name.startswith("qvpn-")]


def transits(operator):
    """Return neutron-vpnaas' transit networks."""
    networks = operator.ours.connect("admin").network.networks()
    return [n.name for n in networks if n.name.startswith("vpn-transit-network-")]


def clear(pairs):
    """Return a filter of packets between the workloads that aren't encrypted."""
    return " or ".join(f"(host {p.here.ipv4} and host {p.there.ipv4})" for p in pairs)


def start_their_agent(operator):
    """Start it once the server listens; again if it was told of no router.

    It asks at its start alone, and a server that has just begun doesn't know any agent yet.
    """
    cloud = operator.theirs
    ovs.wait_for_rpc(cloud.lab, cloud.plan, predecessor.TOPICS)
    cloud.start_service(predecessor.AGENT)
    for _ in range(2):
        with contextlib.suppress(LabError):
            wait_for(lambda: bridged(operator), 40, "its ports", every=1)
            return
        cloud.restart_service(predecessor.AGENT)


def test_the_programs_are_exchanged_and_no_tunnel_notices(operator, pairs, told):
    """Servers, tables and agents: neutron-vpnaas' daemons and namespaces stay as they are."""
    with watched(told, "servers are exchanged", pairs):
        operator.stop_servers()
        text = operator.before.replace(predecessor.PLUGIN, "swanherd")
        operator.settings.write_text(text + WORDS)
        manage = ("neutron-db-manage", "--config-file", str(operator.settings))
        operator.run(*manage, "--subproject", "swanherd", "upgrade", "heads")
        operator.start_servers(operator.ours)
    with watched(told, "agents are exchanged", pairs):
        operator.theirs.stop_service(predecessor.AGENT)
        for chassis in operator.ours.plan.gateways:
            neutron.start_agent(operator.ours.lab, operator.ours.plan, chassis)
        wait_for(lambda: operator.agent_lives(neutron.AGENT), 60, "our agent", every=0.5)
        # It has compared what is on the node with what the server says: 20 s apart.
        until = time.monotonic() + 25
        wait_for(lambda: time.monotonic() > until, 30, "a comparison")
    assert max(told["servers are exchanged"] + told["agents are exchanged"]) < NOTHING
    assert len(bridged(operator)) == 4
    found = operator.migrate("check")
    assert {found[router_of(p)]["keeper"] for p in pairs} == {"neutron-vpnaas"}
    assert [found[router_of(p)]["obstacles"] for p in pairs] == [[], []]


def test_a_router_is_taken_over_alone_and_then_the_rest(lab, operator, pairs, told):
    """Its tunnel is down for a moment, the other's isn't; nothing leaves in clear."""
    first, second = pairs
    with Capture.on_wire(lab, operator.ours.plan, clear(pairs)) as wire:
        with watched(told, "the first router is taken over", pairs):
            moved = operator.migrate("run", "--router", router_of(first))
        told["the first router, as swanherdctl says"] = moved[router_of(first)]["outages"]
        assert told["the first router is taken over"][1] < NOTHING
        assert len(bridged(operator)) == 2
        with watched(told, "the second router is taken over", pairs):
            moved = operator.migrate("run")
        assert list(moved) == [router_of(second)]
        told["the second router, as swanherdctl says"] = moved[router_of(second)]["outages"]
        assert told["the second router is taken over"][0] < NOTHING
        assert wire.lines() == []
    for pair in pairs:
        pair.up(60)
    assert (bridged(operator), transits(operator)) == ([], [])
    assert {each["keeper"] for each in operator.migrate("check").values()} == {"swanherd"}


def test_and_given_back(operator, pairs, told):
    """Under neutron-vpnaas' own server and agent again each tunnel comes up; nothing is ours."""
    assert not any(each["obstacles"] for each in operator.migrate("check", "--back").values())
    with watched(told, "back, until neutron-vpnaas' agent has the tunnels up", pairs):
        moved = operator.migrate("back")
        assert {moved[router_of(p)]["outcome"] for p in pairs} == {"done"}
        wait_for(lambda: not ours_left(operator), 40, "our agent lets go", every=0.2)
        operator.ours.stop_service(neutron.AGENT)
        operator.stop_servers()
        release = ("swanherdctl", "db", "release", "--config-file", str(operator.settings))
        operator.run(*release, "--to", "29")
        operator.settings.write_text(operator.before)
        operator.start_servers(operator.theirs)
        start_their_agent(operator)
        for pair in pairs:
            pair.up(180)
    assert len(bridged(operator)) == 4
    for pair in pairs:
        (sa,) = predecessor.ike_sas(operator.theirs.central, router_of(pair))
        assert sa["name"] == pair.connections[0][1]
        names = operator.theirs.central.run(["ip", "netns", "pids", namespace_of(pair.other)])
        assert names.stdout
