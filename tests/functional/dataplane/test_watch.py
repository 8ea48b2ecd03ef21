"""The end of a process on which it depends who serves a router."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from swanherd.core.home import key_of
from swanherd.core.model import HomeNamespace, RouterId
from swanherd.dataplane import homes

# There is no such namespace: that of a router that was taken from the node has gone too.
KEY = key_of(RouterId("5c1d2e3f-0000-4000-8000-000000000000"), HomeNamespace.ROUTER)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as started:
        yield started
        started.kill()


@pytest.mark.parametrize("reaped", [True, False])
def test_the_end_of_a_process_is_told_once(process: subprocess.Popen[bytes], reaped: bool) -> None:
    """Who asks again at once, and hasn't taken note, would keep a processor busy."""
    assert not homes.wait({KEY: [process.pid]}, 0.0)
    process.kill()
    if reaped:
        process.wait()
    assert homes.wait({KEY: [process.pid]}, 5.0).keys() == {KEY}
    assert not homes.wait({KEY: [process.pid]}, 0.0)
    homes.wait({}, 0.0)


def test_another_process_is_another_end(process: subprocess.Popen[bytes]) -> None:
    """That of one that was told of before it began is told when it is asked for anew."""
    process.kill()
    process.wait()
    assert homes.wait({KEY: [process.pid]}, 0.0).keys() == {KEY}
    with subprocess.Popen(["sleep", "60"]) as other:
        assert not homes.wait({KEY: [other.pid]}, 0.0)
        other.kill()
        assert homes.wait({KEY: [other.pid]}, 5.0).keys() == {KEY}
    assert homes.wait({KEY: [process.pid]}, 0.0).keys() == {KEY}
    homes.wait({}, 0.0)
