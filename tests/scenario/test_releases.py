"""One cloud on an older release of Neutron, the other on the newest: BACKEND=neutron-24, -26.

The older one serves its API by eventlet (24) or by uWSGI beside an eventlet RPC server (26), with
Swanherd's plugin in it; its agent runs from the same environment. With BACKEND=neutron-26-ovs
(-24-ovs) that is in Neutron's L3 agent, which eventlet has patched.
"""

import pathlib
import uuid

import pytest

from lab import services
from lab.capture import Capture
from lab.layout import NEWEST
from lab.neutron import AGENT, API
from lab.ovs import L3_AGENT
from lab.processes import wait_for
from lab.vpn import agent_of, agent_view, child_sas, join, leftovers
from tests.scenario.test_changes import update
from tests.scenario.test_self_healing import answer, has_report, is_settled, lost, stream

# To bring two clouds up is a part of the first test; migrations on a busy machine take minutes.
pytestmark = pytest.mark.timeout(600)


def _ways(pair):
    """Yield who pings which address: both ways, both families."""
    for one, other in ((pair.here, pair.there), (pair.there, pair.here)):
        yield one, other.ipv4
        yield one, other.ipv6


def _loaded(box, name):
    """Return what a running service and its children have mapped."""
    main = services.find(box, name).main
    return "".join(
        pathlib.Path(f"/proc/{p.pid}/maps").read_text() for p in (main, *main.children())
    )


@pytest.mark.parametrize("which", [0, 1])
def test_servers_and_agent_are_of_the_clouds_release(clouds, which):
    """Each process has loaded its own environment's libraries, and not the other release's."""
    cloud = clouds[which]
    plan = cloud.plan
    assert (plan.release == NEWEST) is bool(which)
    served = () if plan.serves_in_one else (API,)
    for name in (*served, plan.rpc_service, AGENT if plan.has_ovn else L3_AGENT):
        loaded = _loaded(cloud.central, name)
        assert f"{plan.venv}/lib/" in loaded, name
        assert f"{clouds[1 - which].plan.venv}/lib/" not in loaded, name


def test_both_families_pass_both_ways_and_never_in_clear(lab, clouds, pair):
    """Every connection is ACTIVE, pings are answered, and the wire has no inner packet."""
    numbers = sorted({int(a.split(".")[1]) for a in (pair.here.ipv4, pair.there.ipv4)})
    inner = " or ".join(f"net 10.{n}.0.0/16 or net fd00:{n}::/32" for n in numbers)
    with Capture.on_wire(lab, clouds[0].plan) as wire:
        for workload, address in _ways(pair):
            workload.wait_for_ping(address)
            assert workload.pings(address, count=5)
    assert wire.count("udp port 4500 or esp") >= 40
    assert not wire.lines(inner)


def test_a_key_that_both_sides_change_reaches_the_tunnel(pair):
    """The old SAs are replaced, traffic goes on and both agents run what the API says.

    Both may have begun, and then settle that race for some seconds (ADR 4).
    """
    before = [child_sas(end) for end in pair.ends]
    pings = stream(pair)
    for ids in pair.connections:
        for end, connection_id in zip(pair.ends, ids, strict=True):
            update(end, connection_id, psk="the key of another day")
    pair.up()
    wait_for(
        lambda: all(not b & child_sas(e) for b, e in zip(before, pair.ends, strict=True)),
        15,
        "new SAs on both sides",
    )
    assert lost(pings) <= 1
    for end in pair.ends:
        wait_for(
            lambda end=end: not agent_view(end, "plan")["actions"], 15, "it is at rest", every=0.5
        )


def test_an_agent_that_restarts_loses_nothing(pair):
    """It adopts what runs: the same SAs, every packet, and nothing to do; so the cloud says."""
    wait_for(lambda: is_settled(pair), 60, "no race is to be settled", every=0.5)
    before = child_sas(pair.one)
    pings = stream(pair)
    pair.one.cloud.restart_service(agent_of(pair.one))
    wait_for(lambda: has_report(pair), 60, "the agent tells of the router", every=0.2)
    plan = wait_for(lambda: answer(pair, agent_view, "plan"), 30, "it tells its plan", every=0.2)
    assert plan["actions"] == []
    assert lost(pings) == 0
    assert child_sas(pair.one) == before
    pair.up()


def test_what_a_crash_left_is_removed(clouds):
    """Our sweep runs beside Neutron's OVN maintenance, also where that asks no plugin for it."""
    cloud = clouds[0]
    if not cloud.plan.has_ovn:
        pytest.skip("only OVN has rows of ours")
    router = str(uuid.uuid4())
    mark = f'external_ids:"swanherd:router_id"="{router}"'
    switch = f"swanherd-{router}"
    cloud.nbctl("ls-add", switch, "--", "set", "Logical_Switch", switch, mark)
    assert any(router in found for found in leftovers(cloud))
    wait_for(lambda: not any(router in f for f in leftovers(cloud)), 60, "the row goes", every=1)


def test_what_is_deleted_leaves_nothing(clouds, pair):
    """No namespace, process, port, OVN row or file outlives the last connection and service."""
    assert all(leftovers(cloud) for cloud in clouds)
    pair.remove()
    for cloud in clouds:
        wait_for(lambda c=cloud: not leftovers(c), 30, f"nothing is left in {cloud.name}")


@pytest.mark.parametrize("kind", ["ha", "dvr"])
def test_redundant_and_distributed_routers_have_tunnels_too(clouds, make_pair, kind):
    """Of Open vSwitch: ACTIVE, both ways are answered, and nothing is left of it."""
    if clouds[0].plan.has_ovn:
        pytest.skip("routers of OVN are of one kind")
    pair = make_pair(inner=(4,), kinds=(kind, ""))
    pair.connections = (join(*pair.ends, 4, 4),)
    try:
        pair.up(180)
        for one, other in ((pair.here, pair.there), (pair.there, pair.here)):
            one.wait_for_ping(other.ipv4)
        assert pair.here.pings(pair.there.ipv4, count=20)
    finally:
        pair.remove()
    wait_for(lambda: not leftovers(clouds[0]), 60, "nothing is left")
