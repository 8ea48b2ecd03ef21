"""A process that sends packets through tunnels, 100 a second each way, and counts what is lost.

It runs beside the agent, so that neither waits for the other. Its standard input takes a
command a line, each is answered by a line of JSON.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

RATE = 100  # packets a second for each stream
PORT = 9000
# Seconds that an answer may take beside the path's own delay: a busy machine isn't a loss.
PATIENCE = 1.0

_NUMBER = struct.Struct("!Id")
_ETH_P_ALL = 3
_SOL_PACKET, _ADD_MEMBERSHIP, _PROMISCUOUS = 263, 1, 1
_SO_ATTACH_FILTER = 26

libc = ctypes.CDLL(None, use_errno=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Stream:
    """Packets from an address in one namespace to an address in another, and back."""

    name: str
    source_namespace: str
    source: str
    target_namespace: str
    target: str


def within(namespace: str, work: Callable[[], socket.socket]) -> socket.socket:
    """Return the socket that `work` opens inside the namespace."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(there, 0):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
        return work()
    finally:
        libc.setns(home, 0)
        os.close(home)
        os.close(there)


def _udp(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind((address, port))
    sock.setblocking(False)
    return sock


def _inner_filter() -> bytes:
    """Return a program for the kernel that takes what is from or to 10/8 and fd00::/8 alone.

    What a router lets out may have the router's own address as its source.
    """
    # classic BPF (linux/filter.h): code, true, false, value
    program = [
        (0x28, 0, 0, 12),  # the frame's protocol
        (0x15, 0, 4, 0x0800),
        (0x30, 0, 0, 26),  # first byte of the IPv4 source
        (0x15, 7, 0, 10),
        (0x30, 0, 0, 30),  # and of the destination
        (0x15, 5, 6, 10),
        (0x15, 0, 5, 0x86DD),
        (0x30, 0, 0, 22),  # the same of IPv6
        (0x15, 2, 0, 0xFD),
        (0x30, 0, 0, 38),
        (0x15, 0, 1, 0xFD),
        (0x06, 0, 0, 0xFFFF),
        (0x06, 0, 0, 0),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in program)


def listen_on_wire(device: str) -> socket.socket:
    """Return a socket that gets every inner packet that is on the wire in clear."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    program = ctypes.create_string_buffer(_inner_filter())
    header = struct.pack("HL", len(_inner_filter()) // 8, ctypes.addressof(program))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)
    sock.bind((device, _ETH_P_ALL))
    request = struct.pack("IHH8s", socket.if_nametoindex(device), _PROMISCUOUS, 0, b"")
    sock.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)
    sock.setblocking(False)
    return sock


class Traffic:
    """All streams of a stage, in one loop."""

    def __init__(self, streams: Sequence[Stream], wire: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._senders: list[tuple[Stream, socket.socket]] = []
        self._answered: dict[str, dict[int, float]] = {s.name: {} for s in streams}
        self._sent: list[float] = []  # the time of each tick: all streams send at once
        self._clear: list[float] = []
        for stream in streams:
            sender = within(stream.source_namespace, partial(_udp, stream.source, 0))
            echo = within(stream.target_namespace, partial(_udp, stream.target, PORT))
            self._senders.append((stream, sender))
            self._selector.register(sender, selectors.EVENT_READ, (self._take, stream.name))
            self._selector.register(echo, selectors.EVENT_READ, (self._echo, None))
        self._selector.register(
            listen_on_wire(wire), selectors.EVENT_READ, (self._take_clear, None)
        )
        self._selector.register(sys.stdin, selectors.EVENT_READ, (self._obey, None))
        self._since = self._until = 0
        self._alarm: tuple[float, Callable[[], None]] | None = None
        self._over = False

    def run(self) -> None:
        """Send and answer until the standard input ends."""
        due = time.monotonic()
        while not self._over:
            for key, _ in self._selector.select(max(0.0, due - time.monotonic())):
                work, name = key.data
                work(key.fileobj, name)
            now = time.monotonic()
            if now >= due:
                self._send(now)
                due = max(due + 1 / RATE, now)  # after a pause: no burst
            if self._alarm is not None and now >= self._alarm[0]:
                alarm, self._alarm = self._alarm, None
                alarm[1]()

    def _send(self, now: float) -> None:
        message = _NUMBER.pack(len(self._sent), now)
        self._sent.append(now)
        for stream, sock in self._senders:
            try:
                sock.sendto(message, (stream.target, PORT))
            except OSError:
                continue  # no route at this moment: it counts as lost

    def _take(self, sock: socket.socket, name: str) -> None:
        try:
            number, _ = _NUMBER.unpack(sock.recv(64))
        except OSError:
            return  # an ICMP error of an earlier packet
        self._answered[name][number] = time.monotonic()

    def _echo(self, sock: socket.socket, _: object) -> None:
        try:
            message, sender = sock.recvfrom(64)
            sock.sendto(message, sender)
        except OSError:
            return

    def _take_clear(self, sock: socket.socket, _: object) -> None:
        sock.recv(2048)
        self._clear.append(time.monotonic())

    def _obey(self, stdin: Any, _: object) -> None:
        match stdin.readline().split():
            case []:
                self._over = True
            case ["begin"]:
                self._since = len(self._sent)
                self._tell({"begun": time.monotonic()})
            case ["more", count]:
                wait = int(count) / RATE
                self._alarm = (time.monotonic() + wait, lambda: self._tell({"more": True}))
            case ["end"]:
                self._until = len(self._sent)
                self._alarm = (time.monotonic() + PATIENCE, self._report)
            case words:
                raise SystemExit(f"traffic: what is {words}?")

    def _report(self) -> None:
        began = self._sent[self._since] if self._since < len(self._sent) else 0.0
        ended = self._sent[self._until - 1]
        numbers = range(self._since, self._until)
        lost = {
            name: [round(self._sent[n] - began, 2) for n in numbers if n not in answered]
            for name, answered in self._answered.items()
        }
        clear = [round(t - began, 2) for t in self._clear if began <= t <= ended + PATIENCE]
        self._tell({"sent": len(numbers), "lost": lost, "clear": clear})

    @staticmethod
    def _tell(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    Traffic([Stream(**s) for s in json.loads(sys.argv[2])], sys.argv[1]).run()
