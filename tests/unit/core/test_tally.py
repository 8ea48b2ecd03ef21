import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.ike import ChildSa, SaState
from swanherd.core.model import ChildDetails
from swanherd.core.naming import config_name, peering_id
from swanherd.core.tally import DEAD, Tally, Traffic
from swanherd.testing import builders as make

KEY = make.desired().naming_key
PEERING = peering_id(make.connection(), KEY)
CONFIG = config_name(PEERING, "0" * 16)
PAIR = "a" * 12


def child(spi, count, pair=PAIR):
    details = ChildDetails("", "", None, None, None, count, 2 * count, count, count, 0, None, None)
    return ChildSa(f"{pair}-00000000", spi, SaState.INSTALLED, details, frozenset({spi}))


def test_what_was_carried_before_the_first_look_does_not_count():
    """An agent's counters begin at zero, whatever the SAs have carried."""
    tally = Tally().listed([child(1, 1000)], whole=True)
    assert tally.traffic.get(PAIR, Traffic()) == Traffic()
    tally = tally.listed([child(1, 1007)], whole=False)
    assert tally.traffic[PAIR] == Traffic(7, 14, 7, 7)


def test_a_new_daemon_is_counted_from_its_first_byte():
    """After it was seen that none runs, all that comes is new."""
    tally = Tally().gone().listed([child(1, 5)], whole=True)
    assert tally.traffic[PAIR].bytes_in == 5


# Each SA: how much it has carried when it is looked at, and when it ends.
LIVES = st.lists(
    st.tuples(st.lists(st.integers(0, 100), max_size=4), st.integers(0, 100)), max_size=5
)


@given(LIVES)
def test_rekeys_neither_lose_nor_repeat_anything(lives):
    """The counters never fall, and in the end are what all SAs have carried together."""
    tally, total, before = Tally().gone(), 0, 0
    for spi, (steps, last) in enumerate(lives, start=1):
        count = 0
        for step in steps:
            count += step
            tally = tally.listed([child(spi, count)], whole=True)
            now = tally.traffic[PAIR].bytes_in
            assert now >= before
            before = now
        count += last
        tally = tally.child_rekeyed(child(spi, count))
        total += count
    assert tally.traffic.get(PAIR, Traffic()).bytes_in == total
    assert tally.child_rekeys.get(PAIR, 0) == len(lives)


def test_an_sa_that_is_told_twice_counts_once():
    """A look, an event and a look again at the same SA."""
    tally = Tally().gone()
    for _ in range(3):
        tally = tally.listed([child(1, 9)], whole=False)
    assert tally.traffic[PAIR].bytes_in == 9


def test_one_death_counts_once():
    """It is told by the agent's own timer and by charon's end of the IKE SA."""
    tally = Tally().failed(CONFIG, DEAD, 10.0).failed(CONFIG, DEAD, 10.2)
    assert tally.dead_peers == {PEERING: 1}
    assert tally.failed(CONFIG, DEAD, 60.0).dead_peers == {PEERING: 2}


def test_the_last_error_stays():
    """And a name that isn't ours is nobody's."""
    tally = Tally().failed(CONFIG, "psk_mismatch", 3.0).ike_rekeyed(CONFIG).retransmitted(CONFIG)
    assert tally.errors[PEERING].code == "psk_mismatch"
    assert (tally.ike_rekeys, tally.retransmissions) == ({PEERING: 1}, {PEERING: 1})
    assert tally.ike_rekeyed("mine").retransmitted("").failed("x", DEAD, 1.0) == tally


def test_what_is_not_loaded_is_forgotten():
    """So a charon that lives for years holds no more than it has connections."""
    tally = Tally().gone().child_rekeyed(child(1, 5)).failed(CONFIG, DEAD, 1.0)
    assert tally.keep_only([CONFIG], [f"{PAIR}-11111111"]) is tally
    bare = tally.keep_only([], [])
    assert dataclasses.replace(bare, known=None) == Tally()
