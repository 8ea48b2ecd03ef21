"""These tests need a kernel with ESP to themselves: `make test-kernel` gives them one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from tests.kernel.stage import Stage, make_stage


@pytest.fixture(scope="session", autouse=True)
def own_kernel() -> None:
    if os.uname().nodename != "kernel" or socket.gethostname() != "kernel":
        pytest.fail("run by `make test-kernel`: the tests take a kernel's network for themselves")


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with make_stage(tmp_path_factory.mktemp("routers")) as made:
        yield made
