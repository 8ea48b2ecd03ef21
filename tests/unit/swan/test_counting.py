"""What many failures at once cost: the peers of a router that has lost its way out."""

import dataclasses

from swanherd.core.ike import ChildSa, IkeSa, LoadedConfig, SaState
from swanherd.core.tally import DEAD, Tally
from swanherd.swan import counting, since
from swanherd.swan.faults import FaultMemory
from swanherd.swan.lists import Listed
from tests.unit.steps import calls_of

NAMES = [f"{number:08x}-0000-4000-8000-000000000000-{number:016x}" for number in range(400)]


def dead(names, now=0.0):
    memory = FaultMemory()
    for name in names:
        memory = memory.recorded(name, DEAD, now)
    return memory


def listed(names):
    """Half of the configs have their child."""
    child = ChildSa("child", 1, SaState.INSTALLED)
    sas = tuple(
        IkeSa(
            name, number, SaState.ESTABLISHED, True, "", "", False, (child,) if number % 2 else ()
        )
        for number, name in enumerate(names)
    )
    configs = frozenset(LoadedConfig(name, frozenset({"child"})) for name in names)
    return Listed(configs, {}, frozenset(), sas, {})


def test_what_is_new_of_faults_is_told_and_counted():
    """One that is seen again too: it is another failure."""
    before = dead(NAMES[:3])
    after = before.recorded(NAMES[1], DEAD, 60.0).recorded(NAMES[3], DEAD, 60.0)
    new = counting.new_faults(before.faults, after.faults)
    assert [fault.config for fault in new] == [NAMES[1], NAMES[3]]
    tally = counting.failures(Tally(), new, 60.0)
    assert set(tally.dead_peers.values()) == {1}
    assert len(tally.dead_peers) == 2
    assert counting.new_faults(after.faults, after.faults) == []
    equal = [dataclasses.replace(fault) for fault in after.faults]
    assert counting.new_faults(after.faults, equal) == []


def test_which_configs_have_all_of_their_children():
    """Of those that are asked for."""
    found = since.lacking_nothing(listed(NAMES[:6]), {NAMES[0], NAMES[1], NAMES[3]})
    assert found == {NAMES[1], NAMES[3]}


def test_eight_times_as_many_failures_cost_an_event_eight_times_as_much():
    """Each retransmission to each dead peer is one, and all charons share the thread."""
    costs = []
    for names in (NAMES[:50], NAMES):
        before = dead(names)
        after = before.recorded(names[-1], DEAD, 60.0)
        costs.append(calls_of(lambda b=before, a=after: counting.new_faults(b.faults, a.faults)))
    few, many = costs
    assert many < 10 * few
