"""Which netlink messages make the agent look."""

import struct

import pytest

from swanherd.dataplane.removed import tells_of_removal

UP, ALL = 1, 0xFFFFFFFF


def message(kind, body=b""):
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body + bytes(-len(body) % 4)


def link(kind, flags, changed):
    return message(kind, struct.pack("=BxHiII", 0, 1, 7, flags, changed))


def route(kind, flags=0):
    return message(kind, struct.pack("=8BI", 2, 32, 0, 0, 254, 4, 0, 1, flags))


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def table(number, name=b"swanherd\0", *before):
    body = struct.pack("=BBH", 1, 0, 0) + b"".join(before) + attribute(1, name)
    return message(10 << 8 | number, body)


@pytest.mark.parametrize(
    "told",
    [
        link(17, 0, ALL),
        link(16, 0, UP),
        message(21),
        route(25),
        message(33),
        *(table(number) for number in (2, 5, 8, 11, 14, 20)),
        table(14, b"swanherd\0", attribute(2, b"other\0")),
    ],
)
def test_what_goes_is_told_wherever_it_stands(told):
    """Alone, after what came, and before it."""
    assert tells_of_removal(told)
    assert tells_of_removal(route(24) + told + table(12))


@pytest.mark.parametrize(
    "told",
    [
        link(16, UP, ALL),
        link(16, 0, ALL),  # new
        link(16, UP, UP),
        link(16, 0, 0x40),
        message(20),
        route(24),
        route(25, 0x200),  # the kernel's own cache
        message(32),
        *(table(number) for number in (0, 3, 6, 9, 12, 15)),
        table(2, b"nat\0"),
        table(14, b"swanherd-other\0"),
        message(10 << 8 | 2),
    ],
)
def test_what_comes_and_what_is_another_program_s_is_not(told):
    assert not tells_of_removal(told + told)


@pytest.mark.parametrize("size", range(52))
def test_what_is_cut_off_or_senseless_is_no_error(size):
    """A kernel doesn't send it."""
    whole = table(14) + message(33)
    tells_of_removal(whole[:size])
    assert not tells_of_removal(struct.pack("=IHHII", 3, 33, 0, 0, 0))
    assert not tells_of_removal(message(10 << 8 | 2, struct.pack("=BBHHH", 1, 0, 0, 2, 1)))
