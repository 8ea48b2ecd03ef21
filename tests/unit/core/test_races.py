"""Several IKE SAs, or child SAs, where one is enough."""

import dataclasses

import pytest

from swanherd.core.ike import (
    ChildSa,
    DeclareDead,
    LoadedConfig,
    RekeyChild,
    SaState,
    TerminateChild,
    TerminateIke,
)
from swanherd.core.model import ChildDetails, Dpd, DpdAction, IkeVersion
from swanherd.core.peering import ike_config
from swanherd.core.tunnels import Timing, plan_tunnels
from swanherd.testing import builders as make
from tests.unit.core.seen import CONFIG, DESIRED, actions, charon, ike_sa


class TestRace:
    MINE = ike_sa(1, initiator=True, age=10, initiator_spi="1f")
    THEIRS = ike_sa(2, initiator=False, age=11, initiator_spi="2e")

    def test_both_sides_end_the_same_one(self):
        """Whatever addresses and ids each side sees: the lowest initiator SPI stays."""
        assert (TerminateIke(2, force=True),) == actions(charon(self.MINE, self.THEIRS))
        mirrored = [
            dataclasses.replace(sa, initiator=not sa.initiator, unique_id=9 - sa.unique_id)
            for sa in (self.MINE, self.THEIRS)
        ]
        assert (TerminateIke(9 - 2, force=True),) == actions(charon(*mirrored))

    def test_a_peer_that_replaces_its_sa_is_left_alone(self):
        """What came up much later is the peer's own swap: it ends the older one itself."""
        later = dataclasses.replace(self.THEIRS, age=1000)
        assert actions(charon(self.MINE, later)) == ()

    def test_a_peer_that_swaps_a_young_sa_has_the_time_to_end_it(self):
        """Both are young: the one who swaps ends the old one; what stays after that is a race."""
        young = [dataclasses.replace(sa, age=0) for sa in (self.MINE, self.THEIRS)]
        got, look_again = plan_tunnels(DESIRED, charon(*young), Timing(0.0))
        assert got == ()
        assert 0 < look_again <= 2

    def test_what_stays_is_used_by_both_sides_before_the_other_ends(self):
        """Its children are made anew, by who began it if that does, and in use for a second."""
        end = (TerminateIke(2, force=True),)

        def at(age, installed, *, mine=True, **changes):
            details = ChildDetails("", "", None, None, None, 0, 0, 0, 0, installed, None, None)
            (name, _), *_ = CONFIG.children
            child = ChildSa(name, 7, SaState.INSTALLED, details)
            keeper = dataclasses.replace(self.MINE, children=(child,), initiator=mine, age=age)
            rival = dataclasses.replace(self.THEIRS, initiator=not mine, age=age)
            seen = charon(dataclasses.replace(keeper, **changes), rival)
            return plan_tunnels(DESIRED, seen, Timing(0.0))

        assert at(2, 2) == ((RekeyChild(7),), 1.0)
        assert at(3, 3, busy=True) == ((), 1.0)
        assert at(2, 2, mine=False) == ((), 2.0)
        assert at(4, 4, mine=False) == ((RekeyChild(7),), 1.0)
        assert at(3, 0) == ((), 1.0)
        assert at(3, 1)[0] == at(3, 1, mine=False)[0] == end
        # What can't be renewed doesn't keep the other for ever.
        assert at(6, 6)[0] == end

    @pytest.mark.parametrize("age", [2, 4, 6, 60])
    def test_one_in_which_the_peer_does_not_answer_never_stays_instead(self, age):
        """A peer whose charon began anew has only what came last, whatever its SPI."""

        def at(now, **changes):
            keeper = dataclasses.replace(self.MINE, age=age, unanswered=100.0)
            rival = dataclasses.replace(self.THEIRS, age=age, **changes)
            return plan_tunnels(DESIRED, charon(keeper, rival), Timing(now))

        # Mostly the answer is on its way, and no event comes with it.
        assert at(100.1) == at(103.9) == ((), 1.0)
        assert at(104.0)[0] == (TerminateIke(1, force=True),)
        # The peer answers in neither, or the other one hasn't everything: nobody knows.
        assert at(104.0, unanswered=103.0) == ((), 1.0)
        assert TerminateIke(1, force=True) not in at(104.0, children=())[0]

    def test_an_own_attempt_ends_when_the_peers_succeeded(self):
        """No second IKE SA comes up later."""
        coming = ike_sa(1, state=SaState.CONNECTING, children=())
        assert (TerminateIke(1, force=True),) == actions(charon(self.THEIRS, coming))

    def test_a_dead_one_that_was_replaced_is_no_news(self):
        """A peer that took its tunnels over let it stand: it ends without a fault."""
        dpd = make.connection(dpd=Dpd(DpdAction.RESTART, 10, 25))
        config = ike_config(dpd, DESIRED.naming_key)
        loaded = LoadedConfig(config.name, frozenset(n for n, _ in config.children))
        old = ike_sa(1, config.name, age=900, unanswered=100.0)
        new = ike_sa(2, config.name, age=30, initiator=False)
        secrets = frozenset({config.connection.id})

        def ends(*sas):
            seen = charon(*sas, configs=[loaded], secrets=secrets)
            return plan_tunnels(make.desired(dpd), seen, Timing(115.0))[0]

        assert ends(old, new) == (TerminateIke(1, force=True),)
        for other in (
            dataclasses.replace(new, children=()),
            dataclasses.replace(new, age=1000),
            dataclasses.replace(new, unanswered=114.0),
        ):
            assert DeclareDead(config.name, 1) in ends(old, other)

    def test_what_charon_begins_beside_an_old_ike_sa_is_let_come_up(self):
        """IKEv1 has no other way to rekey: ended, the old one would end without a successor."""
        coming = ike_sa(3, state=SaState.CONNECTING, children=())
        assert actions(charon(self.THEIRS, coming)) == ()

    def test_nothing_is_ended_while_charon_replaces_an_ike_sa(self):
        """Both sides began: children move, and each side sees another SA carry them for now."""
        young = [dataclasses.replace(sa, age=2) for sa in (self.MINE, self.THEIRS)]
        old = ike_sa(5, state=SaState.REKEYING, children=(), age=3000)
        assert actions(charon(*young, old)) == ()

    def test_an_own_attempt_that_the_peer_has_answered_is_let_come_up(self):
        """The peer may send into it by now; once it is up, both sides know which one stays."""
        coming = ike_sa(3, state=SaState.CONNECTING, children=(), answered=True)
        assert actions(charon(self.THEIRS, coming)) == ()

    def test_an_answered_attempt_that_does_not_come_up_ends(self):
        """With another key on the two sides IKEv1 is told of no failure."""
        coming = ike_sa(1, state=SaState.CONNECTING, children=(), answered=True)

        def at(age, **changes):
            keeper = dataclasses.replace(self.THEIRS, unique_id=2, age=age)
            seen = charon(keeper, dataclasses.replace(coming, **changes))
            return plan_tunnels(DESIRED, seen, Timing(0.0))

        assert at(age=4) == ((), 2.0)
        assert at(age=6)[0] == (TerminateIke(1, force=True),)
        # Begun beside an IKE SA that was up already: charon replaces it.
        assert at(age=6, unique_id=3)[0] == ()


class TestRenewal:
    """IKEv1 renews an IKE SA by a new one, and charon moves the children over."""

    CONNECTION = make.connection(
        ike=make.ike_policy(version=IkeVersion.V1), dpd=Dpd(DpdAction.RESTART, 10, 25)
    )

    def planned(self, *sas, now=0.0, connection=CONNECTION):
        config = ike_config(connection, DESIRED.naming_key)
        loaded = LoadedConfig(config.name, frozenset(n for n, _ in config.children))
        named = [dataclasses.replace(sa, config=config.name) for sa in sas]
        seen = charon(*named, configs=[loaded], secrets=frozenset({config.connection.id}))
        return plan_tunnels(make.desired(connection), seen, Timing(now))

    @pytest.mark.parametrize(
        "old",
        [
            ike_sa(1, children=(), state=SaState.REKEYING),  # charon tells no age then
            ike_sa(1, children=(), age=40, initiator=False),
        ],
        ids=["we renew", "the peer renews"],
    )
    def test_what_was_renewed_ends_once_both_sides_have_moved_the_children(self, old):
        """Else the other side renews it in its turn, and the two sides' children part."""
        assert self.planned(old, ike_sa(2, age=2)) == ((TerminateIke(1, force=True),), None)
        assert self.planned(old, ike_sa(2, age=0)) == ((), 2.0)

    def test_nothing_ends_that_carries_or_that_nothing_has_replaced(self):
        """Children of any name, an old IKE SA before the new one is up, and IKEv2's."""
        old = ike_sa(1, children=(), age=40)
        other = ChildSa("another-1", 9, SaState.INSTALLED)
        assert self.planned(ike_sa(1, age=40, children=()), ike_sa(2, age=36))[0] == ()
        coming = ike_sa(2, state=SaState.CONNECTING)
        assert self.planned(dataclasses.replace(old, state=SaState.REKEYING), coming) == ((), None)
        ends = self.planned(dataclasses.replace(old, children=(other,)), ike_sa(2, age=9))[0]
        assert TerminateIke(1, force=True) not in ends
        assert self.planned(old, ike_sa(2, age=9), connection=make.connection())[0] == ()

    def test_a_peer_that_owes_the_renewals_answer_is_found_dead(self):
        """Nothing else is asked in the new one, and the first message is told of as the old's."""
        old = ike_sa(1, state=SaState.REKEYING, children=(), unanswered=100.0)
        coming = ike_sa(2, state=SaState.CONNECTING)
        assert self.planned(old, coming, now=101.0) == ((), 24.0)
        (dead,), _ = self.planned(old, coming, now=125.0)
        assert (dead.unique_id, type(dead)) == (2, DeclareDead)


class TestDoubles:
    """Both sides made the same child of IKEv2 at once."""

    @staticmethod
    def child(unique_id, spis, installed, sent=0):
        details = ChildDetails("", "", None, None, None, 0, 0, 0, sent, installed, None, None)
        name = CONFIG.children[0][0]
        return ChildSa(name, unique_id, SaState.INSTALLED, details, frozenset(spis))

    def test_who_began_the_ike_sa_ends_the_one_that_it_does_not_send_into(self):
        """The other side only if that one doesn't: each may send into another."""
        one, other = self.child(7, {5, 90}, 3, sent=4), self.child(8, {6, 7}, 2, sent=200)
        assert actions(charon(ike_sa(children=(one, other)))) == (TerminateChild(7),)
        theirs = charon(ike_sa(children=(one, other), initiator=False))
        assert plan_tunnels(DESIRED, theirs, Timing(0.0)) == ((), 2.0)
        late = dataclasses.replace(other, details=dataclasses.replace(other.details, installed=4))
        seen = charon(ike_sa(children=(one, late), initiator=False))
        assert plan_tunnels(DESIRED, seen, Timing(0.0)) == ((), 1.0)

    def test_without_traffic_the_lowest_spi_stays(self):
        """Whatever ids each side has given them."""
        for ids in ((7, 8), (8, 7)):
            one, other = self.child(ids[0], {5, 90}, 9), self.child(ids[1], {6, 7}, 8)
            assert actions(charon(ike_sa(children=(other, one)))) == (TerminateChild(ids[1]),)

    def test_neither_ends_before_the_peer_has_both(self):
        """And the plan says when to look again; a busy IKE SA may be making one."""
        twice = (self.child(7, {5, 90}, 9), self.child(8, {6, 7}, 0))
        observed = charon(ike_sa(children=twice))
        assert plan_tunnels(DESIRED, observed, Timing(0.0)) == ((), 2.0)
        late = (twice[0], self.child(8, {6, 7}, 3))
        assert actions(charon(ike_sa(children=late, busy=True))) == ()


class TestDoublesOfIkev1:
    """Quick modes of both sides crossed: charon replaced the same child by two."""

    CONNECTION = make.connection(ike=make.ike_policy(version=IkeVersion.V1))

    @staticmethod
    def child(unique_id, installed, rekey_in=2000, state=SaState.INSTALLED):
        counts = (0, 0, 0, 0)
        details = ChildDetails("", "", None, None, None, *counts, installed, rekey_in, None)
        return ChildSa("", unique_id, state, details, frozenset({unique_id}))

    def planned(self, *children, others=(), **changes):
        desired = make.desired(self.CONNECTION)
        config = ike_config(self.CONNECTION, desired.naming_key)
        (name, _), *_ = config.children
        loaded = LoadedConfig(config.name, frozenset({name}))
        named = tuple(dataclasses.replace(child, name=name) for child in children)
        sas = [ike_sa(1, config.name, children=named, age=500, **changes)]
        sas += [dataclasses.replace(sa, config=config.name) for sa in others]
        seen = charon(*sas, configs=(loaded,), secrets=frozenset({config.connection.id}))
        return plan_tunnels(desired, seen, Timing(0.0))

    def looks_again(self, *children, **changes):
        got, wait = self.planned(*children, **changes)
        assert got == ()
        return wait

    def test_one_is_made_anew_since_the_peer_may_send_into_either(self):
        """By who began the IKE SA, if that does; the one that charon wouldn't call redundant."""
        two = (self.child(7, 30, 2700), self.child(8, 30, 2750))
        assert self.planned(*two) == ((RekeyChild(8),), 2.0)
        assert self.planned(*two[::-1], initiator=False) == ((RekeyChild(8),), 4.0)
        young = (self.child(7, 2), self.child(8, 1))
        assert 0 < self.looks_again(*young) <= 1
        assert 0 < self.looks_again(*young, initiator=False) <= 3

    def test_what_is_older_than_the_newest_on_both_sides_ends(self):
        """Once what was sent into it has arrived: nobody confirms the end, or tells it again."""
        others = (self.child(7, 30), self.child(8, 31), self.child(6, 32, state=SaState.REKEYED))
        assert 0 < self.looks_again(*others, self.child(9, 0)) <= 2
        assert 0 < self.looks_again(*others, self.child(9, 1), initiator=False) <= 3
        ends = (TerminateChild(7), TerminateChild(8))
        assert self.planned(*others, self.child(9, 2)) == (ends, None)
        assert self.planned(*others, self.child(9, 4), initiator=False) == (ends, None)

    def test_one_that_is_hardly_older_never_ends(self):
        """The peer may hold it for the newer one."""
        three = (self.child(7, 60), self.child(8, 31), self.child(9, 30, 1))
        assert self.planned(*three) == ((RekeyChild(7),), 2.0)

    def test_nothing_is_done_while_children_are_made_or_moved(self):
        """One alone is none too many, whatever it has replaced."""
        two = (self.child(7, 30), self.child(8, 30))
        assert self.planned(*two, busy=True)[0] == ()
        coming = ike_sa(2, state=SaState.CONNECTING, initiator=False, children=())
        assert self.planned(*two, others=(coming,))[0] == ()
        rekeyed = self.child(6, 60, state=SaState.REKEYED)
        assert self.planned(self.child(7, 30), rekeyed) == ((), None)


class TestRaceOfIkev1:
    """charon moves the children to what came up last, and each side to another one."""

    @staticmethod
    def child(unique_id, installed):
        details = ChildDetails("", "", None, None, None, 0, 0, 0, 0, installed, None, None)
        return ChildSa(CONFIG.children[0][0], unique_id, SaState.INSTALLED, details)

    def planned(self, *sas):
        return TestRenewal().planned(*sas)

    def sas(self, age, low=(), high=(), *, initiator=False):
        """The one with the lowest SPI, and the other side's."""
        return (
            ike_sa(1, initiator=initiator, age=age, initiator_spi="1f", children=low),
            ike_sa(2, initiator=not initiator, age=age, initiator_spi="2e", children=high),
        )

    def test_who_has_the_children_in_the_one_that_stays_makes_them_anew_there(self):
        """So the other side has them there, too; nothing ends before."""
        old = (self.child(7, 60),)
        both = {"low": old, "high": (self.child(9, 60),)}
        assert self.planned(*self.sas(1, **both)) == ((), 1.0)
        assert self.planned(*self.sas(2, **both)) == ((), 2.0)
        assert self.planned(*self.sas(4, **both)) == ((RekeyChild(7),), 1.0)
        assert self.planned(*self.sas(4, **both, initiator=True)) == ((), 2.0)
        assert self.planned(*self.sas(6, **both, initiator=True))[0] == (RekeyChild(7),)

    def test_what_charon_will_end_does_not_stay_whatever_its_spi(self):
        """From a doomed one charon has moved everything; this side knows, and acts first."""
        new, old = (self.child(8, 1),), (self.child(7, 60),)
        end = (TerminateIke(1, force=True),)
        assert self.planned(*self.sas(2, high=old, initiator=True)) == ((RekeyChild(7),), 1.0)
        assert self.planned(*self.sas(3, high=new, initiator=True))[0] == end
        assert self.planned(*self.sas(1, high=new, initiator=True)) == ((), 1.0)

    def test_what_the_peer_has_made_in_a_doomed_one_since_goes_along(self):
        """What a doomed one had is in the other one twice: moved there, and made there."""
        pairs = [make.selector("10.1.0.0/24", f"10.{n}.0.0/24") for n in (2, 3)]
        connection = dataclasses.replace(TestRenewal.CONNECTION, selectors=tuple(pairs))
        first, second = (name for name, _ in ike_config(connection, DESIRED.naming_key).children)

        def planned(age, low, high):
            children = [
                [dataclasses.replace(self.child(n, 60), name=name) for n, name in enumerate(names)]
                for names in (low, high)
            ]
            sas = self.sas(age, *map(tuple, children), initiator=True)
            return TestRenewal().planned(*sas, connection=connection)

        end = (TerminateIke(1, force=True),)
        assert planned(1, [second], [first, first]) == ((), 1.0)
        assert planned(2, [second], [first, first])[0][:1] == end
        assert planned(2, [second], [first])[0] == ()
        assert planned(2, [first, second], [first, first])[0] == ()
        everything = planned(2, [second], [first, first, second])[0]
        assert {type(action) for action in everything} == {RekeyChild}

    def test_where_the_peer_has_made_them_anew_they_stay(self):
        """The peer knows which one is doomed; made anew there they would go along with it."""
        sas = (self.child(7, 60),), (self.child(9, 60), self.child(10, 1))
        assert self.planned(*self.sas(5, *sas)) == ((), 1.0)
        assert self.planned(*self.sas(8, *sas))[0] == (RekeyChild(7),)

    def test_the_other_ends_when_the_children_were_made_where_they_are(self):
        """They are younger than both, so both sides have them there."""
        new, old = (self.child(8, 1),), (self.child(7, 60),)
        expected = (TerminateIke(2, force=True),)
        assert self.planned(*self.sas(3, low=new))[0] == expected
        assert self.planned(*self.sas(3, low=new, high=old, initiator=True))[0] == expected

    def test_who_has_them_in_the_other_waits_but_not_for_ever(self):
        """The peer makes them anew; a peer that doesn't has them in the other one as well."""
        old = (self.child(7, 60),)
        assert self.planned(*self.sas(3, high=old)) == ((), 5.0)
        assert self.planned(*self.sas(8, high=old))[0] == (TerminateIke(1, force=True),)
