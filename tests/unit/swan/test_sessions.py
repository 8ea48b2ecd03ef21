"""The commands' session with one charon."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from swanherd.core.failures import Temporary
from swanherd.core.model import RouterId
from swanherd.swan.sessions import DEAF, Commands


def test_who_still_has_commands_that_ended_opens_no_other_connection(tmp_path: Path) -> None:
    """A daemon that is stopped may listen for a moment; the connection would stay open."""
    path = tmp_path / "charon.vici"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.setblocking(False)
        commands = Commands(RouterId("r"), path)
        commands.end()
        with pytest.raises(Temporary) as caught:
            commands.request("version")
        assert caught.value.reason.code == DEAF
        with pytest.raises(BlockingIOError):
            listening.accept()
