"""What ping printed, read."""

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
