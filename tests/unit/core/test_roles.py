"""A standby has everything and says nothing."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.failures import Permanent, Temporary
from swanherd.core.ike import Initiate, TerminateIke
from swanherd.core.model import DataPlane, Role, Status
from swanherd.core.planner import plan
from swanherd.core.tunnels import Timing
from swanherd.testing import builders as make
from tests.examples import times
from tests.unit.reconcile.test_convergence import DESIREDS, Stage

planes = st.sampled_from(DataPlane)
ACTIVE = make.desired(make.connection(), make.connection("d", peer_address="198.51.100.9"))
STANDBY = dataclasses.replace(ACTIVE, role=Role.STANDBY)


class Watched(Stage):
    """Notes for each Initiate and TerminateIke whether the guard was silent."""

    def __init__(self, plane):
        super().__init__(plane)
        self.said = []
        apply = self.charon.apply

        def noting(router_id, action):
            if isinstance(action, Initiate | TerminateIke):
                guard = self.node.observe(router_id).guard
                self.said.append((action, guard is not None and guard.silent))
            apply(router_id, action)

        self.charon.apply = noting


@times(2.5)
@given(st.lists(st.tuples(DESIREDS, st.sampled_from(Role)), min_size=1, max_size=5), planes)
def test_a_standby_of_any_history_is_silent_loaded_and_rests(history, plane):
    """Whatever was before: no IKE SA, no Initiate, the same configs, and then an empty plan."""
    stage = Watched(plane)
    for desired, role in (*history, (history[-1][0], Role.STANDBY)):
        before = len(stage.said)
        stage.source.desired = dataclasses.replace(desired, role=role)
        outcome = stage.settle()
        standing = role is Role.STANDBY
        assert all(silent is standing for _, silent in stage.said[before:])
        if standing:
            assert not any(isinstance(a, Initiate) for a, _ in stage.said[before:])
            assert stage.observed.charon.ike_sas == ()
    wanted = stage.source.desired
    assert plan(wanted, stage.observed, plane, Timing(stage.now)).actions == ()
    assert outcome.report.role is Role.STANDBY
    assert outcome.report.ready
    assert not any(r.status is Status.ACTIVE for r in outcome.report.connections)


@times(1.5)
@given(
    st.lists(st.sampled_from(Role), min_size=1, max_size=5),
    st.lists(st.integers(1, 12), max_size=4),
    st.sampled_from([Temporary, Permanent]),
)
def test_failures_anywhere_do_not_let_a_standby_speak(roles, failing, kind):
    """If the guard can't be made silent, the IKE SAs aren't ended either: nobody is told."""
    stage = Watched(DataPlane.USERSPACE)
    for role in roles:
        stage.source.desired = dataclasses.replace(ACTIVE, role=role)
        stage.node.fail(kind, failing)
        for _ in range(4):
            before = len(stage.said)
            stage.turn()
            stage.charon.settle()
            stage.now += 1
            assert all(silent is (role is Role.STANDBY) for _, silent in stage.said[before:])


def test_a_standby_differs_from_the_active_one_in_nothing_but_silence():
    """The same links, routes, rules and configs: so it can serve at once."""
    stages = {role: Stage() for role in Role}
    for role, stage in stages.items():
        stage.source.desired = dataclasses.replace(ACTIVE, role=role)
        stage.settle()
    active, standby = (stages[role].observed for role in (Role.ACTIVE, Role.STANDBY))
    guard = dataclasses.replace(active.network.guard, silent=True)
    assert dataclasses.replace(active.network, guard=guard) == standby.network
    assert active.charon.configs == standby.charon.configs
    assert active.charon.secrets == standby.charon.secrets


def test_a_standby_that_becomes_active_only_opens_the_guard_and_initiates():
    """Nothing else lies between the switch and the first packet of IKE."""
    stage = Stage()
    stage.source.desired = STANDBY
    stage.settle()
    todo = plan(ACTIVE, stage.observed, DataPlane.USERSPACE, Timing(stage.now)).actions
    assert [type(a).__name__ for a in todo] == ["EnsureGuard", "Initiate", "Initiate"]


def test_an_active_one_that_becomes_standby_is_silent_first():
    """The guard, then the IKE SAs, without waiting for the peer."""
    stage = Stage()
    stage.source.desired = ACTIVE
    stage.settle()
    todo = plan(STANDBY, stage.observed, DataPlane.USERSPACE, Timing(stage.now)).actions
    assert [type(a).__name__ for a in todo] == ["EnsureGuard", "TerminateIke", "TerminateIke"]
    assert all(a.force for a in todo[1:])


def test_a_standby_tells_when_it_is_not_ready():
    """Readiness is of all: namespace, charon, configs."""
    stage = Stage()
    stage.source.desired = STANDBY
    stage.settle()
    assert stage.turn().report.ready
    stage.charon.fail_at(2, Permanent)
    stage.charon.kill(make.ROUTER)
    outcome = stage.turn()
    assert not outcome.report.ready
    assert {"standby"} & {r.reason.code for r in stage.settle().report.connections}
