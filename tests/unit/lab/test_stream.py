"""What fping printed, read."""

import pytest

from lab import stream
from lab.stream import answers


def line(at, number):
    return f"[{at:.5f}] 10.2.0.9 : [{number}], 64 bytes, 3.18 ms (3.37 avg, 0% loss)\n"


def test_all_answers_are_read_in_their_order():
    """An hour has more than 16 bits of them, some are lost and some overtake others."""
    sent = [n for n in range(1, 400_000, 700) if n != 70_001]
    sent[100], sent[101] = sent[101], sent[100]
    text = "".join(line(at, number) for at, number in enumerate(sent))
    assert answers(text) == list(enumerate(sent))


@pytest.mark.parametrize(
    "said",
    [
        "[1.50000] 10.2.0.9 : [7], timed out (3.34 avg, 33% loss)\n",
        "ICMP Host Unreachable from 10.1.0.1 for ICMP Echo sent to 10.2.0.9\n",
        "10.2.0.9: error while sending ping: Network is unreachable\n",
    ],
)
def test_what_else_fping_says_is_no_answer(said):
    assert answers(said + line(2, 8)) == [(2.0, 8)]


def test_addresses_of_ipv6_are_read_too():
    said = "[1795946859.24150] 2001:db8::9 : [0], 64 bytes, 3.14 ms (3.20 avg, 0% loss)\n"
    assert answers(said) == [(1795946859.2415, 0)]


def printed(*numbers, sent):
    """Return what fping prints of answers to these, a hundredth of a second apart."""
    lines = [line(n / 100, n) for n in numbers]
    return "".join((*lines, "\n", f"10.2.0.9 : xmt/rcv/%loss = {sent}/{len(numbers)}/9%\n"))


def test_a_stream_that_is_never_answered_again_has_lost_all_that_it_sent_since():
    """And it was without an answer until its end."""
    seen = stream.outcome(printed(0, 1, sent=900), 9.0)
    assert (seen.sent, seen.lost) == (900, 898)
    assert seen.outage == pytest.approx(8.99)


def test_what_an_answer_may_still_come_to_is_not_lost():
    """The end came too early for it; what is missing before the last answer is lost."""
    seen = stream.outcome(printed(0, 2, 3, sent=80), 0.8)
    assert (seen.sent, seen.lost) == (4, 1)
    assert seen.outage == pytest.approx(0.02)


def test_a_stream_without_any_answer_has_lost_all():
    """Nothing is known of it but what it sent."""
    assert stream.outcome(printed(sent=50), 0.5).lost == 50
