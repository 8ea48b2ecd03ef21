"""What one charon tells is an event or can't be read; the thread hears all the others as well."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vici.exception import DeserializationException

from swanherd.swan import events
from swanherd.swan.events import EVENT_TYPES, EventReader

NAMES = st.sampled_from(
    ("up", "old", "new", "child-sas", "name", "uniqueid", "state", "spi-in", "established", "c-1")
)
VALUES = st.sampled_from((b"", b"7", b"yes", b"\xff", b"INSTALLED")) | st.binary(max_size=4)
ITEMS = VALUES | st.lists(VALUES, max_size=2)
SECTIONS = st.recursive(
    st.dictionaries(NAMES, ITEMS, max_size=5),
    lambda inner: st.dictionaries(NAMES, ITEMS | inner, max_size=5),
    max_leaves=8,
)


@given(st.sampled_from(EVENT_TYPES), SECTIONS)
def test_whatever_an_event_has_in_it_it_is_read_or_refused(kind, message):
    """Any other error would end the thread that hears all charons of the node."""
    with contextlib.suppress(DeserializationException):
        EventReader().read(kind, message)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("ike-updown", {"c-1": {"state": b"ESTABLISHED"}}),
        ("ike-updown", {"c-1": {"uniqueid": b"x", "state": b"ESTABLISHED"}}),
        ("ike-rekey", {"c-1": {"old": b"1", "new": b"2"}}),
        ("child-rekey", {"c-1": {"child-sas": {"c": b""}}}),
        ("log", {"group": b"NET", "msg": [b"received packet"]}),
        ("log", {"group": b"ENC", "msg": b"parsed A request 0 [ ]", "ikesa-uniqueid": b""}),
    ],
)
def test_what_is_no_such_event_is_refused(kind, message):
    with pytest.raises(DeserializationException):
        EventReader().read(kind, message)


@given(st.binary(min_size=events.RECORD_SIZE, max_size=events.RECORD_SIZE))
def test_any_record_is_a_notice(record):
    """Whatever bytes are in its texts."""
    assert events.parse_record(record).type == int.from_bytes(record[:4], "big")
