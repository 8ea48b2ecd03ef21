"""What is ours in namespaces that are Neutron's."""

import dataclasses
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core import network as net
from swanherd.core.failures import Permanent, Temporary
from swanherd.core.home import key_of, network_of, parse_key, runs_charon, site_of
from swanherd.core.ike import ObservedCharon, StopCharon
from swanherd.core.model import DataPlane, HomeNamespace, Role, ScopeMark
from swanherd.core.network import MAIN_TABLE, UNREACHABLE, ObservedNetwork, Rule, Way
from swanherd.core.planner import Observed, plan
from swanherd.core.status import Trouble, status_of
from swanherd.core.tunnels import Timing
from swanherd.testing import builders as make
from swanherd.testing.node import FakeNode
from tests.examples import times
from tests.unit.reconcile.test_convergence import DESIREDS, Stage

planes = st.sampled_from(DataPlane)
homes = st.sampled_from(
    [
        make.home(),
        make.home(redundant=True),
        make.distributed_home(HomeNamespace.CENTRAL),
        make.distributed_home(),
    ]
)
DEVICES = [
    *(f"qr-{make.make_id(name)}"[:14] for name in ("inside", "inside6")),
    f"qg-{make.make_id('public')}"[:14],
]
ADDRESS = ipaddress.ip_address("203.0.113.2")
PAIR = make.selector("10.1.0.0/24", "10.2.0.0/24")
LEGACY = make.at_home(make.desired(make.connection()), make.home())
COMPUTE = make.at_home(make.desired(make.connection()), make.distributed_home())


def at_home_stage(plane):
    """A world whose namespaces have Neutron's devices."""
    stage = Stage(plane)
    node = FakeNode(DEVICES, [ADDRESS])
    stage.node = stage.charon._node = node
    stage.world = dataclasses.replace(stage.world, node=node)
    return stage


@pytest.mark.parametrize("namespace", HomeNamespace)
def test_a_key_tells_the_namespace_and_the_router(namespace):
    """The key is the namespace's name, as `ip netns` shows it."""
    key = key_of(make.ROUTER, namespace)
    assert parse_key(key) == (namespace, make.ROUTER)
    assert parse_key(make.ROUTER) == (None, make.ROUTER)


@given(st.lists(st.tuples(DESIREDS, homes, st.sampled_from(Role)), min_size=1, max_size=4), planes)
def test_any_history_at_home_converges_and_then_rests(history, plane):
    """Whatever the router was before: legacy, redundant, distributed, here or only steering."""
    stage = at_home_stage(plane)
    for desired, home, role in history:
        router = dataclasses.replace(make.at_home(desired, home), role=role)
        stage.source.desired = router
        stage.settle()
        assert plan(router, stage.observed, plane, Timing(stage.now)).actions == ()
        assert stage.observed.charon.running is runs_charon(router)
        assert stage.observed.network.guard == network_of(router, plane).guard


@given(DESIREDS, homes, planes, st.sampled_from(Role))
def test_nothing_of_neutrons_is_touched(desired, home, plane, role):
    """No link, no address, no route in main: those are Neutron's."""
    router = dataclasses.replace(make.at_home(desired, home), role=role)
    wanted = network_of(router, plane)
    assert (wanted.links, wanted.host_addresses) == (frozenset(), frozenset())
    assert all(route.table != MAIN_TABLE for route in wanted.routes)


@given(DESIREDS, homes, planes, st.sampled_from(Role))
def test_what_another_node_still_has_is_asked_for_at_last(desired, home, plane, role):
    """It keeps nothing else waiting. A redundant router's addresses are keepalived's."""
    router = dataclasses.replace(make.at_home(desired, home), role=role)
    stage = at_home_stage(plane)
    stage.source.desired = router
    stage.settle()
    taken = net.Duplicate("sg-a", ipaddress.ip_interface("fd00:1::9/64"))
    network = dataclasses.replace(stage.observed.network, duplicates=frozenset({taken}))
    seen = dataclasses.replace(stage.observed, network=network)
    asks = runs_charon(router) and not home.redundant
    expected = (net.ClaimAgain(taken),) if asks else ()
    assert plan(router, seen, plane, Timing(stage.now)).actions == expected
    nothing = Observed(ObservedNetwork(exists=True, duplicates=frozenset({taken})), seen.charon)
    assert plan(router, nothing, plane, Timing(0.0)).actions[-1:] == expected or not asks


@given(DESIREDS, homes, planes)
def test_every_pair_is_guarded_wherever_the_router_is(desired, home, plane):
    """On the node of the tunnel and on those that only steer, up or down: the same pairs."""
    pairs = {s for c in desired.connections for s in c.selectors}
    for namespace in HomeNamespace:
        site = site_of(make.at_home(desired, home), namespace)
        if site is not None:
            assert {p.selector for p in network_of(site, plane).guard.pairs} == pairs


def test_a_distributed_router_has_two_sites_on_the_node_of_its_gateway():
    """charon in `snat-`, and `qrouter-` that steers; elsewhere only the latter."""
    here = make.at_home(make.desired(), make.distributed_home(HomeNamespace.CENTRAL))
    assert runs_charon(site_of(here, HomeNamespace.CENTRAL))
    assert not runs_charon(site_of(here, HomeNamespace.ROUTER))
    assert site_of(COMPUTE, HomeNamespace.CENTRAL) is None
    assert not runs_charon(site_of(COMPUTE, HomeNamespace.ROUTER))
    assert runs_charon(site_of(LEGACY, HomeNamespace.ROUTER))
    assert site_of(make.desired(), HomeNamespace.ROUTER) is None


def test_a_detour_goes_by_its_subnet_and_is_closed_behind():
    """From L to R by the way to L's central address, else nowhere; before floating IPs' rules."""
    wanted = network_of(COMPUTE, DataPlane.KERNEL)
    way, closed = sorted(wanted.rules, key=lambda rule: rule.priority)
    assert (way.selector, way.priority) == (PAIR, 3000)
    assert closed == Rule(PAIR, UNREACHABLE, 3001)
    (route,) = (r for r in wanted.routes if r.table == way.table)
    assert route.gateway == ipaddress.ip_address("10.1.0.9")
    assert route.device == f"qr-{make.make_id('inside')}"[:14]
    assert wanted.guard.way is Way.DETOUR


def test_without_a_gateway_a_distributed_router_is_closed():
    """No detour is left; the pairs' packets go nowhere all the same."""
    home = dataclasses.replace(make.distributed_home(), detours=())
    wanted = network_of(dataclasses.replace(COMPUTE, home=home), DataPlane.KERNEL)
    assert wanted.rules == {Rule(PAIR, UNREACHABLE, 3001)}
    assert {pair.selector for pair in wanted.guard.pairs} == {PAIR}


@pytest.mark.parametrize("router", [LEGACY, COMPUTE], ids=["legacy", "compute"])
def test_what_everywhere_covers_without_meaning_it_goes_as_before(router):
    """With a peer CIDR of 0.0.0.0/0: the router's own subnets and the peer's address."""
    everywhere = make.connection(selectors=(make.selector("10.1.0.0/24", "0.0.0.0/0"),))
    router = dataclasses.replace(router, connections=(everywhere,))
    wanted = network_of(router, DataPlane.USERSPACE)
    around = {
        make.selector("10.1.0.0/24", "10.1.0.0/24"),
        make.selector("10.1.0.0/24", "198.51.100.2/32"),
    }
    assert wanted.guard.exempt == around
    assert {rule.selector for rule in wanted.rules if rule.table == MAIN_TABLE} == around


def test_a_missing_namespace_is_waited_for_and_its_charon_ended():
    """Neutron makes it; a charon of the one that was removed lives on without a name."""
    gone = Observed(ObservedNetwork(exists=False), ObservedCharon(running=False))
    todo = plan(LEGACY, gone, DataPlane.KERNEL, Timing(0.0)).actions
    assert todo == (StopCharon(), net.EnsureNamespace())


@pytest.mark.parametrize("plane", DataPlane)
def test_nothing_begins_before_the_routers_address_is_there(plane):
    """The guard, charon and all configs are there by then; a look when it comes begins."""
    stage = at_home_stage(plane)
    stage.node = stage.charon._node = FakeNode(DEVICES)
    stage.world = dataclasses.replace(stage.world, node=stage.node)
    stage.source.desired = LEGACY
    for _ in range(3):
        outcome = stage.turn()
    assert outcome.failed.code == "router_address_missing"
    assert outcome.report.ready
    assert [row.reason.code for row in outcome.report.connections] == ["router_address_missing"]
    assert not stage.observed.charon.ike_sas
    stage.node.drift(make.ROUTER, addresses=frozenset([ADDRESS]))
    stage.settle()
    assert stage.observed.charon.ike_sas


def test_what_has_its_address_doesnt_wait_for_what_has_not():
    """A router gets its IPv6 address later: the connections over IPv4 begin."""
    later = ipaddress.ip_address("2001:db8::2")
    six = make.connection("six", local_address=later, peer_address="2001:db8::9")
    stage = at_home_stage(DataPlane.KERNEL)
    stage.source.desired = make.at_home(make.desired(make.connection(), six), make.home())
    stage.turn()
    assert stage.turn().failed.code == "router_address_missing"
    assert [sa.local_host for sa in stage.observed.charon.ike_sas] == [str(ADDRESS)]


def test_a_namespace_that_lost_only_its_name_gets_it_again():
    """What Neutron removes has no device outside any more: there charon ends."""
    charon = ObservedCharon(running=False)
    for devices, todo in (
        ({"lo", "qg-1234"}, (net.NameNamespace(5, 6),)),
        ({"lo", "ipsec0"}, (StopCharon(), net.EnsureNamespace())),
    ):
        lost = ObservedNetwork(exists=False, nameless=net.Nameless(5, 6, frozenset(devices)))
        seen = Observed(lost, charon)
        assert plan(LEGACY, seen, DataPlane.KERNEL, Timing(0.0)).actions == todo


def test_a_router_that_becomes_distributed_leaves_no_charon_in_its_first_namespace():
    """The guard first, then the daemon's end."""
    stage = at_home_stage(DataPlane.USERSPACE)
    stage.source.desired = LEGACY
    stage.settle()
    todo = plan(COMPUTE, stage.observed, DataPlane.USERSPACE, Timing(stage.now)).actions
    assert isinstance(todo[0], net.EnsureGuard)
    assert todo[-1] == StopCharon()


def test_a_steering_node_says_nothing_of_any_row():
    """Only where charon is can anybody know whether the tunnel is up."""
    seen = Observed(ObservedNetwork(exists=True), ObservedCharon(running=False))
    report = status_of(COMPUTE, seen, DataPlane.KERNEL, Trouble())
    assert (report.services, report.connections, report.ready) == ((), (), False)


def test_decrypted_packets_get_the_mark_of_their_networks_scope():
    """The node tells it; where it doesn't know, the one of networks in no scope."""
    network = ipaddress.ip_network("10.1.0.0/24")
    assert network_of(LEGACY, DataPlane.KERNEL).guard.marks == {ScopeMark(network, 0x4000000)}
    home = make.home(marks=(ScopeMark(network, 0x4010000),))
    marked = network_of(dataclasses.replace(LEGACY, home=home), DataPlane.KERNEL)
    assert marked.guard.marks == {ScopeMark(network, 0x4010000)}


@times(1.5)
@given(DESIREDS, homes, st.sampled_from([Temporary, Permanent]), st.integers(1, 9))
def test_a_failure_anywhere_leaves_the_guard_before_the_tunnel(desired, home, kind, number):
    """charon is never started where the guard couldn't be put."""
    stage = at_home_stage(DataPlane.USERSPACE)
    stage.source.desired = make.at_home(desired, home)
    stage.node.fail(kind, [number])
    for _ in range(3):
        stage.turn()
        observed = stage.observed
        if observed.charon.running:
            assert observed.network.guard is not None
