import dataclasses
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.failures import Permanent, Temporary
from swanherd.core.ike import Initiate, SaState
from swanherd.core.model import (
    DataPlane,
    Initiator,
    RouterId,
    Secret,
    Status,
)
from swanherd.core.network import Direction, KernelPolicy, KernelSa
from swanherd.core.planner import Observed, plan
from swanherd.core.status import Trouble, status_of
from swanherd.core.tunnels import Timing
from swanherd.reconcile.loop import World, observe, reconcile
from swanherd.testing import builders as make
from swanherd.testing.charon import Answer, FakeCharon
from swanherd.testing.node import FakeNode
from tests.examples import times

NETWORKS = {
    4: ([f"10.1.{i}.0/24" for i in range(3)], [f"10.2.{i}.0/24" for i in range(3)]),
    6: ([f"fd00:1:{i}::/64" for i in range(3)], [f"fd00:2:{i}::/64" for i in range(3)]),
}
# Built once: a strategy that is made anew for each example costs more than the example.
SELECTORS = st.one_of(
    *(
        st.builds(make.selector, st.sampled_from(local), st.sampled_from(remote))
        for local, remote in NETWORKS.values()
    )
)
CONNECTIONS = st.builds(
    make.connection,
    st.sampled_from("abc"),
    up=st.booleans(),
    psk=st.sampled_from([Secret("key one"), Secret("key two")]),
    peer_address=st.sampled_from(["198.51.100.2", "198.51.100.3"]),
    initiator=st.sampled_from(Initiator),
    mtu=st.sampled_from([0, 1280, 1400, 1500]),
    ike=st.sampled_from([make.ike_policy(dh_group=group) for group in ("group14", "group19")]),
    selectors=st.lists(SELECTORS, max_size=3, unique=True).map(tuple),
)
DESIREDS = st.builds(
    lambda connections, changes: make.desired(*connections, **changes),
    st.lists(CONNECTIONS, max_size=3, unique_by=lambda connection: connection.id),
    st.sampled_from([{}, {"public": None, "transit": None}]),
)


class OneRouter:
    """A source whose answer the test sets."""

    def __init__(self, desired=None):
        self.desired = desired

    def get_router(self, router_id):
        return self.desired

    def get_revisions(self):
        return {} if self.desired is None else {self.desired.id: self.desired.revision}


class DeviceMakingCharon(FakeCharon):
    """Userspace ESP's TUN device comes and goes with the daemon, as in a real namespace."""

    def __init__(self, node, clock):
        super().__init__(clock=clock)
        self._node = node

    def apply(self, router_id, action):
        try:
            super().apply(router_id, action)
        finally:
            self._mirror(router_id)

    def kill(self, router_id):
        super().kill(router_id)
        self._mirror(router_id)

    def _mirror(self, router_id):
        daemon = self._daemons.get(router_id)
        if daemon is not None and daemon.options.data_plane is DataPlane.USERSPACE:
            self._node.add_device(router_id, "ipsec0")
        else:
            self._node.remove_device(router_id, "ipsec0")


class Stage:
    """A world of fakes and a clock."""

    def __init__(self, plane=DataPlane.USERSPACE):
        self.now = 1000.0
        self.source, self.node = OneRouter(), FakeNode()
        self.charon = DeviceMakingCharon(self.node, lambda: self.now)
        self.world = World(self.source, self.node, self.charon, plane)

    def turn(self, router_id=make.ROUTER):
        return reconcile(router_id, self.world, Timing(self.now, grace=300.0))

    def may_fail(self, data):
        """Let some later call of the node's or of charon's fail, or none."""
        for fail in (self.node.fail, lambda kind, calls: self.charon.fail_at(calls[0], kind)):
            if data.draw(st.booleans()):
                kind = data.draw(st.sampled_from([Temporary, Permanent]))
                fail(kind, [data.draw(st.integers(1, 9))])

    def settle(self, turns=12):
        """Turn until the plan rests; the last outcome."""
        for _ in range(turns):
            outcome = self.turn()
            # What was under way before this turn is a change too.
            moved = self.charon.settle()
            self.now += 60
            waits = outcome.look_again is not None  # time alone will change the plan
            if not (outcome.actions or outcome.failed or moved or waits):
                break
        return self.turn()

    shakes = ("settles", "gives up", "dies", "peer deletes", "peer dies", "nothing")

    def shake(self, how):
        """Let charon, or the peers of all its configs, do something of their own."""
        names = [c.name for c in self.charon.observe(make.ROUTER).configs]
        match how:
            case "settles":
                self.charon.settle()
            case "gives up":
                self.charon.give_up()
            case "dies":
                self.charon.kill(make.ROUTER)
            case "peer deletes":
                for name in names:
                    self.charon.peer_deletes(make.ROUTER, name)
            case "peer dies":
                for name in names:
                    self.charon.peer_dies(make.ROUTER, name)

    @property
    def observed(self):
        return Observed(self.node.observe(make.ROUTER), self.charon.observe(make.ROUTER))


planes = st.sampled_from(DataPlane)


@times(2.5)
@given(st.lists(DESIREDS, min_size=1, max_size=4), planes, st.data())
def test_any_history_with_failures_converges_and_then_rests(history, plane, data):
    """After the last change and the last failure the plan is empty."""
    stage = Stage(plane)
    for desired in history:
        stage.source.desired = desired
        stage.may_fail(data)
        for _ in range(data.draw(st.integers(1, 3))):
            try:
                stage.turn()
            except (Temporary, Permanent):
                continue
            stage.charon.settle()
            stage.now += 1

    # What was injected for later calls doesn't happen any more.
    stage.charon._injected.clear()
    stage.node._faults.clear()
    outcome = stage.settle()
    responders = {c.id for c in history[-1].connections if c.initiator is Initiator.RESPONSE_ONLY}
    assert plan(history[-1], stage.observed, plane, Timing(stage.now)).actions == ()
    for row in outcome.report.connections:
        wanted = next(c for c in history[-1].connections if c.id == row.id)
        if wanted.up and wanted.selectors and row.id not in responders:
            told_apart = row.reason is None or row.reason.code != "indistinguishable"
            assert (row.status is Status.ACTIVE) == told_apart


@times(1.5)
@given(DESIREDS, planes, st.data())
def test_what_charon_tells_needs_no_new_look_at_the_network(desired, plane, data):
    """With the network as it was, plan and report are those of a whole look, whatever it was."""
    stage = Stage(plane)
    stage.source.desired = desired
    known = stage.turn().look.seen
    for _ in range(data.draw(st.integers(1, 4))):
        stage.shake(data.draw(st.sampled_from(stage.shakes)))
        stage.now += data.draw(st.integers(0, 5))
        quick, whole = observe(make.ROUTER, stage.world, known.network), stage.observed
        timing = Timing(stage.now)
        assert plan(desired, quick, plane, timing) == plan(desired, whole, plane, timing)
        told = [status_of(desired, seen, plane, Trouble()) for seen in (quick, whole)]
        assert told[0] == told[1]
        known = reconcile(make.ROUTER, stage.world, timing, known).look.seen
        assert known.network == stage.observed.network


def test_what_charon_changes_of_the_network_is_looked_at():
    """Its device goes with a daemon that dies; with kernel ESP it changes SAs while it lives."""
    for plane in DataPlane:
        stage = Stage(plane)
        stage.source.desired = make.desired(make.connection())
        stage.settle()
        known = stage.observed.network
        if plane is DataPlane.USERSPACE:
            stage.charon.kill(make.ROUTER)
            stage.node.add_device(make.ROUTER, "made meanwhile")
        else:
            sa = KernelSa(*map(ipaddress.ip_address, ("192.0.2.1", "192.0.2.2")), 50, 7)
            policy = KernelPolicy(make.selector("10.1.0.0/24", "10.2.0.0/24"), Direction.IN)
            drift = {"kernel_sas": frozenset({sa}), "kernel_policies": frozenset({policy})}
            stage.node.drift(make.ROUTER, **drift)
        seen = observe(make.ROUTER, stage.world, known).network
        assert seen == stage.observed.network
        assert seen != known


def test_on_kernel_esp_a_turn_looks_at_what_charon_has_there_once():
    """Not again after what only talks to charon, and at nothing else of a known network."""
    stage = Stage(DataPlane.KERNEL)
    stage.source.desired = make.desired(make.connection())
    stage.settle()
    known = stage.turn().look.seen
    looks, see = [], stage.node.observe
    stage.node.observe = lambda *at: looks.append(at) or see(*at)
    stage.source.desired = make.desired(make.connection(psk=Secret("another")), revision=2)
    stage.now += 5
    outcome = reconcile(make.ROUTER, stage.world, Timing(stage.now), known)
    assert outcome.actions
    assert looks == [(make.ROUTER, known.network)]
    assert outcome.look.seen.at == known.at, "the rest isn't any newer"


@given(DESIREDS, planes)
def test_the_plan_does_not_depend_on_the_order_of_its_input(desired, plane):
    """Permuted connections and selectors give the same actions."""
    permuted = dataclasses.replace(
        desired,
        connections=tuple(
            dataclasses.replace(c, selectors=c.selectors[::-1]) for c in desired.connections[::-1]
        ),
        services=desired.services[::-1],
        router_addresses=desired.router_addresses[::-1],
    )
    observed, timing = Stage(plane).observed, Timing(0.0)
    assert plan(desired, observed, plane, timing) == plan(permuted, observed, plane, timing)


@given(st.lists(DESIREDS, min_size=1, max_size=3))
def test_no_secret_in_any_repr(history):
    """Neither a value nor an action nor a failure shows a key."""
    stage = Stage()
    for desired in history:
        stage.source.desired = desired
        outcome = stage.settle()
    shown = repr((history, stage.charon.applied, stage.node.applied, outcome, stage.observed))
    assert "key one" not in shown
    assert "key two" not in shown
    assert "kkkk" not in shown


def test_a_router_that_is_gone_leaves_nothing():
    """After the server no longer places a router here, the node has nothing of it."""
    stage = Stage()
    stage.source.desired = make.desired(make.connection())
    stage.settle()
    stage.source.desired = None
    stage.turn()
    assert frozenset() == stage.node.routers() | stage.charon.routers()


def test_a_change_of_one_router_yields_no_action_for_another():
    """Router B's namespace and daemon aren't touched when A changes."""
    stage = Stage()
    other = RouterId(make.make_id("other"))
    stage.source.desired = make.desired(make.connection())
    stage.settle()
    before = len(stage.charon.applied), len(stage.node.applied)
    stage.source.desired = make.desired(make.connection("x"), id=other)
    reconcile(other, stage.world, Timing(stage.now))
    touched = {r for r, _ in stage.charon.applied[before[0] :] + stage.node.applied[before[1] :]}
    assert {other} == touched


def test_of_two_that_ike_cannot_tell_apart_only_what_holds_is_active():
    """The other one's children carry, but not as the API has it: never ACTIVE, and it says why."""
    stage = Stage()
    second = make.selector("fd00:1::/64", "fd00:2::/64")
    stage.source.desired = make.desired(
        make.connection(), make.connection("v6", selectors=(second,), psk=Secret("another"))
    )
    rows = stage.settle().report.connections
    assert sorted(row.status for row in rows) == [Status.ACTIVE, Status.PENDING_UPDATE]
    assert {None, "indistinguishable"} == {row.reason and row.reason.code for row in rows}


class TestSwap:
    def test_a_changed_key_is_negotiated_before_the_old_sa_ends(self):
        """At no time is the connection without an installed child SA."""
        stage = Stage()
        stage.source.desired = make.desired(make.connection())
        stage.settle()
        stage.source.desired = make.desired(make.connection(psk=Secret("another")))
        for _ in range(5):
            stage.turn()
            assert any(
                child.state is SaState.INSTALLED
                for sa in stage.observed.charon.ike_sas
                for child in sa.children
            )
            stage.charon.settle()
        assert len(stage.observed.charon.ike_sas) == 1

    def test_a_refused_change_keeps_the_old_sa_for_the_grace_time_and_tells(self):
        """PENDING_UPDATE with the cause while the old SA carries; DOWN once grace is over."""
        stage = Stage()
        first = make.connection(local_id="1.1.1.1")  # of both sides the one that begins
        stage.source.desired = make.desired(first)
        stage.settle()
        stage.charon.answer = lambda *_: Answer.REFUSE
        stage.source.desired = make.desired(dataclasses.replace(first, psk=Secret("another")))
        stage.turn()
        stage.charon.settle()
        (row,) = stage.turn().report.connections
        assert Status.PENDING_UPDATE is row.status
        assert row.reason.code == "psk_or_id_mismatch"

        stage.now += 301
        (row,) = stage.turn().report.connections
        assert Status.DOWN is row.status
        assert not any(sa.children for sa in stage.observed.charon.ike_sas)

    def test_an_attempt_that_the_peer_forgets_costs_seconds(self):
        """Time alone tells; the plan says when, and the next attempt comes soon after it."""
        stage = Stage()
        stage.source.desired = make.desired(make.connection())
        stage.charon.answer = lambda *_: Answer.FORGET
        stage.turn()
        stage.charon.settle()
        stage.charon.answer = lambda *_: Answer.ACCEPT
        began = stage.now
        while not any(sa.children for sa in stage.observed.charon.ike_sas):
            stage.now += stage.turn().look_again or 1.0
            stage.charon.settle()
            assert stage.now - began < 30

    def test_other_children_are_not_touched_when_a_selector_comes_and_goes(self):
        """Adding and removing a pair yields actions for that child only."""
        stage = Stage()
        one, two = (make.selector("10.1.0.0/24", f"10.2.{i}.0/24") for i in range(2))
        stage.source.desired = make.desired(make.connection(selectors=(one,)))
        stage.settle()
        before = {c.unique_id for sa in stage.observed.charon.ike_sas for c in sa.children}
        for selectors in ((one, two), (one,)):
            stage.source.desired = make.desired(make.connection(selectors=selectors))
            stage.settle()
            after = {
                c.unique_id
                for sa in stage.observed.charon.ike_sas
                for c in sa.children
                if c.state is SaState.INSTALLED
            }
            assert before <= after
        assert before == after


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"up": False}, "admin_down"),
        ({"selectors": ()}, "no_traffic_selectors"),
        ({"local_address": None}, "no_local_address"),
        ({"peer_address": "nobody.example"}, "peer_name_unresolved"),
    ],
)
def test_what_cannot_come_up_says_why(changes, code):
    """DOWN with a code of its own for each cause that is ours to know."""
    stage = Stage()
    stage.source.desired = make.desired(make.connection(**changes))
    (row,) = stage.settle().report.connections
    assert (Status.DOWN, code) == (row.status, row.reason.code)
    assert not any(isinstance(action, Initiate) for _, action in stage.charon.applied)


def test_a_response_only_connection_never_initiates():
    """The plan holds no Initiate and the row says that the peer is awaited."""
    stage = Stage()
    stage.source.desired = make.desired(make.connection(initiator=Initiator.RESPONSE_ONLY))
    (row,) = stage.settle().report.connections
    assert row.reason.code == "waiting_for_peer"
    assert not any("Initiate" in repr(action) for _, action in stage.charon.applied)


def test_an_agent_restart_on_a_settled_router_does_nothing():
    """A new wheel over the same node finds nothing to do."""
    stage = Stage()
    stage.source.desired = make.desired(
        make.connection(), make.connection("d", local_address=None)
    )
    stage.settle()
    fresh = World(stage.source, stage.node, stage.charon, DataPlane.USERSPACE)
    assert reconcile(make.ROUTER, fresh, Timing(stage.now)).actions == 0


def test_a_killed_charon_is_started_and_its_routes_are_made_again():
    """After a kill the next turns bring the tunnel back, device routes included."""
    stage = Stage()
    stage.source.desired = make.desired(make.connection())
    stage.settle()
    stage.charon.kill(make.ROUTER)
    assert not any(r.device == "ipsec0" for r in stage.observed.network.routes)
    (row,) = stage.settle().report.connections
    assert Status.ACTIVE is row.status
    assert any(r.device == "ipsec0" for r in stage.observed.network.routes)


def test_the_guard_is_there_before_any_link_and_before_any_config():
    """In the order of actions: namespace, guard, links, charon, configs."""
    stage = Stage()
    stage.source.desired = make.desired(make.connection())
    outcome = plan(stage.source.desired, stage.observed, DataPlane.USERSPACE, Timing(0.0))
    kinds = [type(action).__name__ for action in outcome.actions]
    order = ["EnsureNamespace", "EnsureGuard", "EnsureLink", "StartCharon", "LoadConfig"]
    assert order == sorted(order, key=kinds.index)


def test_router_addresses_outside_the_selectors_are_not_put_on_lo():
    """Only what userspace ESP needs is a local address of the namespace."""
    stage = Stage()
    stage.source.desired = make.desired(make.connection())
    stage.settle()
    assert {ipaddress.ip_address("10.1.0.1")} == stage.observed.network.host_addresses
