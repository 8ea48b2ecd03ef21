"""strongSwan passes the contract that FakeCharon passes."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from swanherd.core.ike import ObservedCharon, StartCharon
from swanherd.core.model import Secret
from swanherd.core.peering import ike_config
from swanherd.testing import builders
from swanherd.testing.swan_contract import SwanContract
from tests.functional.swan.stage import KEY, OPTIONS, Stage, make_stage, mirror, pair


class RealStage:
    """West is the router; east is the peer, which has another key for the second connection."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.swan = stage.swan
        self.router = stage.west
        self.options = OPTIONS
        selectors = (
            builders.selector("10.91.0.0/24", "10.92.0.0/24"),
            builders.selector("10.91.0.0/24", "10.93.0.0/24"),
        )
        good, good_there = pair()
        good = dataclasses.replace(good, selectors=selectors)
        good_there = mirror(good)
        bad = dataclasses.replace(
            builders.connection("bad"),
            local_address=good.local_address,
            peer_address=good.peer_address,
            local_id="bad-west",
            peer_id="bad-east",
        )
        bad_there = mirror(bad, psk=Secret("another"))
        self.good, self.bad = ike_config(good, KEY), ike_config(bad, KEY)
        stage.swan.apply(stage.east, StartCharon(OPTIONS))
        stage.load(stage.east, good_there)
        stage.load(stage.east, bad_there)

    def wait(self, met: Callable[[ObservedCharon], bool]) -> ObservedCharon:
        return self._stage.wait(self.router, met)

    def kill(self) -> None:
        os.kill(self._stage.pid(self.router), signal.SIGKILL)


class TestStrongSwan(SwanContract):
    """The contract, on strongSwan."""

    @pytest.fixture
    def stage(self) -> Iterator[RealStage]:
        with make_stage() as made:
            yield RealStage(made)
