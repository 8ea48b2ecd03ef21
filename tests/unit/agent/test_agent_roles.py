"""What an agent is for a router follows from the southbound database alone."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.agent.roles import HEAD_START, RoleSource
from swanherd.core.failures import Temporary
from swanherd.core.model import Reason, Role
from swanherd.core.takeover import Binding, Hold, hold_of, role_of
from swanherd.testing import builders as make
from tests.examples import times

CHASSIS = ("g1", "g2")
bindings = st.builds(
    Binding,
    requested=st.sampled_from([None, *CHASSIS]),
    chassis=st.sampled_from([None, *CHASSIS]),
    up=st.booleans(),
)


@times(4)
@given(st.lists(bindings, min_size=1, max_size=6))
def test_who_sees_the_same_row_never_serves_beside_another(history):
    """Of any history of a port's row that all agents have seen, at most one is active."""
    roles = dict.fromkeys(CHASSIS, Role.STANDBY)
    for binding in history:
        roles = {c: role_of(hold_of(binding, c), roles[c]) for c in CHASSIS}
        assert list(roles.values()).count(Role.ACTIVE) <= 1
        for chassis, role in roles.items():
            assert role is Role.STANDBY or binding.requested == chassis


def test_a_port_that_comes_is_served_once_its_flows_are_there():
    """Before that nothing could be sent; a moment without the port changes nothing."""
    coming = Binding("g1", "g2", up=True)
    assert hold_of(coming, "g1") is Hold.COMING
    assert role_of(Hold.COMING, Role.STANDBY) is Role.STANDBY
    assert hold_of(Binding("g1", "g1", up=True), "g1") is Hold.HERE
    assert role_of(hold_of(Binding("g1", None, up=False), "g1"), Role.ACTIVE) is Role.ACTIVE


class World:
    """A source, a southbound database and a clock that the test sets."""

    chassis = "g1"

    def __init__(self):
        self.now = 1000.0
        self.desired = make.desired(make.connection())
        self.answers = True
        self.asked = 0
        self.known = None
        self.row = Binding("g2", "g2", up=True)
        self.last_heard = 1000.0
        self.source = RoleSource(self, self, lambda: self.now, 60.0)

    def get_router(self, router_id):
        self.asked += 1
        if not self.answers:
            raise Temporary(router_id, Reason("server_unreachable", "it is away"))
        self.known = self.desired
        return self.desired

    def get_revisions(self):
        return {}

    def recall(self, router_id):
        return self.known

    def binding(self, router_id, port_id):
        if self.row is None:
            raise Temporary(router_id, Reason("southbound_unknown", "not told yet"))
        return self.row

    def heard_at(self):
        return self.last_heard

    @property
    def role(self):
        return self.source.get_router(make.ROUTER).role


def test_the_servers_word_does_not_make_an_agent_serve():
    """Whatever role the desired state has, the port's row decides."""
    world = World()
    for role in Role:
        world.desired = dataclasses.replace(world.desired, role=role)
        assert world.role is Role.STANDBY


def test_a_takeover_needs_no_server():
    """What is known is enough, and isn't asked for while the role changes."""
    world = World()
    assert world.role is Role.STANDBY
    world.answers = False
    asked = world.asked
    world.row = Binding("g1", "g1", up=True)
    assert world.role is Role.ACTIVE
    world.row = None if world.row is None else Binding("g2", "g2", up=True)
    assert world.role is Role.STANDBY
    assert asked == world.asked


def test_a_database_that_is_away_fences_in_the_stated_time():
    """Until then all goes on as it was; once it is back, as it says."""
    world = World()
    world.row = Binding("g1", "g1", up=True)
    assert world.role is Role.ACTIVE
    world.now += 60 - HEAD_START - 0.1
    assert world.role is Role.ACTIVE
    world.now += 0.2
    assert world.source.fenced
    assert world.role is Role.STANDBY
    world.last_heard = world.now
    assert world.role is Role.ACTIVE


def test_nothing_is_touched_before_the_database_has_told():
    """An agent that has just started doesn't know its role: it waits."""
    world = World()
    world.row = None
    with pytest.raises(Temporary):
        world.source.get_router(make.ROUTER)
    world.last_heard = None
    world.now += 61
    assert world.role is Role.STANDBY
