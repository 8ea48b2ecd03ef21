"""What XFRM has is read again only as far as it differs."""

import ipaddress
import struct

from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.network import Direction, KernelPolicy, KernelSa
from swanherd.dataplane.transforms import Reading, parse_policy, parse_sa
from swanherd.testing import builders as make
from tests.unit.steps import calls_of

COUNT = 500
TOLD = st.lists(st.integers(0, 20).map(lambda n: str(n).encode()))


def value(told):
    """Several bytes may tell the same, as policies that differ in what isn't ours to see."""
    return int(told) // 2, "a value"


@given(st.lists(TOLD))
def test_any_history_reads_as_if_all_were_read_at_once(history):
    """Whatever came and went before."""
    reading = Reading({}, frozenset())
    for told in history:
        reading = reading.again(told, value)
        assert frozenset(map(value, told)) == reading.all


def test_what_is_told_again_is_the_same_object():
    """Also the whole set, in whatever order; so what was worked out for it still holds."""
    first = Reading({}, frozenset()).again([b"1", b"2", b"8"], value)
    assert first.again([b"8", b"1", b"2"], value).all is first.all
    later = first.again([b"8", b"10"], value)
    assert later.values[b"8"] is first.values[b"8"]


def sa(number):
    """Return what is told of an SA of ESP, as the kernel writes it (linux/xfrm.h)."""
    here, there = (ipaddress.ip_address("198.18.0.1") + n for n in (0, number))
    spi = struct.pack("!IBxxx", 7, 50)
    return here.packed.ljust(16, b"\0") + spi + there.packed.ljust(16, b"\0") + b"\x02\0"


def test_a_few_new_ones_take_the_same_steps_for_any_number():
    """One SA has come and one gone."""
    steps = []
    for count in (COUNT // 10, COUNT):
        before = [sa(n) for n in range(count)]
        reading = Reading({}, frozenset()).again(before, parse_sa)
        after = [*before[1:], sa(count)]
        steps.append(calls_of(lambda r=reading, told=after: r.again(told, parse_sa)))
    assert steps[0] == steps[1]


def test_what_is_told_of_an_sa_is_all_that_tells_it():
    """Both ends, the protocol and the SPI."""
    here, there = (ipaddress.ip_address(f"198.18.0.{n}") for n in (1, 4))
    assert KernelSa(there, here, 50, 7) == parse_sa(sa(3))


def test_a_policy_is_seen_from_here_whatever_its_direction():
    """What goes out has the local network as its source, what comes in has it as destination."""
    local, remote = (
        ipaddress.ip_address(a).packed.ljust(16, b"\0") for a in ("10.1.0.0", "10.2.0.0")
    )
    inward = local + remote + bytes(8) + struct.pack("=HBB", 2, 24, 16) + bytes(4)
    outward = remote + local + bytes(8) + struct.pack("=HBB", 2, 16, 24) + bytes(4)
    seen = {parse_policy(inward + b"\0"), parse_policy(outward + b"\1")}
    pair = make.selector("10.1.0.0/24", "10.2.0.0/16")
    assert seen == {KernelPolicy(pair, way) for way in (Direction.IN, Direction.OUT)}
