import dataclasses

import pytest

from swanherd.core.ike import (
    ChildSa,
    DeclareDead,
    Fault,
    IkeSa,
    Initiate,
    LoadConfig,
    LoadedConfig,
    LoadSecret,
    ObservedCharon,
    SaState,
    TerminateChild,
    TerminateIke,
    UnloadConfig,
    UnloadSecret,
)
from swanherd.core.model import Dpd, DpdAction, IkeVersion, Initiator, Secret
from swanherd.core.peering import ike_config
from swanherd.core.tunnels import Timing, plan_tunnels, retry_at
from swanherd.testing import builders as make

CONNECTION = make.connection()
DESIRED = make.desired(CONNECTION)
CONFIG = ike_config(CONNECTION, DESIRED.naming_key)
LOADED = LoadedConfig(CONFIG.name, frozenset(name for name, _ in CONFIG.children))
OLD = f"{CONFIG.connection.id}-0123456789abcdef"


def ike_sa(unique_id=1, config=CONFIG.name, state=SaState.ESTABLISHED, **changes):
    fields = {
        "initiator": True,
        "local_host": "203.0.113.2",
        "remote_host": "198.51.100.2",
        "busy": False,
        "children": tuple(
            ChildSa(name, 100 + unique_id, SaState.INSTALLED) for name, _ in CONFIG.children
        ),
    }
    return IkeSa(config=config, unique_id=unique_id, state=state, **(fields | changes))


def charon(*sas, configs=(LOADED,), faults=(), secrets=frozenset({CONFIG.connection.id})):
    return ObservedCharon(
        running=True,
        configs=frozenset(configs),
        secrets=secrets,
        ike_sas=sas,
        faults=tuple(faults),
    )


def fault(first=0.0, last=0.0, code="peer_silent"):
    return Fault(CONFIG.name, code, "text", "hint", first, last)


def actions(observed, desired=DESIRED, now=0.0):
    return plan_tunnels(desired, observed, Timing(now))[0]


def test_an_empty_charon_gets_secret_then_config_then_one_initiation():
    """In this order, and nothing else."""
    expected = (
        LoadSecret(CONFIG.connection),
        LoadConfig(CONFIG),
        Initiate(CONFIG.name, CONFIG.children[0][0]),
    )
    assert expected == actions(ObservedCharon(running=True))


def test_what_is_up_is_left_alone():
    """A settled connection yields no action."""
    assert actions(charon(ike_sa())) == ()


def test_the_new_is_loaded_before_the_old_is_unloaded():
    """So a peer that comes at that moment finds one of them."""
    kinds = [type(a) for a in actions(charon(configs=[LoadedConfig(OLD, frozenset())]))]
    assert kinds.index(LoadConfig) < kinds.index(UnloadConfig)


@pytest.mark.parametrize("state", [SaState.CREATED, SaState.CONNECTING])
def test_an_attempt_under_way_is_awaited(state):
    """No second initiation while one is coming."""
    assert actions(charon(ike_sa(state=state, children=()))) == ()


def test_a_busy_ike_sa_is_awaited():
    """No second CREATE_CHILD_SA while one is queued."""
    assert actions(charon(ike_sa(children=(), busy=True))) == ()


def test_missing_children_of_an_established_ike_sa_are_initiated_together():
    """The first child makes the IKE SA, the others share it."""
    connection = make.connection(
        selectors=tuple(make.selector("10.1.0.0/24", f"10.2.{i}.0/24") for i in range(3))
    )
    config = ike_config(connection, DESIRED.naming_key)
    (first, *others) = (name for name, _ in config.children)
    sa = ike_sa(config=config.name, children=(ChildSa(first, 7, SaState.INSTALLED),))
    loaded = LoadedConfig(config.name, frozenset({first, *others}))
    got = actions(charon(sa, configs=[loaded]), make.desired(connection))
    assert tuple(Initiate(config.name, name) for name in others) == got


class TestOldGeneration:
    def test_it_ends_only_when_the_new_one_carries(self):
        """Make before break."""
        old, new = ike_sa(1, OLD), ike_sa(2)
        assert not any(isinstance(a, TerminateIke) for a in actions(charon(old)))
        assert (TerminateIke(1, force=False),) == actions(charon(old, new))

    def test_a_peer_that_moved_is_not_waited_for(self):
        """The old address may be dead: forced."""
        other = ike_config(make.connection(peer_address="198.51.100.99"), DESIRED.naming_key)
        old = ike_sa(1, other.name)
        assert actions(charon(old, ike_sa(2, state=SaState.CONNECTING, children=()))) == ()
        assert (TerminateIke(1, force=True),) == actions(charon(old, ike_sa(2)))

    def test_it_stays_for_the_grace_time_when_the_peer_refuses(self):
        """And the plan says when to look again."""
        observed = charon(ike_sa(1, OLD), faults=[fault(first=0.0, last=100.0)])
        got, look_again = plan_tunnels(DESIRED, observed, Timing(100.0, grace=300.0))
        assert got == ()
        assert 0 < look_again <= 200
        assert TerminateIke(1, force=True) in actions(observed, now=301.0)

    def test_a_responder_makes_room_for_the_peer(self):
        """Who never initiates can't make before break: the old SA ends at once."""
        desired = make.desired(make.connection(initiator=Initiator.RESPONSE_ONLY))
        assert (TerminateIke(1, force=True),) == actions(charon(ike_sa(1, OLD)), desired)

    def test_ikev1_ends_the_old_child_before_its_ike_sa(self):
        """Else the responder keeps it until its lifetime ends."""
        connection = make.connection(ike=make.ike_policy(version=IkeVersion.V1))
        config = ike_config(connection, DESIRED.naming_key)
        loaded = LoadedConfig(config.name, frozenset(n for n, _ in config.children))
        own = config.connection.id
        old = f"{own}-0123456789abcdef"
        observed = charon(
            ike_sa(1, old), ike_sa(2, config.name), configs=[loaded], secrets=frozenset({own})
        )
        expected = (TerminateChild(101), TerminateIke(1, force=False))
        assert expected == actions(observed, make.desired(connection))


class TestChangedChild:
    """The IPsec policy of a pair changed: the old child carries it under the same IKE SA."""

    OLD_CHILD = ChildSa(
        f"{CONFIG.children[0][0].partition('-')[0]}-00000000", 7, SaState.INSTALLED
    )

    def test_it_stays_until_the_new_one_carries(self):
        """Make before break, child by child."""
        alone = ike_sa(children=(self.OLD_CHILD,))
        assert (Initiate(CONFIG.name, CONFIG.children[0][0]),) == actions(charon(alone))
        both = ike_sa(children=(self.OLD_CHILD, *ike_sa().children))
        assert (TerminateChild(7),) == actions(charon(both))

    def test_a_responder_makes_room_for_the_peer(self):
        """Who never initiates would else keep the old policy without limit."""
        desired = make.desired(make.connection(initiator=Initiator.RESPONSE_ONLY))
        alone = ike_sa(children=(self.OLD_CHILD,))
        assert (TerminateChild(7),) == actions(charon(alone), desired)

    def test_it_ends_when_the_peer_refuses_for_longer_than_the_grace_time(self):
        """What the API has no more doesn't run for ever."""
        observed = charon(ike_sa(children=(self.OLD_CHILD,)), faults=[fault(last=300.0)])
        assert TerminateChild(7) not in actions(observed, now=299.0)
        assert TerminateChild(7) in actions(observed, now=301.0)


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
        late = [dataclasses.replace(sa, age=2) for sa in (self.MINE, self.THEIRS)]
        assert (TerminateIke(2, force=True),) == actions(charon(*late))

    def test_an_own_attempt_ends_when_the_peers_succeeded(self):
        """No second IKE SA comes up later."""
        coming = ike_sa(1, state=SaState.CONNECTING, children=())
        assert (TerminateIke(1, force=True),) == actions(charon(self.THEIRS, coming))

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


@pytest.mark.parametrize(
    "desired", [make.desired(), make.desired(make.connection(up=False))], ids=["gone", "down"]
)
def test_what_is_not_wanted_any_more_ends_at_once(desired):
    """Deleted or administratively down: SAs ended without waiting for the peer, all unloaded."""
    got = set(actions(charon(ike_sa()), desired))
    expected = {
        UnloadConfig(CONFIG.name),
        UnloadSecret(CONFIG.connection.id),
        TerminateIke(1, force=True),
    }
    assert expected == got


class TestDeadPeer:
    """The question came `interval` after the last sign of life."""

    DPD = Dpd(DpdAction.RESTART, 10, 25)

    @staticmethod
    def seen(connection, **changes):
        config = ike_config(connection, DESIRED.naming_key)
        loaded = LoadedConfig(config.name, frozenset(n for n, _ in config.children))
        children = tuple(
            ChildSa(name, n, SaState.INSTALLED) for n, (name, _) in enumerate(config.children)
        )
        sa = ike_sa(config=config.name, children=children, **changes)
        secrets = frozenset({config.connection.id})
        return config, charon(sa, configs=[loaded], secrets=secrets)

    def test_it_is_found_when_the_timeout_is_over_and_not_before(self):
        """And the plan says when to look again."""
        connection = make.connection(dpd=self.DPD)
        config, observed = self.seen(connection, unanswered=100.0)
        got, look_again = plan_tunnels(make.desired(connection), observed, Timing(101.2))
        assert got == ()
        assert look_again == pytest.approx(13.8)
        expected = (DeclareDead(config.name, 1),)
        assert expected == actions(observed, make.desired(connection), now=115.0)

    @pytest.mark.parametrize(
        "changes",
        [
            {"dpd": Dpd(DpdAction.DISABLED, 10, 25)},
            # charon keeps the time itself
            {"dpd": DPD, "ike": make.ike_policy(version=IkeVersion.V1)},
        ],
        ids=["disabled", "v1"],
    )
    def test_nobody_else_is_declared_dead(self, changes):
        """Whatever isn't answered, for however long."""
        connection = make.connection(**changes)
        _, observed = self.seen(connection, unanswered=0.0)
        assert actions(observed, make.desired(connection), now=10_000.0) == ()

    @pytest.mark.parametrize("action", [DpdAction.RESTART_BY_PEER, DpdAction.RESTART])
    def test_restart_by_peer_takes_along_what_goes_to_the_same_peer(self, action):
        """In the moment that it was found dead, and not what was set up since."""
        one = make.connection("one", dpd=Dpd(action, 10, 25), local_id="one")
        other = make.connection(
            "other", dpd=self.DPD, selectors=(make.selector("10.1.0.0/24", "10.9.0.0/24"),)
        )
        config, observed = self.seen(other, age=50)
        one_config = ike_config(one, DESIRED.naming_key)
        found = Fault(one_config.name, "dpd_timeout", "text", "hint", 100.0, 100.0)
        observed = dataclasses.replace(observed, faults=(found,))
        desired = make.desired(one, other)
        expected = DeclareDead(config.name, 1)
        assert (expected in actions(observed, desired, now=100.1)) == (
            action is DpdAction.RESTART_BY_PEER
        )
        assert expected not in actions(observed, desired, now=110.0)
        young = dataclasses.replace(
            observed, ike_sas=(dataclasses.replace(observed.ike_sas[0], age=0),)
        )
        assert expected not in actions(young, desired, now=100.1)


def test_clear_waits_for_the_peer_after_a_dead_peer_was_found():
    """dpd action clear: no initiation of ours brings it back."""
    connection = make.connection(dpd=Dpd(DpdAction.CLEAR, 30, 120))
    config = ike_config(connection, DESIRED.naming_key)
    loaded = LoadedConfig(config.name, frozenset(n for n, _ in config.children))
    found = dataclasses.replace(fault(code="dpd_timeout"), config=config.name)
    assert (
        actions(charon(configs=[loaded], faults=[found]), make.desired(connection), now=1000.0)
        == ()
    )


def test_pauses_grow_with_the_time_that_it_fails_and_are_bounded():
    """From first_retry to last_retry seconds."""
    timing = Timing(0.0, first_retry=1.0, last_retry=30.0)
    pauses = [retry_at(fault(0.0, last), timing) - last for last in (0, 4, 10, 1000)]
    assert pauses == [1.0, 2.0, 5.0, 30.0]


def test_any_change_that_concerns_the_sa_is_a_new_generation_and_no_other_is():
    """psk, ids, addresses, policies, dpd: yes; children's, mtu, initiator: no."""
    key = DESIRED.naming_key
    name = CONFIG.name
    new = [
        {"psk": Secret("x")},
        {"peer_id": "x"},
        {"local_id": "x"},
        {"peer_address": "198.51.100.3"},
        {"ike": make.ike_policy(lifetime=4000)},
        {"dpd": Dpd(DpdAction.RESTART, 30, 120)},
    ]
    same = [
        {"ipsec": make.ipsec_policy(dh_group="group14")},
        {"mtu": 1400},
        {"initiator": Initiator.RESPONSE_ONLY},
        {"selectors": ()},
        {"up": False},
    ]
    assert all(name != ike_config(make.connection(**c), key).name for c in new)
    assert all(name == ike_config(make.connection(**c), key).name for c in same)
    assert name != ike_config(CONNECTION, Secret("another key")).name


def test_an_attempt_whose_keys_differ_is_ended_and_others_are_not():
    """charon would ask for a minute and a half, and so long after the key is mended."""

    def planned(now, **changes):
        fields = {"state": SaState.CONNECTING, "children": (), "unanswered": 10.0} | changes
        proven = fault(first=0.0, last=10.5, code=changes.pop("code", "psk_mismatch"))
        fields.pop("code", None)
        return plan_tunnels(DESIRED, charon(ike_sa(**fields), faults=[proven]), Timing(now))

    assert planned(11.0) == ((), pytest.approx(1.0))
    assert planned(12.0)[0] == (TerminateIke(1, force=True),)
    # One that began after the last proof may have the right key; the peer's own ends by itself.
    assert planned(20.0, unanswered=11.0)[0] == ()
    assert planned(20.0, initiator=False)[0] == ()
    assert planned(20.0, unanswered=None)[0] == ()
    assert planned(20.0, code="peer_silent")[0] == ()
