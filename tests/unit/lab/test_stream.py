"""What ping printed, read."""

import pytest

from lab import stream
from lab.stream import answers


def line(at, number):
    return f"[{at:.6f}] 64 bytes from 10.2.0.9: icmp_seq={number % 65536} ttl=62 time=1.1 ms\n"


def test_numbers_go_on_past_sixteen_bits():
    """ping prints 16 bits of them; an hour has more, some are lost and some overtake others."""
    sent = [n for n in range(1, 200_000, 700) if n != 70_001]
    sent[100], sent[101] = sent[101], sent[100]
    text = "PING 10.2.0.9\n" + "".join(line(at, number) for at, number in enumerate(sent))
    assert answers(text) == list(enumerate(sent))


def test_what_else_ping_says_is_no_answer():
    """Errors on the way have a sequence number too."""
    said = "[1.5] From 10.1.0.1 icmp_seq=7 Destination Host Unreachable\n"
    assert answers(said + line(2, 8)) == [(2.0, 8)]


def printed(*numbers, sent):
    """Return what ping prints of answers to these, a hundredth of a second apart."""
    lines = [
        f"[{n / 100:.2f}] 64 bytes from 10.2.0.5: icmp_seq={n} ttl=62 time=1 ms" for n in numbers
    ]
    return "\n".join((*lines, "", f"{sent} packets transmitted, {len(numbers)} received", ""))


def test_a_stream_that_is_never_answered_again_has_lost_all_that_it_sent_since():
    """And it was without an answer until its end."""
    seen = stream.outcome(printed(1, 2, sent=900), 9.0)
    assert (seen.sent, seen.lost) == (900, 898)
    assert seen.outage == pytest.approx(8.98)


def test_what_an_answer_may_still_come_to_is_not_lost():
    """The end came too early for it; what is missing before the last answer is lost."""
    seen = stream.outcome(printed(1, 3, 4, sent=80), 0.8)
    assert (seen.sent, seen.lost) == (4, 1)
    assert seen.outage == pytest.approx(0.02)


def test_a_stream_without_any_answer_has_lost_all():
    """Nothing is known of it but what it sent."""
    assert stream.outcome(printed(sent=50), 0.5).lost == 50
