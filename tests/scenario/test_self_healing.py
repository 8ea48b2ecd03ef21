import signal
import time

import pytest

from lab.layout import LabError
from lab.processes import wait_for
from lab.stream import Stream
from lab.vpn import (
    agent_of,
    agent_view,
    child_sas,
    kill_charons,
    namespace_of,
    serving,
    wait_status,
    youngest,
)
from swanherd.core.races import ABANDONED
from tests.scenario.closed import closed
from tests.scenario.conftest import BACKEND

OVN = BACKEND in ("ovn", "failover")  # of cloud a
# The device by which packets enter the tunnel: OVN's transit, or charon's own.
TUNNEL = "tr0" if OVN else "ipsec0"


@pytest.fixture
def gateway(pair):
    """The gateway node of cloud a that serves."""
    return serving(pair.one)


@pytest.fixture(autouse=True)
def whole(pair, lab, request):
    """Each test begins with a tunnel that works; nothing leaves in clear, nothing comes in."""
    pair.here.wait_for_ping(pair.there.ipv4)
    pair.here.wait_for_ping(pair.there.ipv6)
    pair.up()
    with closed(lab, pair, inwards="[guard]" not in request.node.name):
        yield
        pair.here.wait_for_ping(pair.there.ipv4)
        pair.here.wait_for_ping(pair.there.ipv6)
        pair.up()


def stream(pair, six=False):
    """Start 100 pings a second through the tunnel."""
    return Stream.start(pair.here, pair.there.ipv6 if six else pair.there.ipv4)


def lost(pings):
    """End a stream of pings once they are answered again; how many weren't answered.

    What was under way when it ends isn't counted: on a busy machine that's more than one.
    """
    pings.wait_for_answers(time.time())
    return pings.stop().lost


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL], ids=["restarted", "killed"])
def test_an_agent_that_comes_back_adopts_what_runs(pair, sig):
    """No SA is rebuilt, no packet is lost."""
    # Both sides may have begun at once; who began what stays then makes its children anew.
    wait_for(lambda: is_settled(pair), 60, "no race is to be settled", every=0.5)
    before = child_sas(pair.one)
    pings = stream(pair)
    pair.one.cloud.restart_service(agent_of(pair.one), sig, box=serving(pair.one))
    wait_for(lambda: has_report(pair), 30, "it tells of the router", every=0.2)
    # It may still be asking the server, on a busy machine for long enough to be silent again.
    plan = wait_for(lambda: answer(pair, agent_view, "plan"), 30, "it tells its plan", every=0.2)
    assert plan["actions"] == []
    assert lost(pings) == 0
    assert before == wait_for(lambda: answer(pair, child_sas), 30, "it tells the SAs", every=0.2)


def is_settled(pair):
    """Tell whether every SA is too old for anybody to settle a race with it."""
    age = answer(pair, youngest)
    return age is not None and age > ABANDONED


def has_report(pair):
    """Tell whether the first end's agent has something to tell of the router."""
    view = answer(pair, agent_view)
    return view is not None and view["report"]


def answer(pair, ask, *arguments):
    """Return what the agent of the first end answers; of one that isn't there yet, nothing."""
    try:
        return ask(pair.one, *arguments)
    except LabError:
        return None


def test_a_killed_charon_is_back_by_itself(pair):
    """Started, loaded and up again."""
    kill_charons(pair.one)
    pair.here.wait_for_ping(pair.there.ipv4, 15)


@pytest.mark.skipif(not OVN, reason="the namespace is Neutron's own: its L3 agent's to make")
def test_a_deleted_namespace_is_made_again(pair, gateway):
    """With its ports, routes, guard and daemon."""
    name = namespace_of(pair.one)
    gateway.run(["ip", "netns", "delete", name])

    def served():
        done = gateway.run(["ip", "netns", "pids", name], check=False)
        return len(done.stdout.split()) == 1

    wait_for(served, 10, "a new namespace with a daemon", every=0.2)
    pair.here.wait_for_ping(pair.there.ipv4, 15)


@pytest.mark.parametrize(
    "drift",
    [
        ["ip", "route", "flush", "dev", TUNNEL],
        ["ip", "rule", "flush", "protocol", "90"],  # ours alone, not the main table
        ["nft", "flush", "ruleset" if OVN else "table inet swanherd"],
        ["ip", "link", "delete", TUNNEL],
    ],
    ids=["route", "rule", "guard", "link"],
)
def test_what_is_removed_by_hand_comes_back(pair, gateway, drift):
    """Routes, rules, guard and links, long before the next look for drift."""
    gateway.run(drift, namespace_of(pair.one))
    wait_for(
        lambda: not agent_view(pair.one, "plan")["actions"], 10, "drift is repaired", every=0.5
    )


def test_the_bus_may_restart_while_changes_are_made(pair):
    """PUT doesn't wait for it, faults are repaired without it, and the change comes after it."""
    cloud = pair.one.cloud
    connection = pair.connections[0][0]
    cloud.stop_service("rabbitmq", signal.SIGKILL)
    try:
        began = time.monotonic()
        pair.one.client.network.update_vpn_ipsec_site_connection(connection, mtu=1350)
        assert time.monotonic() - began < 5
        for _ in range(2):  # more than one event, more than one report that can't be sent
            kill_charons(pair.one)
            pair.here.wait_for_ping(pair.there.ipv4, 30)
    finally:
        cloud.start_service("rabbitmq")
    wait_status(pair.one, connection, "ACTIVE", 90)
    assert any(c["mtu"] == 1350 for c in agent_view(pair.one)["desired"]["connections"])


def test_rpc_server_may_restart(pair):
    """An update is applied after neutron-rpc-server was killed and is back."""
    cloud = pair.one.cloud
    cloud.stop_service("neutron-rpc-server", signal.SIGKILL)
    connection = pair.connections[0][0]
    pair.one.client.network.update_vpn_ipsec_site_connection(connection, mtu=1360)
    cloud.start_service("neutron-rpc-server")
    wait_status(pair.one, connection, "ACTIVE", 60)
