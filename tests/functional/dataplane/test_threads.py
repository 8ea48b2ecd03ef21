"""Where no thread can be had: a container or a unit may have so many processes and threads."""

from __future__ import annotations

import threading

import pytest

from swanherd.core.failures import Temporary
from swanherd.core.network import TRANSIT_DEVICE
from swanherd.dataplane import guards, network
from swanherd.testing.node_contract import ROUTER, build
from tests.functional.dataplane.stand import RealHands


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, node: object) -> None:
    """Of a namespace that is there; from now on no thread starts."""
    build(node, RealHands(guards.choose()))

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_what_needs_a_namespace_fails_for_now(full: None) -> None:
    """As whatever else the kernel refuses: else threads of the agent would break, and it end."""
    with pytest.raises(Temporary, match="no thread can be had"):
        network.observe(ROUTER, {}, guards.choose())
    with pytest.raises(Temporary, match="no thread can be had"):
        network.announce(ROUTER, TRANSIT_DEVICE, "02:00:00:00:00:01", ())
