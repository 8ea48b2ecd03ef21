"""Laws of VICI's messages as they are on the wire; py-vici, which writes them, is the judge."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vici.exception import DeserializationException
from vici.protocol import FiniteStream, Message, Packet

from swanherd.swan.events import EventReader, is_chatter
from swanherd.swan.wire import read_message

NAMES = st.text(max_size=20).filter(lambda text: len(text.encode()) < 256)
VALUES = st.binary(max_size=300)
MESSAGES = st.recursive(
    st.dictionaries(NAMES, VALUES | st.lists(VALUES, max_size=4), max_size=4),
    lambda inner: st.dictionaries(NAMES, VALUES | inner, max_size=4),
    max_leaves=12,
)


@given(MESSAGES)
def test_what_is_written_is_read(message):
    """Sections, lists and values are what they were, in their order."""
    data = Message.serialize(message)
    read = read_message(data)
    assert read == message == Message.deserialize(FiniteStream(data))
    assert list(read) == list(message)


@given(MESSAGES, st.data())
def test_a_part_of_a_message_is_refused_or_is_whole_itself(message, data):
    """What was cut within an element is never taken for a shorter value."""
    whole = Message.serialize(message)
    part = whole[: data.draw(st.integers(0, max(0, len(whole) - 1)))]
    try:
        read = read_message(part)
    except DeserializationException:
        return
    assert Message.serialize(read) == part


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_refused(data):
    """Nothing else is raised, whatever comes."""
    try:
        read = read_message(data)
    except DeserializationException:
        return
    # A name that comes twice counts once, its last value; py-vici does so too.
    assert read == Message.deserialize(FiniteStream(data))


@pytest.mark.parametrize(
    "data",
    [
        b"\x02",  # the end of no section
        b"\x01\x01a",  # a section without an end
        b"\x01\x01a" * 5000,  # deeper than the interpreter's stack
        b"\x03\x01a\x00\x02b",  # a value that is too short
        b"\x03\x01a\x00",
        b"\x04\x01a\x05\x00\x01b",  # a list without an end
        b"\x04\x01a\x05\x00\x01b\x02",
        b"\x03\x01\xff\x00\x00",  # a name that is no text
        b"\x05\x00\x01b",  # an item of no list
        b"\x09\x01a",
    ],
)
def test_what_is_no_message_is_refused(data):
    """By the exception that a broken connection raises, so that it is opened anew."""
    with pytest.raises(DeserializationException):
        read_message(data)


def test_its_time_grows_with_the_message_and_no_faster():
    """A message of ten times the length takes about ten times as long, not a hundred times."""

    def seconds(count):
        data = Message.serialize({f"key{number}": b"x" * 30 for number in range(count)})
        took = []
        for _ in range(5):
            began = time.thread_time()
            read_message(data)
            took.append(time.thread_time() - began)
        return min(took)

    assert seconds(20_000) < 40 * seconds(2_000)


LINES = (
    "received packet: from 198.51.100.2[500] to 203.0.113.2[500] (336 bytes)",
    "error writing to socket: Network is unreachable",
    "parsed IKE_SA_INIT response 0 [ SA KE No ]",
    "no matching CHILD_SA config found for 10.3.0.0/24 === 10.1.0.0/24",
)


@pytest.mark.parametrize(
    ("group", "text", "passed_over"),
    [
        *(("ENC" if "[ " in line else "NET", line, False) for line in LINES),
        ("NET", "sending packet: from 198.51.100.2[500] to 203.0.113.2[500] (336 bytes)", True),
        ("ENC", "received fragment #1 of 2, waiting for complete IKE message", True),
        ("IKE", "IKE_SA x[1] state change: CONNECTING => ESTABLISHED", True),
    ],
)
def test_which_lines_are_read(group, text, passed_over):
    """Of four that each exchange has one isn't, and none that strongSwan only says to people."""
    message = {"group": group, "level": "1", "thread": "3", "msg": text}
    packet = Packet._named_request(Packet.EVENT, "log", Message.serialize(message))
    assert is_chatter(packet) is passed_over


@given(
    st.sampled_from(["log", "ike-updown", "child-updown"]),
    st.sampled_from(["NET", "ENC", "IKE", "CFG", "KNL", "JOB"]),
    st.sampled_from(LINES) | st.text(max_size=60),
)
def test_what_is_passed_over_unread_would_have_meant_nothing(kind, group, text):
    """A line whose text says that it is of another group is read at worst."""
    message = {"group": group, "level": "1", "thread": "3", "msg": text}
    packet = Packet._named_request(Packet.EVENT, kind, Message.serialize(message))
    told = EventReader().read(kind, read_message(packet[2 + len(kind) :])) if kind == "log" else ()
    assert not (told and is_chatter(packet))
    assert kind == "log" or not is_chatter(packet)
