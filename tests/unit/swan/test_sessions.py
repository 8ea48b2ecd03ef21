"""The commands' session with one charon."""

from __future__ import annotations

import socket
import threading
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


def answer(sock: socket.socket, asked: list[bytes]) -> None:
    """Speak for charon: confirm what is registered for, answer a list with one event."""
    while head := sock.recv(4, socket.MSG_WAITALL):
        packet = sock.recv(int.from_bytes(head), socket.MSG_WAITALL)
        asked.append(packet[2:])
        replies = {3: [b"\x05"], 4: [b"\x05"], 0: [b"\x07\x07list-sa", b"\x01"]}
        for reply in replies[packet[0]]:
            sock.sendall(len(reply).to_bytes(4) + reply)


def test_a_list_asks_for_its_events_once(tmp_path: Path) -> None:
    """They are told only to whom has commanded the list; one edit takes eight such lists."""
    path, asked = tmp_path / "charon.vici", list[bytes]()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        commands = Commands(RouterId("r"), path)

        def serve() -> None:
            with listening.accept()[0] as sock:
                answer(sock, asked)

        thread = threading.Thread(target=serve)
        thread.start()
        for _ in range(3):
            assert commands.stream("list-sas", "list-sa") == [{}]
        commands.end()
        thread.join()
    assert asked == [b"list-sa", *[b"list-sas"] * 3]
