"""100 packets a second through the tunnels, and an eye on the wire: a program of its own.

It needs nothing but the standard library, so that it starts at once. Its argument is JSON:
`flows` are lists of (namespace, address, namespace, address), `wires` of (namespace, device), and
`inner` the networks that nobody may see on a wire. For each line on stdin it prints a line of JSON
about what happened since the last one: by flow how many packets were sent and which ones had no
answer, and what was on the wires by kind.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import ipaddress
import json
import os
import select
import socket
import struct
import sys
import time

PORT = 7
INTERVAL = 0.01
# Seconds for which an answer is waited.
PATIENCE = 0.7

_NEW_NET = 0x40000000
_ALL, _IPV4, _IPV6 = 0x0003, 0x0800, 0x86DD
_KINDS = {50: "esp", 51: "ah", 44: "fragment"}
_ICMP = (1, 58)
_UDP = 17
_libc = ctypes.CDLL(None, use_errno=True)


def in_namespace(name: str) -> None:
    fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
    assert _libc.setns(fd, _NEW_NET) == 0
    os.close(fd)


class Flow:
    """Packets that are sent from one end and echoed by the other."""

    def __init__(self, here: str, source: str, there: str, destination: str) -> None:
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        in_namespace(there)
        self.echo = socket.socket(family, socket.SOCK_DGRAM)
        self.echo.bind((destination, PORT))
        in_namespace(here)
        self.sender = socket.socket(family, socket.SOCK_DGRAM)
        self.sender.bind((source, 0))
        self.sender.connect((destination, PORT))
        for sock in (self.echo, self.sender):
            sock.setblocking(False)
        self.next = 0
        self.told = 0
        self.waiting: set[int] = set()

    def send(self) -> None:
        self.waiting.add(self.next)
        self.next += 1
        # What fails counts as lost: an ICMP error of a packet before, or a closed guard.
        with contextlib.suppress(OSError):
            self.sender.send(struct.pack("!Q", self.next - 1) + bytes(56))

    def hear(self) -> None:
        with contextlib.suppress(OSError):
            (number,) = struct.unpack_from("!Q", self.sender.recv(2000))
            self.waiting.discard(number)

    def answer(self) -> None:
        with contextlib.suppress(OSError):
            data, sender = self.echo.recvfrom(2000)
            self.echo.sendto(data, sender)

    def tell(self, until: int) -> dict[str, object]:
        lost = sorted(n for n in self.waiting if n < until)
        self.waiting -= set(lost)
        sent, self.told = until - self.told, until
        return {"sent": sent, "lost": lost}


class Wire:
    """What passes on one device."""

    def __init__(self, namespace: str, device: str, inner: list[str]) -> None:
        in_namespace(namespace)
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
        self.sock.bind((device, _ALL))
        self.inner = [ipaddress.ip_network(n) for n in inner]

    def look(self) -> str:
        try:
            frame = self.sock.recv(200)
        except OSError:
            return "down"  # The device was set down: ENETDOWN, once.
        (kind,) = struct.unpack_from("!H", frame, 12)
        packet = frame[14:]
        if kind == _IPV4:
            ends, protocol, header = packet[12:20], packet[9], (packet[0] & 15) * 4
            split = bool(struct.unpack_from("!H", packet, 6)[0] & 0x3FFF)
        elif kind == _IPV6:
            ends, protocol, header = packet[8:40], packet[6], 40
            split = protocol == 44
        else:
            return "not ip"
        half = len(ends) // 2
        addresses = [ipaddress.ip_address(ends[:half]), ipaddress.ip_address(ends[half:])]
        if any(a in n for a in addresses for n in self.inner if n.version == a.version):
            return "clear"
        if split:
            return "fragment"
        if protocol == _UDP:
            ports = struct.unpack_from("!HH", packet, header)
            return "ike" if set(ports) & {500, 4500} else "other"
        if protocol in _ICMP:
            return f"icmp {packet[header]} of {addresses[0]}"
        return _KINDS.get(protocol, "other")


class Teller:
    """Answers each line of stdin with what happened until then, once the last answers are in."""

    def __init__(self, flows: list[Flow]) -> None:
        self._flows = flows
        self._asked: list[tuple[float, list[int]]] = []
        self.seen: collections.Counter[str] = collections.Counter()

    def ask(self) -> bool:
        numbers = [flow.next for flow in self._flows]
        self._asked.append((time.monotonic() + PATIENCE, numbers))
        return bool(sys.stdin.readline())

    def tell(self, now: float) -> None:
        if not self._asked or now < self._asked[0][0]:
            return
        _, numbers = self._asked.pop(0)
        told = [flow.tell(n) for flow, n in zip(self._flows, numbers, strict=True)]
        print(json.dumps({"flows": told, "wire": self.seen}), flush=True)
        self.seen.clear()


def main() -> None:
    told = json.loads(sys.argv[1])
    wires = {wire.sock: wire for pair in told["wires"] for wire in [Wire(*pair, told["inner"])]}
    flows = [Flow(*flow) for flow in told["flows"]]
    handlers = {flow.sender: flow.hear for flow in flows} | {f.echo: f.answer for f in flows}
    teller = Teller(flows)
    print("ready", flush=True)
    due = time.monotonic()
    going = True
    while going:
        now = time.monotonic()
        teller.tell(now)
        if now >= due:
            for flow in flows:
                flow.send()
            # Late by more than a packet: what couldn't be sent in time isn't sent at once.
            due = max(due + INTERVAL, now - INTERVAL)
        sources = [sys.stdin, *handlers, *wires]
        for source in select.select(sources, [], [], max(due - time.monotonic(), 0))[0]:
            if source is sys.stdin:
                going = teller.ask()
            elif source in handlers:
                handlers[source]()
            else:
                teller.seen[wires[source].look()] += 1


if __name__ == "__main__":
    main()
