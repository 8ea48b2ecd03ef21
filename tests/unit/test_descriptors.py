"""What stays open leaves the low numbers to those who need them."""

import os
import socket
from pathlib import Path

import pytest

from swanherd import descriptors
from swanherd.descriptors import SELECTABLE


@pytest.fixture
def pipe():
    """Two ends; whoever closed one before has closed it."""
    ends = os.pipe()
    yield ends
    for end in ends:
        if os.path.exists(f"/proc/self/fd/{end}"):
            os.close(end)


def test_what_is_moved_has_a_number_that_select_does_not_take_and_the_old_one_is_free(pipe):
    reading, writing = pipe
    moved = descriptors.moved(writing)
    try:
        assert moved >= SELECTABLE
        assert not Path(f"/proc/self/fd/{writing}").exists()
        os.write(moved, b"whole")
        assert os.read(reading, 5) == b"whole"
        assert not os.get_inheritable(moved)
    finally:
        os.close(moved)


def test_what_cannot_be_moved_keeps_its_number(pipe, monkeypatch):
    def refuse(*_):
        raise OSError("no such number")

    monkeypatch.setattr(descriptors.fcntl, "fcntl", refuse)
    assert descriptors.moved(pipe[0]) == pipe[0]
    assert Path(f"/proc/self/fd/{pipe[0]}").exists()


@pytest.mark.parametrize("timeout", [None, 0.0, 1.5])
@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET6, socket.AF_NETLINK])
def test_a_moved_socket_is_the_same_one(family, timeout):
    kind = socket.SOCK_RAW if family == socket.AF_NETLINK else socket.SOCK_DGRAM
    first = socket.socket(family, kind | socket.SOCK_CLOEXEC)
    first.settimeout(timeout)
    before = os.fstat(first.fileno())
    with descriptors.stays(first) as same:
        assert os.fstat(same.fileno()) == before
        assert (same.family, same.type, same.proto) == (family, kind, first.proto)
        assert same.gettimeout() == timeout
        assert same.fileno() >= SELECTABLE
    assert first.fileno() == -1
