"""Which host serves a router."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from swanherd.core.placement import Agents, Gateway, choose

few = settings(max_examples=50, deadline=None)

HOSTS = st.sampled_from(["g1", "g2", "g3", "g4"])
ANY_HOST = st.none() | HOSTS
SETS = st.frozensets(HOSTS)
AGENTS = st.builds(lambda known, alive: Agents(known | alive, alive), SETS, SETS)
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
    """A router moves only to an agent that answers, where the gateway is or may go."""
    chosen = choose(current, gateway, agents)
    if chosen != current:
        assert chosen in agents.alive
        assert chosen in {gateway.active, *gateway.candidates}
