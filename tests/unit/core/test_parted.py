"""Both sides of IKEv2 began at once, with children of their own each."""

import dataclasses
import itertools

import pytest

from swanherd.core.ike import (
    ChildSa,
    Initiate,
    LoadedConfig,
    RekeyChild,
    SaState,
    TerminateIke,
)
from swanherd.core.model import ChildDetails, IkeVersion, Initiator, TrafficSelector
from swanherd.core.naming import child_name
from swanherd.core.peering import ike_config
from swanherd.core.tunnels import Timing, plan_tunnels
from swanherd.testing import builders as make
from tests.unit.core.seen import charon, ike_sa

PAIRS = tuple(make.selector("10.1.0.0/24", f"10.{n}.0.0/24") for n in (2, 3, 8))
WEST = make.connection("west", selectors=PAIRS)
EAST = make.connection(
    "east",
    local_id="198.51.100.2",
    peer_address="203.0.113.2",
    peer_id="203.0.113.2",
    selectors=tuple(TrafficSelector(p.remote, p.local) for p in PAIRS),
)


def of(version, connection):
    return dataclasses.replace(connection, ike=make.ike_policy(version=version))


class Side:
    """One side of the peering; a pair of networks is told by its number on both."""

    def __init__(self, connection, *, first=None):
        self.desired = make.desired(connection)
        self.config = ike_config(connection, self.desired.naming_key)
        self.names = [child_name(s, connection.ipsec) for s in connection.selectors]
        self.first = first  # the IKE SA that its charon lists first

    def planned(self, *sas, now=0.0, **changes):
        loaded = LoadedConfig(self.config.name, frozenset(self.names))
        secrets = frozenset({self.config.connection.id})
        named = [dataclasses.replace(sa, config=self.config.name) for sa in sas]
        seen = charon(*named, configs=[loaded], secrets=secrets, **changes)
        return plan_tunnels(self.desired, seen, Timing(now))

    def has(self, *numbers, installed=60):
        details = ChildDetails("", "", None, None, None, 0, 0, 0, 0, installed, None, None)
        return tuple(ChildSa(self.names[n], n, SaState.INSTALLED, details) for n in numbers)

    def initiates(self, *numbers):
        return tuple(Initiate(self.config.name, self.names[n]) for n in numbers)


def test_both_sides_begin_with_the_same_pair():
    """Else in a race none of the two IKE SAs would get them all."""
    begun = []
    for side in (Side(WEST), Side(EAST)):
        (action,), _ = side.planned()
        begun.append(side.names.index(action.child))
    assert len(set(begun)) == 1


class TestParted:
    """West's IKE SA has the third pair, and east's the others."""

    @staticmethod
    def sas(side, age, /, *, west=True, **changes):
        mine = ike_sa(26, age=age, initiator=west, initiator_spi="57", children=side.has(2))
        theirs = ike_sa(27, age=age, initiator=not west, initiator_spi="fc")
        return dataclasses.replace(theirs, children=side.has(0, 1), **changes), mine

    def test_who_began_the_one_with_more_puts_the_rest_into_it(self):
        """Once they stand side by side; and the other side a second later, if it still has to."""
        west, east = Side(WEST), Side(EAST)
        assert east.planned(*self.sas(east, 1, west=False)) == ((), 1.0)
        assert east.planned(*self.sas(east, 2, west=False))[0] == east.initiates(2)
        assert west.planned(*self.sas(west, 2)) == ((), 1.0)
        assert west.planned(*self.sas(west, 3))[0] == west.initiates(2)

    def test_who_would_put_it_into_the_other_one_waits_for_the_peer(self):
        """charon makes a child in the IKE SA that it lists first."""
        west = Side(WEST)
        assert west.planned(*self.sas(west, 3)[::-1]) == ((), 1.0)
        assert west.planned(*self.sas(west, 4)[::-1])[0] == west.initiates(0, 1)

    def test_only_what_is_this_sides_to_begin(self):
        """What only the peer begins it may have reasons to begin where it is."""
        passive = dataclasses.replace(EAST, initiator=Initiator.RESPONSE_ONLY)
        east = Side(passive)
        assert east.planned(*self.sas(east, 9, west=False)) == ((), None)

    @pytest.mark.parametrize(
        "changes",
        [{"busy": True}, {"state": SaState.REKEYING}, {"age": 900}, {"initiator": True}],
        ids=["busy", "renewed", "no race", "both ours"],
    )
    def test_nothing_else_makes_a_child_twice(self, changes):
        """Not what is under way, nor what the peer replaces and ends itself."""
        west = Side(WEST)
        assert west.planned(*self.sas(west, 9, **changes))[0] == ()

    def test_a_peer_that_does_not_take_it_is_not_asked_for_ever(self):
        """Two IKE SAs carry as well as one."""
        west = Side(WEST)
        assert west.planned(*self.sas(west, 30))[0] == west.initiates(2)
        assert west.planned(*self.sas(west, 31)) == ((), None)


class World:
    """Two charons with the IKE SAs "w" and "e"; what is agreed on both have at once."""

    def __init__(self, held, low, firsts, version):
        self.sas = {key: dict.fromkeys(numbers, 0) for key, numbers in held.items()}
        self.low = low
        self.sides = {
            "w": Side(of(version, WEST), first=firsts[0]),
            "e": Side(of(version, EAST), first=firsts[1]),
        }
        self.now = 0

    def shown(self, key, side):
        return [
            ike_sa(
                ord(sa),
                age=self.now,
                initiator=sa == key,
                initiator_spi="0a" if sa == self.low else "0b",
                children=tuple(
                    dataclasses.replace(child, unique_id=ord(sa) * 10 + number)
                    for number, made in sorted(children.items())
                    for child in side.has(number, installed=self.now - made)
                ),
            )
            for sa, children in sorted(self.sas.items(), key=lambda item: item[0] != side.first)
        ]

    def turn(self):
        told = {key: side.planned(*self.shown(key, side))[0] for key, side in self.sides.items()}
        for key, actions in told.items():
            side = self.sides[key]
            for action in actions:
                match action:
                    case Initiate(_, name):
                        first = side.first if side.first in self.sas else min(self.sas)
                        self.sas[first][side.names.index(name)] = self.now
                    case RekeyChild(unique_id):
                        self.sas[chr(unique_id // 10)][unique_id % 10] = self.now
                    case TerminateIke(unique_id):
                        self.sas.pop(chr(unique_id), None)
        self.now += 1
        carried = {number for children in self.sas.values() for number in children}
        assert carried == {0, 1, 2}, "one isn't carried"


@pytest.mark.parametrize("version", IkeVersion)
@pytest.mark.parametrize("low", ["w", "e"])
@pytest.mark.parametrize("firsts", itertools.product("we", repeat=2), ids="".join)
def test_however_they_parted_they_come_together(low, firsts, version):
    """Soon one IKE SA has all, and none is without an SA meanwhile."""
    for where in itertools.product(("w", "e", "we"), repeat=3):
        held = {key: [n for n, keys in enumerate(where) if key in keys] for key in "we"}
        world = World(held, low, firsts, version)
        for _ in range(10):
            world.turn()
        assert len(world.sas) == 1, (where, world.sas)
