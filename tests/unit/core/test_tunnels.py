import dataclasses

import pytest

from swanherd.core.ike import (
    ChildSa,
    DeclareDead,
    Fault,
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
from swanherd.core.model import ChildDetails, Dpd, DpdAction, IkeVersion, Initiator, Secret
from swanherd.core.naming import child_name
from swanherd.core.peering import ike_config
from swanherd.core.tunnels import Timing, carrying, plan_tunnels, retry_at
from swanherd.testing import builders as make
from tests.unit.core.seen import (
    CONFIG,
    CONNECTION,
    DESIRED,
    LOADED,
    OLD,
    actions,
    charon,
    fault,
    ike_sa,
)


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
    (first, *others) = (child_name(s, connection.ipsec) for s in connection.selectors)
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

    @pytest.mark.parametrize(("since", "force"), [(None, False), (97.0, False), (95.0, True)])
    def test_a_peer_that_forgot_it_is_not_waited_for(self, since, force):
        """One that began anew answers nothing in it: the end would wait behind the question."""
        old = ike_sa(1, OLD, unanswered=since)
        assert (TerminateIke(1, force=force),) == actions(charon(old, ike_sa(2)), now=100.0)

    def test_it_stays_for_the_grace_time_when_the_peer_refuses(self):
        """And the plan says when to look again."""
        observed = charon(ike_sa(1, OLD), faults=[fault(first=0.0, last=100.0)])
        got, look_again = plan_tunnels(DESIRED, observed, Timing(100.0, grace=300.0))
        assert got == ()
        assert 0 < look_again <= 200
        assert TerminateIke(1, force=True) in actions(observed, now=301.0)

    def test_a_responder_leaves_the_peer_the_grace_time_to_come_again(self):
        """Then it makes room; while the peer tries in vain too, for as long."""
        desired = make.desired(make.connection(initiator=Initiator.RESPONSE_ONLY))
        assert actions(charon(ike_sa(1, OLD)), desired, now=100.0) == ()
        for faults in ([], [fault(first=20.0, last=200.0)]):
            observed = charon(ike_sa(1, OLD), faults=faults)
            observed = dataclasses.replace(observed, outdated={101: 10.0})
            got = plan_tunnels(desired, observed, Timing(309.0, grace=300.0))
            assert got == ((), pytest.approx(1.0))
            assert (TerminateIke(1, force=True),) == actions(observed, desired, now=310.0)
        both = dataclasses.replace(charon(ike_sa(1, OLD), ike_sa(2)), outdated={101: 10.0})
        assert (TerminateIke(1, force=False),) == actions(both, desired, now=11.0)

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

    def test_a_responder_leaves_the_peer_the_grace_time_to_make_the_new_one(self):
        """Then it makes room: it would else keep the old policy without limit."""
        desired = make.desired(make.connection(initiator=Initiator.RESPONSE_ONLY))
        alone = ike_sa(children=(self.OLD_CHILD,))
        observed = dataclasses.replace(charon(alone), outdated={7: 10.0})
        got = plan_tunnels(desired, observed, Timing(309.0, grace=300.0))
        assert got == ((), pytest.approx(1.0))
        assert (TerminateChild(7),) == actions(observed, desired, now=310.0)
        elsewhere = ChildSa("000000000000-00000000", 8, SaState.INSTALLED)
        gone = charon(ike_sa(children=(*ike_sa().children, elsewhere)))
        assert (TerminateChild(8),) == actions(gone, desired), "nobody is to make that one"

    def test_it_ends_when_the_peer_refuses_for_longer_than_the_grace_time(self):
        """What the API has no more doesn't run for ever."""
        observed = charon(ike_sa(children=(self.OLD_CHILD,)), faults=[fault(last=300.0)])
        assert TerminateChild(7) not in actions(observed, now=299.0)
        assert TerminateChild(7) in actions(observed, now=301.0)


class TestResizedNetwork:
    """A network became larger or smaller: the old pair carries it under the same IKE SA."""

    SELECTOR = CONNECTION.selectors[0]

    def old(self, local=None, remote=None):
        """A child of another pair, with its networks as charon tells them."""
        here, there = (
            str(local or self.SELECTOR.local.supernet()),
            str(remote or self.SELECTOR.remote),
        )
        details = ChildDetails(here, there, None, None, None, *[0] * 5, None, None)
        return ChildSa("0123456789ab-00000000", 7, SaState.INSTALLED, details)

    @pytest.mark.parametrize("new", ["smaller", "larger", "both"])
    def test_it_stays_until_the_new_one_carries(self, new):
        local, remote = self.SELECTOR.local, self.SELECTOR.remote
        old = {
            "smaller": self.old(),
            "larger": self.old(next(local.subnets())),
            "both": self.old(local.supernet(), next(remote.subnets())),
        }[new]
        alone = ike_sa(children=(old,))
        assert (Initiate(CONFIG.name, CONFIG.children[0][0]),) == actions(charon(alone))
        both = ike_sa(children=(old, *ike_sa().children))
        assert (TerminateChild(7),) == actions(charon(both))

    def test_it_ends_when_the_peer_refuses_for_longer_than_the_grace_time(self):
        observed = charon(ike_sa(children=(self.old(),)), faults=[fault(last=300.0)])
        assert TerminateChild(7) not in actions(observed, now=299.0)
        assert TerminateChild(7) in actions(observed, now=301.0)

    def test_a_responder_leaves_the_peer_the_grace_time(self):
        desired = make.desired(make.connection(initiator=Initiator.RESPONSE_ONLY))
        observed = dataclasses.replace(charon(ike_sa(children=(self.old(),))), outdated={7: 10.0})
        assert not actions(observed, desired, now=309.0)
        assert (TerminateChild(7),) == actions(observed, desired, now=310.0)

    @pytest.mark.parametrize(
        "networks",
        [
            {"local": "172.30.0.0/24"},
            {"remote": "172.30.0.0/24"},
            {"local": "fd00:9::/64", "remote": "fd00:8::/64"},
            {"local": "10.1.0.0/24,10.9.0.0/24"},
            {"local": "10.1.0.1/32|tcp"},
        ],
        ids=["local", "remote", "family", "several", "protocol"],
    )
    def test_what_is_of_other_networks_ends_at_once(self, networks):
        """Whatever else is still awaited."""
        assert TerminateChild(7) in actions(charon(ike_sa(children=(self.old(**networks),))))

    def test_what_tells_no_networks_ends_at_once(self):
        child = dataclasses.replace(self.old(), details=None)
        assert TerminateChild(7) in actions(charon(ike_sa(children=(child,))))


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
            {"dpd": Dpd(DpdAction.RESTART, 0, 25)},
            # charon keeps the time itself
            {"dpd": DPD, "ike": make.ike_policy(version=IkeVersion.V1)},
        ],
        ids=["disabled", "never asked", "v1"],
    )
    def test_nobody_else_is_declared_dead(self, changes):
        """Whatever isn't answered, for however long."""
        connection = make.connection(**changes)
        _, observed = self.seen(connection, unanswered=0.0)
        assert actions(observed, make.desired(connection), now=10_000.0) == ()

    @pytest.mark.parametrize("action", [DpdAction.RESTART_BY_PEER, DpdAction.RESTART])
    def test_restart_by_peer_takes_along_what_goes_to_the_same_peer(self, action):
        """Whenever a look comes after it was found dead, and not what was set up since."""
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
        for now in (100.1, 110.0):
            assert (expected in actions(observed, desired, now=now)) == (
                action is DpdAction.RESTART_BY_PEER
            )
        young = dataclasses.replace(
            observed, ike_sas=(dataclasses.replace(observed.ike_sas[0], age=0),)
        )
        assert expected not in actions(young, desired, now=100.1)
        barely = dataclasses.replace(
            observed, ike_sas=(dataclasses.replace(observed.ike_sas[0], age=10),)
        )
        assert expected not in actions(barely, desired, now=110.0)


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


@pytest.mark.parametrize("code", [None, "peer_silent", "psk_or_id_mismatch"])
def test_an_attempt_that_the_peer_has_forgotten_is_ended(code):
    """A refusal that was lost is never said again; charon would ask for a minute and a half."""

    def planned(now, **changes):
        fields = {"state": SaState.CONNECTING, "children": (), "answered": True}
        sa = ike_sa(**(fields | {"unanswered": 10.0} | changes))
        known = [] if code is None else [fault(first=0.0, last=10.5, code=code)]
        return plan_tunnels(DESIRED, charon(sa, faults=known), Timing(now))[0]

    ends = (TerminateIke(1, force=True),)
    assert planned(21.9) == ()
    assert planned(22.0) == ends
    # Who never answered still can; and the peer's own attempt is the peer's to end.
    assert planned(60.0, answered=False) == ()
    assert planned(60.0, initiator=False) == ()
    assert planned(60.0, unanswered=None) == ()
    # IKEv1's renewal has its children by then: dpd's to judge.
    assert planned(60.0, children=ike_sa().children) == ()


def test_an_attempt_that_may_be_forgotten_is_looked_at_in_time():
    """Nothing but time tells."""
    sa = ike_sa(state=SaState.CONNECTING, children=(), answered=True, unanswered=10.0)
    assert plan_tunnels(DESIRED, charon(sa), Timing(13.0)) == ((), pytest.approx(9.0))


def test_children_carry_while_their_new_ike_sa_comes_up():
    """IKEv1's renewal moves them first; an SA that is gone carries nothing."""
    names = frozenset(LOADED.children)
    assert carrying(CONFIG.name, [ike_sa(state=SaState.CONNECTING)]) == names
    assert carrying(CONFIG.name, [ike_sa(state=SaState.DELETING)]) == frozenset()


@pytest.mark.parametrize(
    ("version", "code", "refused", "age", "ended"),
    [
        (IkeVersion.V1, "peer_refused", 20.0, 30, True),
        (IkeVersion.V1, "peer_refused", 20.0, 3, False),  # younger than what it was refused for
        (IkeVersion.V1, "peer_refused", 1.0, 30, False),
        (IkeVersion.V1, "esp_proposal_mismatch", 20.0, 30, False),
        (IkeVersion.V2, "peer_refused", 20.0, 30, False),
    ],
)
def test_an_ike_sa_in_which_all_is_refused_without_a_reason_makes_room_for_a_new_one(
    version, code, refused, age, ended
):
    """In IKEv1, where a race can leave each side with another one; it stayed so for an hour."""
    connection = make.connection(ike=make.ike_policy(version=version))
    config = ike_config(connection, DESIRED.naming_key)
    loaded = LoadedConfig(config.name, frozenset(n for n, _ in config.children))
    observed = charon(
        ike_sa(config=config.name, children=(), age=age),
        configs=[loaded],
        secrets=frozenset({config.connection.id}),
        faults=[Fault(config.name, code, "text", "hint", 100.0 - refused, 100.0)],
    )
    got = actions(observed, make.desired(connection), now=100.0)
    assert (TerminateIke(1, force=True) in got) is ended
