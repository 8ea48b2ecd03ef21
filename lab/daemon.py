"""What a charon itself says by VICI, whoever drives it; `folder` has its socket `charon.vici`."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import Any

import vici


@contextlib.contextmanager
def session(folder: pathlib.Path, name: str = "charon.vici") -> Iterator[Any]:
    """Lead to a charon; OSError if there is none."""
    opened = os.open(folder, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(10)
            door.connect(f"/proc/self/fd/{opened}/{name}")  # the whole path is too long
            yield vici.Session(door)
    finally:
        os.close(opened)


def ike_sas(folder: pathlib.Path, name: str = "charon.vici") -> list[dict[str, Any]]:
    """Return the live IKE SAs, each with the `name` of its configuration; none without charon."""
    return _listed(folder, name, "list_sas")


def configurations(folder: pathlib.Path, name: str = "charon.vici") -> list[dict[str, Any]]:
    """Return the loaded connections, each with its `name`; none without charon."""
    return _listed(folder, name, "list_conns")


def _listed(folder: pathlib.Path, name: str, command: str) -> list[dict[str, Any]]:
    try:
        with session(folder, name) as asked:
            rows = [row for answer in getattr(asked, command)() for row in answer.items()]
    except OSError:
        return []
    return [{"name": key, **_text(value)} for key, value in rows]


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list):
        return [_text(v) for v in value]
    if isinstance(value, dict):
        return {k: _text(v) for k, v in value.items()}
    return value
