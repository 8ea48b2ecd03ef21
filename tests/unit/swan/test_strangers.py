"""Whoever likes may knock at a gateway, a thousand times a second."""

from swanherd.core.model import IkeVersion
from swanherd.swan.causes import Facts
from swanherd.swan.codec import ConfigFacts
from swanherd.swan.events import Exchange
from swanherd.swan.faults import FaultMemory
from tests.unit.steps import calls_of

KNOCK = Exchange("", "192.0.2.77", False, "IKE_SA_INIT", False, frozenset({"N(NO_PROP)"}), 9)


def facts(count):
    """Return what is known of so many configs, each with a peer of its own."""
    peers = [f"198.51.{n // 250}.{n % 250}" for n in range(count)]
    return Facts({p: ConfigFacts(IkeVersion.V2, frozenset({p}), p) for p in peers})


def test_a_stranger_takes_the_same_steps_for_any_number_of_connections():
    """charon keeps what the agent is too slow to hear, without bound."""
    steps = []
    for count in (50, 500):
        known, memory = facts(count), FaultMemory()
        assert memory.feed(KNOCK, known, 1.0).faults == ()
        steps.append(calls_of(lambda m=memory, k=known: m.feed(KNOCK, k, 2.0)))
    assert steps[0] == steps[1]


def test_whose_a_failure_is_follows_the_configs():
    """A config that is loaded meanwhile is known at once."""
    known = facts(3)
    own = ConfigFacts(IkeVersion.V2, frozenset({KNOCK.peer}), KNOCK.peer)
    anyones = ConfigFacts(IkeVersion.V2, frozenset({"%any"}), "")
    memory = FaultMemory().feed(KNOCK, Facts(known | {"own": own, "any": anyones}), 1.0)
    assert [f.config for f in memory.faults] == ["own"]
    memory = FaultMemory().feed(KNOCK, Facts(known | {"any": anyones}), 1.0)
    assert [f.config for f in memory.faults] == ["any"]
    assert FaultMemory().feed(KNOCK, known, 1.0).faults == ()
