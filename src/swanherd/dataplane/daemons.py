"""Daemons that may be another user's than the agent: what of them and their files needs root."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from swanherd.core.model import RouterId
from swanherd.dataplane.failing import failing
from swanherd.dataplane.privileged import processes

_NO_ROUTER = RouterId("-")
_CODE = "daemon_failed"


def namespace_of(pid: int) -> int | None:
    """Return the inode of the network namespace that a process is in; None if it can't be seen."""
    with failing(_NO_ROUTER, _CODE):
        found: int | None = processes.namespace_of(pid)
        return found


def send(pid: int, started: int, number: int) -> None:
    """Send a signal to the process that began at that tick since boot; none if it has ended."""
    with failing(_NO_ROUTER, _CODE):
        processes.send(pid, started, number)


def configured() -> Sequence[tuple[int, Path]]:
    """Return every process that was told by its environment where its configuration is."""
    with failing(_NO_ROUTER, _CODE):
        return [(pid, Path(path)) for pid, path in processes.configured()]


def take(directory: Path, ours: Collection[str]) -> None:
    """Make a directory and what in it has a name of `ours` this process' own, whoever's it was.

    Raises Temporary if somebody else uses it too.
    """
    with failing(_NO_ROUTER, _CODE):
        processes.take(str(directory), list(ours), os.geteuid(), os.getegid())
