"""A clock that jumps, for the services of a box: they are started with a small library.

libfaketime can't be used: with it every sleep of Python 3.11 fails (clock_nanosleep, EINVAL).
"""

from __future__ import annotations

import dataclasses
import pathlib
import struct
import subprocess

from lab.boxes import Box
from lab.layout import ROOT
from lab.services import Service

SOURCE = ROOT / "lab" / "false_clock.c"
LIBRARY = ROOT / "build" / "false_clock.so"
FILE = "LAB_FALSE_CLOCK"  # the environment variable that names the file
_SECONDS = struct.Struct("=q")


def jump(box: Box, seconds: int) -> None:
    """Let the wrapped services' clocks be so many seconds ahead of the machine's, from now on."""
    file = _file(box)
    # In place, since the services have it mapped.
    with file.open("r+b" if file.exists() else "w+b") as opened:
        opened.write(_SECONDS.pack(seconds))


def wrapped(box: Box, service: Service) -> Service:
    """Return the service, with a clock that can jump."""
    if not LIBRARY.exists() or LIBRARY.stat().st_mtime < SOURCE.stat().st_mtime:
        LIBRARY.parent.mkdir(exist_ok=True)
        argv = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]
        subprocess.run([*argv, str(LIBRARY), str(SOURCE)], check=True, timeout=60)
    env = {**service.env, "LD_PRELOAD": str(LIBRARY), FILE: str(_file(box))}
    return dataclasses.replace(service, env=env)


def _file(box: Box) -> pathlib.Path:
    return box.directory / "false-clock"
