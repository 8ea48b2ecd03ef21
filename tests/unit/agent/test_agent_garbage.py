"""The collector passes over what was there, and still finds what was in a cycle."""

import gc
import weakref

import pytest

from swanherd.agent import garbage


class Node:
    """What can be in a cycle."""

    def __init__(self):
        self.own = self


@pytest.fixture
def look():
    look = garbage.collector()
    yield look
    gc.unfreeze()


def test_what_was_looked_at_is_passed_over_by_the_interpreters_own_collections(look):
    """And what has come since isn't."""
    old = Node()
    look()
    new = Node()
    seen = set(map(id, gc.get_objects()))
    assert id(old) not in seen
    assert id(new) in seen


def test_a_cycle_that_nothing_uses_is_found_at_last(look):
    """Also one that was in use when it was looked at first."""
    node = Node()
    gone = weakref.ref(node)
    look()
    del node
    look()
    assert gone() is not None
    for _ in range(garbage.ALL):
        look()
    assert gone() is None
