"""Which host serves a router."""

from __future__ import annotations

import datetime
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.placement import (
    Agents,
    Gateway,
    Placement,
    began,
    choose,
    earliest,
    is_newer,
    keep_or_choose,
    place,
)
from tests.examples import times

few = times(2)

HOSTS = st.sampled_from(["g1", "g2", "g3", "g4"])
ANY_HOST = st.none() | HOSTS
SETS = st.frozensets(HOSTS)
AGENTS = st.builds(
    lambda known, alive, gone: Agents(known | alive, alive, gone - alive), SETS, SETS, SETS
)
GATEWAYS = st.builds(Gateway, ANY_HOST, st.lists(HOSTS, unique=True, max_size=4).map(tuple))


def everywhere(*hosts: str) -> Agents:
    return Agents(frozenset(hosts), frozenset(hosts))


def test_it_follows_the_gateway() -> None:
    """Where the gateway is and an agent answers, there the VPN is."""
    gateway = Gateway("g2", ("g1", "g2"))
    assert choose("g1", gateway, everywhere("g1", "g2")) == "g2"
    assert choose(None, gateway, everywhere("g1", "g2")) == "g2"


def test_a_lost_heartbeat_alone_moves_nothing() -> None:
    """While the gateway stays, an agent that doesn't answer keeps its routers."""
    silent = Agents(frozenset({"g1", "g2"}), frozenset({"g2"}))
    assert choose("g1", Gateway("g1", ("g1", "g2")), silent) == "g1"
    # Neither does it where OVN has the gateway on a chassis without an agent.
    assert choose("g1", Gateway("g3", ("g3", "g2", "g1")), silent) == "g1"


def test_a_chassis_that_is_gone_too_loses_its_routers() -> None:
    """Neither its agent nor its ovn-controller answers, and the gateway isn't there."""
    gone = Agents(frozenset({"g1", "g2"}), frozenset({"g2"}), frozenset({"g1"}))
    assert choose("g1", Gateway("g3", ("g3", "g1", "g2")), gone) == "g2"


def test_without_the_bus_ovn_alone_decides() -> None:
    """If no agent's heartbeat arrives, the VPN follows the gateway to a known agent."""
    deaf = Agents(frozenset({"g1", "g2"}), frozenset())
    assert choose("g1", Gateway("g2", ("g1", "g2")), deaf) == "g2"


def test_a_chassis_without_an_agent_is_skipped() -> None:
    """If the gateway's own chassis has no agent, the first candidate that has one serves."""
    gateway = Gateway("g1", ("g1", "g3", "g2"))
    assert choose(None, gateway, everywhere("g2", "g3")) == "g3"
    assert choose("g1", gateway, everywhere("g2", "g3")) == "g3"


def test_it_stays_while_nothing_says_where_to_go() -> None:
    """With no usable candidate the router stays where it is, or nowhere."""
    assert choose("g1", Gateway(None, ("g1",)), Agents()) == "g1"
    assert choose(None, Gateway(None, ()), everywhere("g1")) is None


@few
@given(ANY_HOST, GATEWAYS, AGENTS)
def test_a_choice_is_final(current: str | None, gateway: Gateway, agents: Agents) -> None:
    """Choosing again with nothing changed chooses the same."""
    chosen = choose(current, gateway, agents)
    assert choose(chosen, gateway, agents) == chosen


@few
@given(ANY_HOST, GATEWAYS, AGENTS)
def test_a_new_host_has_an_agent_and_may_host_the_gateway(
    current: str | None, gateway: Gateway, agents: Agents
) -> None:
    """A router moves only to an agent that may be used, where the gateway is or may go."""
    chosen = choose(current, gateway, agents)
    if chosen != current:
        assert chosen in agents.usable
        assert chosen in {gateway.active, *gateway.candidates}


@few
@given(ANY_HOST, ANY_HOST, GATEWAYS, AGENTS)
def test_a_placement_is_final_and_tells_its_hosts_apart(
    current: str | None, pin: str | None, gateway: Gateway, agents: Agents
) -> None:
    """Placing again changes nothing; standbys are the other candidates with an agent."""
    placed = place(Placement(current, (), pin), gateway, agents)
    assert place(placed, gateway, agents) == placed
    assert placed.host not in placed.standbys
    known = {h for h in gateway.hosts if h in agents.known}
    expected = known - {placed.host} if placed.host else set()
    assert expected == set(placed.standbys)


@few
@given(ANY_HOST, HOSTS, GATEWAYS, AGENTS)
def test_a_pin_holds_while_its_candidate_lives(
    current: str | None, pin: str, gateway: Gateway, agents: Agents
) -> None:
    """A lost heartbeat doesn't break it; a chassis that is gone, or no candidate, does."""
    placed = place(Placement(current, (), pin), gateway, agents)
    if pin in gateway.hosts and pin in agents.known - agents.gone:
        assert (placed.host, placed.pin) == (pin, pin)
    else:
        assert placed.pin is None
        assert placed.host == choose(current, gateway, agents)


@pytest.mark.parametrize(
    ("current", "bound", "masters", "known", "host"),
    [
        (None, (), (), (), None),
        (None, ("a", "b"), ("b",), ("a", "b"), "b"),
        (None, ("a", "b"), (), ("b",), "b"),
        # Where Neutron says that another has the addresses, its own agent says so first.
        ("a", ("a", "b"), ("b",), ("a", "b"), "a"),
        ("a", ("b",), (), ("a", "b"), "b"),
        ("a", ("a", "b"), (), ("b",), "b"),
        # No agent of ours at all: the router stays, and the API says why it doesn't work.
        ("a", ("a", "b"), (), (), "a"),
        (None, ("a",), (), (), "a"),
    ],
)
def test_a_router_of_l3_agents_is_where_neutron_put_it(current, bound, masters, known, host):
    """Among the hosts that it is bound to, the one that serves it stays."""
    found = keep_or_choose(current, bound, frozenset(masters), frozenset(known))
    assert found == host


NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


def test_of_two_that_have_an_address_neither_is_newer_than_the_other_for_both() -> None:
    """However exactly it is told: else the router would go to and fro."""
    for gap in range(5):
        for told, told_too in itertools.product((0, 0.4, 1), repeat=2):
            first = began(NOON, 100 + told)
            second = began(NOON, 100 - gap + told_too)
            assert not (is_newer(second, first) and is_newer(first, second))


def test_who_came_clearly_later_is_newer() -> None:
    """By more than what may be an error."""
    assert is_newer(began(NOON, 10), began(NOON, 14))
    assert not is_newer(began(NOON, 14), began(NOON, 10))


def test_who_does_not_say_since_when_is_newer() -> None:
    """An older release's agent; and where nobody has said anything yet."""
    assert is_newer(None, NOON)
    assert is_newer(NOON, None)


def test_what_is_told_late_does_not_make_it_later() -> None:
    """The earliest that was said holds."""
    assert earliest(NOON, began(NOON, -60)) == NOON
    assert earliest(NOON, began(NOON, 60)) == began(NOON, 60)
    assert earliest(None, NOON) == earliest(NOON, None) == NOON
    assert earliest(None, None) is None
