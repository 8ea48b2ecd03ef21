"""A stage of routers in a network and a /run/netns that nobody else sees."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from bench.losses.stage import GRACE, Settings, Stage
from swanherd.core.model import DataPlane, IkeVersion

_NEW_NET, _NEW_MOUNT = 0x40000000, 0x00020000
_libc = ctypes.CDLL(None, use_errno=True)
PLANE = DataPlane(os.environ.get("SWANHERD_TEST_DATA_PLANE", "userspace"))


@pytest.fixture(scope="session")
def own_mounts() -> None:
    if os.getuid() != 0:
        pytest.skip("needs root")
    assert _libc.unshare(_NEW_MOUNT) == 0
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    pathlib.Path("/run/netns").mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)


@pytest.fixture(scope="module", params=IkeVersion)
def stage(own_mounts: None, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The routers of `bench.losses`, once for each IKE version; every test begins with all up."""
    # What a test module says of its routers.
    l3 = getattr(request.module, "L3", False)
    grace = getattr(request.module, "GRACE", GRACE)
    with own_network(), Stage(Settings(PLANE, request.param, grace=grace, l3=l3)) as made:
        yield made


def until(met: Callable[[], bool], limit: float) -> bool:
    """Wait until it is so, for so many seconds at most; tell whether it came."""
    end = time.monotonic() + limit
    while not (done := met()) and time.monotonic() < end:
        time.sleep(0.05)
    return done


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """Be in a network of one's own in the block."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    assert _libc.unshare(_NEW_NET) == 0
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        assert _libc.setns(home, _NEW_NET) == 0
        os.close(home)


@pytest.fixture(autouse=True)
def fresh(stage: Stage) -> None:
    stage.reset()
