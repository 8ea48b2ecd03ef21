"""Run Python of this process inside the network of a box."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from lab.boxes import Box

T = TypeVar("T")
CLONE_NEWNET = 0x40000000  # linux/sched.h


def enter(box: Box) -> None:
    """Move the calling thread, and threads that it starts later, into the box's network."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/proc/{box.init().pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, f"can't enter the network of {box.name}: {os.strerror(number)}")
    finally:
        os.close(descriptor)


def within(box: Box, work: Callable[[], T]) -> T:
    """Do work in a thread of its own that lives in the box's network, and return its result."""
    results: list[T] = []
    problems: list[BaseException] = []

    def body() -> None:
        try:
            enter(box)
            results.append(work())
        except BaseException as problem:  # noqa: BLE001 - raised again in the calling thread
            problems.append(problem)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
    return results[0]
