"""What moving a router from neutron-vpnaas means, and what is in the way."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from swanherd.core import migration
from swanherd.core.migration import Cloud, Inherited, Keeper, Objects, Tunnel, Verb
from swanherd.core.model import RouterId

ROUTER = RouterId("5aa4e7d0-0000-4000-8000-000000000001")
CLOUD = Cloud(frozenset({"gw1"}), on_request=True)
UP = Tunnel("c1", "one", "198.51.100.1", "ACTIVE", enabled=True)
OBJECTS = Objects("ACTIVE", "public", "port", "subnet", "network")
THEIRS = Inherited(ROUTER, Keeper.THEIRS, True, OBJECTS, (UP,))
OURS = dataclasses.replace(THEIRS, keeper=Keeper.OURS)

ids = st.none() | st.sampled_from(["a", "b"])
objects = st.none() | st.builds(
    Objects, st.sampled_from(["ACTIVE", "ERROR", "PENDING_UPDATE"]), ids, ids, ids, ids
)
tunnels = st.builds(
    Tunnel,
    st.uuids().map(str),
    st.just(""),
    st.just("198.51.100.1"),
    st.sampled_from(["ACTIVE", "DOWN"]),
    st.booleans(),
    st.sampled_from([frozenset({4}), frozenset({6})]),
)
found = st.builds(
    Inherited,
    st.just(ROUTER),
    st.sampled_from(Keeper),
    st.booleans(),
    objects,
    st.lists(tunnels, max_size=3).map(tuple),
)
clouds = st.builds(Cloud, st.sampled_from([frozenset(), frozenset({"g"})]), st.booleans())


def codes(passage):
    return [reason.code for reason in passage.obstacles]


def test_all_that_the_old_driver_made_is_named():
    """Closed first; the public port stays, each id of the transit goes, the namespace last."""
    steps = migration.forth(THEIRS, CLOUD).steps
    assert (steps[0].verb, steps[-1].verb) == (Verb.MAKE, Verb.REPLACE)
    assert [s.subject for s in steps if s.verb is Verb.KEEP] == ["public"]
    removed = [s.subject for s in steps if s.verb is Verb.REMOVE]
    assert removed == [ROUTER, "port", "subnet", "network"]
    assert codes(migration.forth(THEIRS, CLOUD)) == []


@given(found, clouds)
def test_nothing_is_to_do_where_all_is_done(router, cloud):
    """Neither way has a step or an obstacle for a router that is there already."""
    ours = dataclasses.replace(router, keeper=Keeper.OURS)
    theirs = dataclasses.replace(router, keeper=Keeper.THEIRS)
    for passage in (migration.forth(ours, cloud), migration.back(theirs, cloud)):
        assert (passage.steps, passage.obstacles) == ((), ())


@given(found, clouds)
def test_everything_that_was_made_is_named_once(router, cloud):
    """Each id of the old driver is in exactly one step."""
    passage = migration.forth(dataclasses.replace(router, keeper=Keeper.THEIRS), cloud)
    made = router.objects
    wanted = [made.transit_port, made.transit_subnet, made.transit_network] if made else []
    removed = [s.subject for s in passage.steps if s.verb is Verb.REMOVE]
    assert sorted(filter(None, wanted)) == sorted(s for s in removed if s != ROUTER)


def test_each_obstacle_is_told():
    """A router without gateway, a row that isn't whole, no agent, and an L3 agent's router."""
    lame = dataclasses.replace(
        THEIRS, has_gateway=False, objects=dataclasses.replace(OBJECTS, status="ERROR")
    )
    nobody = dataclasses.replace(CLOUD, agents=frozenset())
    assert codes(migration.forth(lame, nobody)) == [
        "gateway_unfinished", "no_gateway", "no_agent",
    ]  # fmt: skip
    assert codes(migration.forth(dataclasses.replace(THEIRS, objects=None), CLOUD)) == [
        "not_of_ovn"
    ]


@given(clouds)
def test_a_router_of_an_l3_agent_is_not_moved_alone(cloud):
    """Neither way: the command would wait for what no OVN has."""
    router = dataclasses.replace(THEIRS, objects=None, of_l3_agent=True)
    ours = dataclasses.replace(router, keeper=Keeper.OURS)
    assert codes(migration.forth(router, cloud)) == ["of_l3_agent"]
    assert codes(migration.back(ours, cloud)) == ["of_l3_agent"]


def test_what_neutron_vpnaas_cannot_have_stays():
    """IPv6 inside doesn't go back, and nothing does where it would be taken over again."""
    six = dataclasses.replace(OURS, tunnels=(dataclasses.replace(UP, versions=frozenset({6})),))
    eager = dataclasses.replace(CLOUD, on_request=False)
    assert codes(migration.back(OURS, CLOUD)) == []
    assert codes(migration.back(six, eager)) == ["taken_over_at_once", "ipv6_inside"]


def test_only_what_was_up_is_waited_for():
    """A connection that was down before, or is switched off, isn't the migration's to bring up."""
    down = dataclasses.replace(UP, id="c2", status="DOWN")
    off = dataclasses.replace(UP, id="c3", enabled=False)
    several = dataclasses.replace(THEIRS, tunnels=(UP, down, off))
    assert migration.lasting(migration.forth(several, CLOUD)) == {"c1"}


def test_an_outage_is_counted_from_the_move():
    """One that isn't up again has none yet."""
    assert migration.outages(10.0, {"a": 12.5}, ["a", "b"]) == {"a": 2.5, "b": None}
    assert migration.outages(None, {"a": 12.5}, ["a"]) == {"a": None}
