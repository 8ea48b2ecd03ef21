"""The real neutron-vpnaas 29 has live tunnels; Swanherd takes its routers over, and back.

As docs/migrating.md tells an operator to do it. Each step is watched by pings through the tunnels
of two routers: the longest time without an answer is in build/migration.json.
"""

import contextlib
import time

import pytest

from lab import neutron, ovs, predecessor
from lab.capture import Capture
from lab.layout import ROOT, LabError
from lab.processes import wait_for
from lab.vpn import namespace_of
from tests.scenario.migration import NOTHING, Operator, clear, joined, noted, watched

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

RESULT = ROOT / "build" / "migration.json"
WORDS = "[swanherd]\ntake_over = on_request\nsweep_interval = 5\n"


@pytest.fixture(scope="module")
def pairs(make_pair):
    return joined(make_pair)


@pytest.fixture(scope="module")
def told():
    with noted(RESULT) as steps:
        yield steps


@pytest.fixture(scope="module")
def operator(lab, clouds):
    with Operator.at_work(lab, clouds[1]) as operator:
        yield operator


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
        operator.adopt(WORDS)
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
        operator.release()
        start_their_agent(operator)
        for pair in pairs:
            pair.up(180)
    assert len(bridged(operator)) == 4
    for pair in pairs:
        (sa,) = predecessor.ike_sas(operator.theirs.central, router_of(pair))
        assert sa["name"] == pair.connections[0][1]
        names = operator.theirs.central.run(["ip", "netns", "pids", namespace_of(pair.other)])
        assert names.stdout
