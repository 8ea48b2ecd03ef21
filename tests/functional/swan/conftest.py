"""Fixtures on real charons."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functional.swan.stage import Stage, make_stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    with make_stage() as made:
        yield made


@pytest.fixture
def started(stage: Stage) -> Stage:
    stage.start()
    return stage
