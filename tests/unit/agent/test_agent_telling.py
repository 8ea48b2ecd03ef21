from types import SimpleNamespace

from swanherd.agent.telling import Teller
from swanherd.core.model import DataPlane, Role, RouterId, RouterReport
from swanherd.core.tunnels import Timing
from swanherd.core.turns import Turns
from swanherd.reconcile.loop import World


class Wheel:
    """One report; nothing waits."""

    turns = Turns(ended=0.0)

    def reports(self):
        return (RouterReport(RouterId("r"), 1, 1, (), (), role=Role.ACTIVE),)


def test_a_brief_answer_of_the_agent_has_its_facts_without_the_reports():
    """Whoever waits for it to be ready asks often, and of a thousand connections they are many."""
    timing = Timing(now=0.0, grace=1.0, last_retry=1.0)
    world = World(*(SimpleNamespace(),) * 3, DataPlane.USERSPACE)
    teller = Teller(Wheel(), world, timing, lambda: {"queue": 0}, lambda: None)
    ask = teller.commands()["agent"]
    whole, brief = ask({}), ask({"brief": True})
    assert set(whole["reports"]) == {"r"}
    assert set(whole) - set(brief) == {"reports"}
    assert brief["queue"] == 0
