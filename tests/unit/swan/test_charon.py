"""What a charon's life says when the node doesn't let it begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from swanherd.core.failures import Temporary
from swanherd.core.ike import CharonOptions, StopCharon
from swanherd.core.model import DataPlane, RouterId
from swanherd.dataplane import daemons
from swanherd.swan.adapter import StrongSwan
from swanherd.swan.charon import CharonLife, Surroundings
from swanherd.swan.settings import Retransmission

ROUTER = RouterId("6d0ba1c8-92de-4af4-a34f-20a1bb5c8f2d")


def test_a_state_directory_that_cannot_be_written_is_a_cause(tmp_path: Path) -> None:
    """It is told and tried again, not a broken turn that nobody hears of."""
    (tmp_path / "file").touch()
    surroundings = Surroundings(
        tmp_path / "file" / "routers", lambda *_: 0, lambda _: None, daemons, lambda: 0.0
    )
    life = CharonLife(surroundings, Retransmission())
    with pytest.raises(Temporary) as raised:
        life.start(ROUTER, CharonOptions(DataPlane.USERSPACE, aggressive_psk=False), lambda: None)
    assert raised.value.reason.code == "state_unwritable"


def test_of_a_router_without_a_daemon_nothing_is_kept(tmp_path: Path) -> None:
    """A node may only steer for a router, or fail at it: nobody says when that is over."""
    surroundings = Surroundings(tmp_path, lambda *_: 0, lambda _: None, daemons, lambda: 0.0)
    swan = StrongSwan(surroundings, lambda _: None)
    try:
        assert not swan.observe(ROUTER).running
        swan.apply(ROUTER, StopCharon())
        assert not swan.observe(ROUTER).running
        assert not swan._routers
    finally:
        swan.close()
