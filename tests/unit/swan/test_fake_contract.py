"""FakeCharon passes the contract that strongSwan passes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swanherd.core.ike import CharonOptions, IkeConfig, ObservedCharon
from swanherd.core.model import DataPlane, Secret
from swanherd.core.peering import ike_config
from swanherd.testing import builders
from swanherd.testing.charon import Answer, FakeCharon
from swanherd.testing.swan_contract import SwanContract

KEY = Secret("k" * 64)


class FakeStage:
    """A FakeCharon whose peer refuses the second connection."""

    def __init__(self) -> None:
        self.router = builders.ROUTER
        self.options = CharonOptions(DataPlane.USERSPACE)
        selectors = (
            builders.selector("10.1.0.0/24", "10.2.0.0/24"),
            builders.selector("10.1.0.0/24", "10.3.0.0/24"),
        )
        self.good = ike_config(builders.connection("good", selectors=selectors), KEY)
        self.bad = ike_config(builders.connection("bad", peer_id="bad.example.org"), KEY)
        self.swan = FakeCharon()
        self.swan.answer = self._answer

    def wait(self, met: Callable[[ObservedCharon], bool]) -> ObservedCharon:
        self.swan.settle()
        observed = self.swan.observe(self.router)
        assert met(observed)
        return observed

    def kill(self) -> None:
        self.swan.kill(self.router)

    def _answer(self, _: str, config: IkeConfig, __: str) -> Answer:
        return Answer.REFUSE if config.name == self.bad.name else Answer.ACCEPT


class TestFakeCharon(SwanContract):
    """The contract, on the fake."""

    @pytest.fixture
    def stage(self) -> FakeStage:
        return FakeStage()
