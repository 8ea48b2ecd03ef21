"""Fixtures on real charons."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from swanherd.core.ike import CharonOptions
from tests.functional.swan.stage import PLANE, Stage, make_stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    with make_stage() as made:
        yield made


@pytest.fixture
def started(stage: Stage) -> Stage:
    stage.start()
    return stage


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    """One pair of charons for a module: the responder of aggressive mode allows it."""
    with make_stage() as stage:
        stage.start(CharonOptions(PLANE, aggressive_psk=True))
        yield stage
