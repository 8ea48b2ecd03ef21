"""Routers' own namespaces in a network and a /run/netns of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from swanherd.dataplane import homes
from tests.functional.dataplane.conftest import own_mounts, own_network  # noqa: F401
from tests.functional.l3.stand import Stand


@pytest.fixture
def stand(own_network: None) -> Iterator[Stand]:  # noqa: F811
    """Two sites whose gateways are Neutron routers, and an internet between them."""
    # pytest's own directories make too long a path for unix sockets.
    state = Path(tempfile.mkdtemp(prefix="swan-"))
    made = Stand(state)
    try:
        yield made
    finally:
        made.close()
        homes.wait({}, 0.0)  # nothing is watched any more: its sockets are closed
        for name in os.listdir("/run/netns"):
            found = subprocess.run(
                ("ip", "netns", "pids", name), capture_output=True, text=True, check=True
            )
            for pid in map(int, found.stdout.split()):
                os.kill(pid, signal.SIGKILL)
        _end_daemons(state)
        shutil.rmtree(state, ignore_errors=True)


def _end_daemons(state: Path) -> None:
    """End those whose namespace a test has removed: no name leads to them."""
    for record in state.rglob("charon.json"):
        pid = int(json.loads(record.read_text())["pid"])
        with contextlib.suppress(OSError):
            if str(state) in Path(f"/proc/{pid}/environ").read_text():
                os.kill(pid, signal.SIGKILL)
