"""A steady stream of pings to many hosts, and how many of them came back."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Sequence

from lab.netns import CLONE_NEWNET
from swanherd.dataplane.frames import checksum

_ECHO, _REPLY = 8, 0


class Pings:
    """Pings the hosts one after the other, so many a second, from a network namespace."""

    def __init__(self, namespace: str, hosts: Sequence[str], rate: float) -> None:
        self._hosts = hosts
        self._pause = 1 / rate
        self._id = int.from_bytes(os.urandom(2), "big")
        self._stopping = threading.Event()
        self.sent = 0
        self.answered: set[int] = set()
        self._problems: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(namespace,), name="pings")
        self._thread.start()

    def stop(self) -> int:
        """Stop, wait a moment for what is under way, and return how many were lost."""
        self._stopping.set()
        self._thread.join()
        if self._problems:
            raise self._problems[0]
        return self.sent - len(self.answered)

    def missing(self) -> list[str]:
        """Return the hosts of which an answer is missing."""
        gone = set(range(self.sent)) - self.answered
        return sorted({self._hosts[n % len(self._hosts)] for n in gone})

    def _run(self, namespace: str) -> None:
        try:
            _enter(namespace)
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
                self._stream(sock)
        except BaseException as problem:  # noqa: BLE001 - raised again by `stop`
            self._problems.append(problem)

    def _stream(self, sock: socket.socket) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            self._hear(sock, max(0.0, due - time.monotonic()))
            if time.monotonic() >= due:
                host = self._hosts[self.sent % len(self._hosts)]
                sock.sendto(self._packet(self.sent), (host, 0))
                self.sent += 1
                due += self._pause
        deadline = time.monotonic() + 2
        while len(self.answered) < self.sent and time.monotonic() < deadline:
            self._hear(sock, 0.1)

    def _hear(self, sock: socket.socket, wait: float) -> None:
        if not select.select([sock], [], [], wait)[0]:
            return
        packet = sock.recv(2048)
        message = packet[(packet[0] & 15) * 4 :]
        if message[0] == _REPLY and struct.unpack_from("!H", message, 4)[0] == self._id:
            self.answered.add(struct.unpack_from("!I", message, 8)[0])

    def _packet(self, number: int) -> bytes:
        body = struct.pack("!BBHHHI", _ECHO, 0, 0, self._id, number & 0xFFFF, number)
        return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


def _enter(namespace: str) -> None:
    handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.setns(handle, CLONE_NEWNET)
    os.close(handle)
    if failed:
        raise OSError(ctypes.get_errno(), f"can't enter {namespace}")
