import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd_client import peers
from swanherd_dashboard.core import live, rows, words

ROW = {
    "id": "11111111-2222-3333-4444-555555555555",
    "status": "DOWN",
    "status_code": "peer_silent",
    "status_reason": "The peer doesn't answer.",
    "status_since": "2026-11-26T20:00:00.5Z",
    "psk": "a key",
}


def test_a_key_that_comes_in_all_the_same_is_not_kept():
    """No value of the dashboard holds a pre-shared key."""
    assert "a key" not in repr(rows.connection(ROW))


def test_a_connection_of_a_plain_neutron_vpnaas_is_understood():
    """What only Swanherd tells may be missing."""
    found = rows.connection({"id": "1", "status": "ACTIVE"})
    assert (found.details, found.events, found.applying) == (None, (), False)
    assert found.label == "(1)"
    assert live.traffic(found) is None


def test_a_row_of_the_list_says_why_and_since_when():
    """Status in words, its colour, cause and time."""
    told = live.brief(rows.connection(ROW), str.upper)
    assert told["status"] == "DOWN"
    assert told["tone"] == "down"
    assert told["reason"] == "The peer doesn't answer."
    assert told["since"] == "2026-11-26T20:00:00.500000+00:00"


def test_a_peer_from_anywhere_is_called_by_its_identity():
    """0.0.0.0 says nothing to anybody."""
    assert rows.connection(ROW | {"peer_address": "192.0.2.1", "peer_id": "x"}).peer == "192.0.2.1"
    assert rows.connection(ROW | {"peer_address": "0.0.0.0", "peer_id": "x"}).peer == "x"


def test_a_revision_behind_the_wanted_one_means_that_a_change_is_being_applied():
    """Their distance doesn't matter."""
    assert rows.connection(ROW | {"revision_wanted": 9, "revision_applied": 3}).applying
    assert not rows.connection(ROW | {"revision_wanted": 9, "revision_applied": 9}).applying
    # Another connection of the router was changed since, and that is applied too.
    assert not rows.connection(ROW | {"revision_wanted": 9, "revision_applied": 10}).applying


def test_the_age_of_a_look_is_never_negative():
    """A clock that goes wrong makes no nonsense."""
    details = {"at": "2026-11-26T20:00:00Z", "ike": {"version": "v2", "encryption": "x"}}
    found = rows.connection(ROW | {"details": details})
    at = datetime.datetime(2026, 11, 26, 20, 1, tzinfo=datetime.UTC)
    assert live.ages(found, at) == 60
    assert live.ages(found, at - datetime.timedelta(hours=1)) == 0


def test_the_chart_is_told_what_each_pair_of_networks_has_counted():
    """Bytes in and out, packets in and out; what a rekey left beside the new one counts too."""
    children = [
        {"local": "10.1.0.0/24", "remote": remote, "encryption": "x", **dict.fromkeys(counters, n)}
        for n, remote in ((1, "10.8.0.0/24"), (20, "10.9.0.0/24"), (300, "10.9.0.0/24"))
        for counters in [("bytes_in", "bytes_out", "packets_in", "packets_out")]
    ]
    ike = {"version": "v2", "encryption": "x"}
    details = {"at": "1970-01-01T00:01:00Z", "ike": ike, "children": children}
    told = live.traffic(rows.connection(ROW | {"details": details}))
    assert told == {
        "at": 60,
        "pairs": {"10.1.0.0/24 10.8.0.0/24": (1,) * 4, "10.1.0.0/24 10.9.0.0/24": (320,) * 4},
    }


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (12_000_000, "12 MB")]
)
def test_sizes(count, text):
    """As people read them."""
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (-5, "0 s"),
        (42, "42 s"),
        (302, "5 min 2 s"),
        (11400, "3 h 10 min"),
        (86400, "1 d"),
    ],
)
def test_durations(seconds, text):
    """In at most two units."""
    assert words.duration(seconds) == text


def test_an_unknown_status_says_itself():
    """A status of a later API isn't hidden."""
    assert (words.status_word("ODD"), words.tone("ODD")) == ("ODD", "unknown")


@given(st.lists(st.integers()), st.integers(), st.integers(min_value=1, max_value=7))
def test_pages_are_all_of_it_in_order(items, number, size):
    """The pages together are the list, and any number leads to a page."""
    _, pages = rows.page(items, number, size)
    joined = [each for n in range(pages) for each in rows.page(items, n + 1, size)[0]]
    assert joined == items
    assert rows.page(items, number, size)[0] or not items


def test_how_far_a_configuration_is_proven_is_said_in_each_language():
    """Every phrase of the client's is marked for translation."""
    assert {device.proof for device in peers.DEVICES.values()} <= set(words.PROOFS)
