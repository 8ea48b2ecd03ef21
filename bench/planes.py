"""Who encrypts in a benchmark, and on what it ran: the same options and lines for each of them."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swanherd.core.model import DataPlane
from swanherd.dataplane import esp


def add_options(
    parser: argparse.ArgumentParser, has_esp: Callable[[], bool] = esp.kernel_has_esp
) -> None:
    """Let a command be told who encrypts, and where its figures go."""
    found = DataPlane.KERNEL if has_esp() else DataPlane.USERSPACE
    parser.add_argument("--plane", default=str(found), choices=[str(p) for p in DataPlane])
    parser.add_argument(
        "--out", default="", help="a file for the figures; in the kernel lab not below /tmp"
    )


class Machine:
    """What figures belong to; in the kernel lab that kernel, and the load of its own."""

    def __init__(self) -> None:
        self._before = os.getloadavg()[0]

    def plain(self) -> dict[str, Any]:
        """Return it for a file, with the load before and now."""
        return {
            "machine": f"{platform.system()} {platform.release().partition('-')[0]}",
            "load": [self._before, os.getloadavg()[0]],
        }


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write figures into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
