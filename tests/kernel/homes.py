"""Routers' own namespaces in a kernel with ESP, beside the stage of the other tests."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from swanherd.core.model import DataPlane
from swanherd.dataplane import home_guards
from swanherd.dataplane.privileged import inside
from tests.functional.l3.stand import Stand, run


@contextlib.contextmanager
def own_namespaces() -> Iterator[Stand]:
    """Give a stand on kernel ESP; all namespaces that were made meanwhile go with it."""
    before = set(os.listdir(inside.DIRECTORY))
    stand = Stand(Path(tempfile.mkdtemp(prefix="swan-")), home_guards.choose(), DataPlane.KERNEL)
    try:
        yield stand
    finally:
        stand.close()
        for name in set(os.listdir(inside.DIRECTORY)) - before:
            for pid in run("ip", "netns", "pids", name).split():
                os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "del", name)
