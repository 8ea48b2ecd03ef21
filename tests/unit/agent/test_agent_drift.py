"""Routers from which somebody took something are looked at."""

import pytest

from swanherd.agent.drift import Drift
from swanherd.agent.life import Life


@pytest.fixture
def life():
    life = Life()
    life.end()  # nobody waits
    return life


def test_what_is_known_is_watched_and_what_lost_something_is_looked_at(life):
    asked, queued = [], []

    def wait(keys, seconds):
        asked.append((keys, seconds))
        return {"a", "b"}

    Drift(lambda: {"a": 1, "b": 2, "c": 3}, queued.append, life, wait).follow()
    assert sorted(queued) == ["a", "b"]
    assert asked == [(["a", "b", "c"], 1.0)]


def test_without_routers_nothing_is_asked(life):
    asked, queued = [], []
    Drift(dict, queued.append, life, lambda *what: asked.append(what) or {"a"}).follow()
    assert queued == asked == []
