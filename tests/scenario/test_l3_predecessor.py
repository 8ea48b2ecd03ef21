"""neutron-vpnaas 29 in an L3 agent has live tunnels; Swanherd takes its place, and goes again.

As docs/migrating.md tells an operator of Open vSwitch to do it: the servers first, then each
network node's L3 agent, which takes over all its routers. Pings watch each step through the
tunnels of two routers: the longest time without an answer is in build/migration-l3.json.
"""

import pytest

from lab import ovs, predecessor, services
from lab.capture import Capture
from lab.layout import ROOT
from lab.processes import wait_for
from lab.vpn import namespace_of
from tests.scenario.migration import NOTHING, Operator, clear, joined, noted, watched

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

RESULT = ROOT / "build" / "migration-l3.json"
THEIRS, OURS = {"starter", "charon"}, {"charon-systemd"}


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


def daemons(operator, pair):
    """Return the names of the IKE daemons in the router."""
    box = operator.ours.central
    pids = box.run(["ip", "netns", "pids", namespace_of(pair.other)]).stdout.split()
    names = {box.run(["cat", f"/proc/{n}/comm"], check=False).stdout.strip() for n in pids}
    return names & (THEIRS | OURS)


def rules(operator, pair):
    """Return neutron-vpnaas' rules in the router."""
    name = namespace_of(pair.other)
    argv = ["ip", "netns", "exec", name, "iptables-save", "-t", "nat"]
    listed = operator.ours.central.run(argv).stdout.splitlines()
    return [line for line in listed if "--pol ipsec" in line]


def test_servers_and_tables_are_exchanged_and_no_tunnel_notices(operator, pairs, told):
    """The L3 agent, its daemons and its rules stay as they are."""
    main = services.find(operator.theirs.central, ovs.L3_AGENT).main
    assert "starter/agent.conf" in " ".join(main.argv)
    assert all(daemons(operator, pair) == THEIRS and rules(operator, pair) for pair in pairs)
    with watched(told, "servers are exchanged", pairs):
        operator.adopt()
    assert max(told["servers are exchanged"]) < NOTHING
    assert all(daemons(operator, pair) == THEIRS for pair in pairs)


def test_the_l3_agent_takes_its_routers_over(lab, operator, pairs, told):
    """Its old daemons and rules go, nothing is in clear, and each tunnel is up again."""
    ours = operator.ours
    with Capture.on_wire(lab, ours.plan, clear(pairs)) as wire:
        with watched(told, "the L3 agent is exchanged", pairs):
            for chassis in ours.plan.gateways:
                ovs.write_configuration(ours.lab, ours.plan, chassis)
            ours.stop_service(ovs.L3_AGENT)  # its daemons live on
            ovs.start_agent(ours.lab, ours.plan, ours.plan.gateways[0], ovs.L3_AGENT)
            wait_for(lambda: all(daemons(operator, p) == OURS for p in pairs), 180, "our charons")
            for pair in pairs:
                pair.up(60)
        assert wire.lines() == []
    # The L3 agent writes a router's tables when it comes to it, which may be after us.
    wait_for(lambda: not any(rules(operator, pair) for pair in pairs), 120, "no rule of theirs")
    for pair in pairs:
        assert daemons(operator, pair) == OURS
        assert pair.here.pings(pair.there.ipv4, count=3)


def test_and_the_node_is_left(operator, pairs, told):
    """neutron-vpnaas' servers and agent have each tunnel up again; nothing is ours."""
    theirs = operator.theirs
    file = operator.ours.central.directory / f"{ovs.L3_AGENT}.conf"
    with watched(told, "back, until neutron-vpnaas has the tunnels up", pairs):
        operator.release()
        topics = (*ovs.TOPICS, *predecessor.TOPICS)
        ovs.wait_for_rpc(theirs.lab, theirs.plan, topics)
        operator.ours.stop_service(ovs.L3_AGENT)
        leave = ("swanherdctl", "leave", "--config-file", str(file))
        operator.run(*leave, "--keep-closed")
        assert not any(daemons(operator, pair) for pair in pairs)
        predecessor.start_agent(theirs.lab, theirs.plan, theirs.plan.gateways[0])
        wait_for(lambda: all(daemons(operator, p) == THEIRS for p in pairs), 180, "their charons")
        for pair in pairs:
            pair.up(60)
    wait_for(lambda: all(rules(operator, pair) for pair in pairs), 60, "their rules")
    operator.run(*leave)
    assert all(pair.here.pings(pair.there.ipv4, count=3) for pair in pairs)
    for pair in pairs:
        (sa,) = predecessor.ike_sas(theirs.central, pair.other.site.router_id)
        assert sa["name"] == pair.connections[0][1]
