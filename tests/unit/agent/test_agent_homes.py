"""What a router's own namespace should be, from the server's word and the node's."""

import dataclasses

import pytest

from swanherd.agent.homes import HomeSource
from swanherd.core.home import key_of
from swanherd.core.model import HomeNamespace, ScopeMark
from swanherd.testing import builders as make

HOME = make.home(HomeNamespace.CENTRAL, distributed=True)
DESIRED = make.desired(make.connection(), transit=None, home=HOME)
KEYS = [key_of(DESIRED.id, kind) for kind in HomeNamespace]


class Server:
    """Says what it is told to say."""

    def __init__(self):
        self.desired = DESIRED

    def get_router(self, _):
        return self.desired

    recall = get_router


@pytest.fixture
def marks():
    return []


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def source(server, marks):
    return HomeSource(server, lambda _: tuple(marks), lambda: 0.0)


@pytest.mark.parametrize("key", KEYS)
def test_it_is_the_same_object_while_nothing_changes(source, server, marks, key):
    """What was worked out for a thousand connections is worked out once, not at each look."""
    first = source.get_router(key)
    assert source.get_router(key) is first
    marks.append(ScopeMark(DESIRED.connections[0].selectors[0].local, 7))
    second = source.get_router(key)
    assert second is not first
    assert second.home.marks == tuple(marks)
    assert source.get_router(key) is second
    # Of a newer word the server may wait to hear, though it is equal.
    server.desired = dataclasses.replace(DESIRED)
    assert source.get_router(key) is not second


@pytest.mark.parametrize("key", KEYS)
def test_nothing_is_kept_of_a_router_that_is_gone(source, server, key):
    """Routers come and go for months."""
    source.get_router(key)
    server.desired = None
    assert source.get_router(key) is None
    assert not any(vars(source)[name] for name in ("_sites", "_roles", "_redundant", "_elsewhere"))
