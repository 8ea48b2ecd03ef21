"""How much charon takes at once."""

from __future__ import annotations

import ipaddress

import pytest

from swanherd.core.failures import Permanent
from swanherd.core.model import SiteConnection, TrafficSelector
from tests.functional.swan.stage import WEST_NET, Stage, pair


def of_pairs(count: int) -> SiteConnection:
    local = ipaddress.ip_network(WEST_NET)
    remotes = (ipaddress.ip_network(f"10.{100 + n // 250}.{n % 250}.0/24") for n in range(count))
    west, _ = pair(selectors=tuple(TrafficSelector(local, remote) for remote in remotes))
    return west


def test_a_peer_may_have_many_pairs_of_networks(started: Stage) -> None:
    """As many as the limitations say."""
    started.load(started.west, of_pairs(1700))
    (config,) = started.swan.observe(started.west).configs
    assert len(config.children) == 1700


def test_a_peer_of_too_many_is_refused_and_keeps_no_other_waiting(started: Stage) -> None:
    """charon closes the connection, which looks as if it had died: that would stop the turn."""
    with pytest.raises(Permanent, match="4000 pairs of networks are too many"):
        started.load(started.west, of_pairs(4000))
    started.load(started.west, of_pairs(2))
    (config,) = started.swan.observe(started.west).configs
    assert len(config.children) == 2
