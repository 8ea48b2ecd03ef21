"""Questions to a peer from inside a router's namespace: raw packets that leave no state there.

IKE's ports are asked in an IKE version that nobody speaks: who does IKE should answer with
INVALID_MAJOR_VERSION and remember nothing (RFC 7296 §2.5). Pings of several sizes that no router
may cut tell the path's MTU.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

from swanherd.dataplane.frames import checksum
from swanherd.dataplane.privileged import default, inside

_PORTS = (500, 4500)
_IKE = struct.Struct("!8s8sBBBBII")  # RFC 7296 §3.1
_VERSION_3, _IKE_SA_INIT, _INITIATOR = 0x30, 34, 0x08
_NON_ESP_MARKER = bytes(4)  # before IKE on port 4500 (RFC 3948 §2.2)
_SO_MARK = 36  # socket(7)
_PROBE = 3  # IP_PMTUDISC_PROBE, IPV6_PMTUDISC_PROBE: don't fragment, whatever is known (ip(7))
_MTU_DISCOVER = {4: (socket.IPPROTO_IP, 10), 6: (socket.IPPROTO_IPV6, 23)}
_DONTFRAG = (socket.IPPROTO_IPV6, 62)
_ECHO, _REPLY, _UNREACHABLE = {4: 8, 6: 128}, {4: 0, 6: 129}, {4: 3, 6: 1}
_NOBODY = {4: 3, 6: 4}  # code: port unreachable
_HEADERS = {4: 28, 6: 48}  # of a ping


@default.entrypoint
def probe(
    namespace: str, local: str, peer: str, sizes: Sequence[int], mark: int, seconds: float
) -> dict[str, Any]:
    """Ask the peer; return `route`, `ports` (number and answer) and `largest` (0: no answer).

    `sizes` are those of pings as IP packets, in bytes. FileNotFoundError without the namespace.
    """
    return inside.within(namespace, lambda: _ask(local, peer, sizes, mark, seconds))


@default.entrypoint
def clock_is_synchronised() -> bool | None:
    """Tell whether the kernel says that its clock is disciplined (adjtimex(2)); None: unknown."""
    timex = bytearray(256)  # all zero: only asks
    buffer = (ctypes.c_char * len(timex)).from_buffer(timex)
    state = inside.libc.adjtimex(buffer)
    return None if state < 0 else bool(state != 5)  # TIME_ERROR


def _ask(local: str, peer: str, sizes: Sequence[int], mark: int, seconds: float) -> dict[str, Any]:
    version = 6 if ":" in peer else 4
    route = _route(peer, version, mark)
    if route is None:
        return {"route": None, "ports": [], "largest": 0}
    with _Question(version, local, peer, mark) as asked:
        asked.send(sizes)
        asked.listen(time.monotonic() + seconds)
    return {
        "route": route,
        "ports": sorted(asked.ports.items()),
        "largest": max(asked.sizes, default=0),
    }


def _route(peer: str, version: int, mark: int) -> str | None:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    unroutable = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)
    with inside.ignoring(*unroutable), inside.netlink() as ip:
        (message,) = ip.route("get", dst=peer, family=family, mark=mark)
        (link,) = ip.get_links(message.get_attr("RTA_OIF"))
        name = link.get_attr("IFLA_IFNAME")
        gateway = message.get_attr("RTA_GATEWAY")
        return f"{name} via {gateway}" if gateway else str(name)
    return None


class _Question:
    """The sockets of one probe and what came back."""

    def __init__(self, version: int, local: str, peer: str, mark: int) -> None:
        self.ports: dict[int, str] = dict.fromkeys(_PORTS, "silent")
        self.sizes: set[int] = set()
        self._version = version
        self._peer = socket.inet_pton(_family(version), peer)
        self._local = socket.inet_pton(_family(version), local)
        self._spi = os.urandom(8)
        self._id = int.from_bytes(os.urandom(2), "big")
        self._waiting: set[int] = set()
        self._stack = contextlib.ExitStack()
        icmp = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
        self._udp = self._open(socket.IPPROTO_UDP, local, mark)
        self._icmp = self._open(icmp, local, mark)
        self._udp.connect((peer, 0))
        self._to = (peer, 0)

    def _open(self, protocol: int, local: str, mark: int) -> socket.socket:
        sock = self._stack.enter_context(
            socket.socket(_family(self._version), socket.SOCK_RAW, protocol)
        )
        sock.bind((local, 0))
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, mark)
        sock.setsockopt(*_MTU_DISCOVER[self._version], _PROBE)
        if self._version == 6:
            sock.setsockopt(*_DONTFRAG, 1)
        return sock

    def __enter__(self) -> _Question:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def send(self, sizes: Sequence[int]) -> None:
        header = _IKE.pack(
            self._spi, bytes(8), 0, _VERSION_3, _IKE_SA_INIT, _INITIATOR, 0, _IKE.size
        )
        for port in _PORTS:
            payload = header if port == 500 else _NON_ESP_MARKER + header
            with inside.ignoring(errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED):
                self._udp.send(self._datagram(port, payload))
        for size in sorted(sizes):
            with inside.ignoring(errno.EMSGSIZE, errno.ENETUNREACH, errno.EHOSTUNREACH):
                self._icmp.sendto(self._echo(size), self._to)
                self._waiting.add(size)

    def listen(self, deadline: float) -> None:
        sockets = {self._udp: self._hear_udp, self._icmp: self._hear_icmp}
        named = {sock.fileno(): sock for sock in sockets}
        poll = select.poll()  # select() takes no number above 1,023
        for number in named:
            poll.register(number, select.POLLIN)
        while self._waiting or "silent" in self.ports.values():
            left = deadline - time.monotonic()
            ready = [named[number] for number, _ in poll.poll(left * 1000)] if left > 0 else []
            if not ready:
                return
            for sock in ready:
                with inside.ignoring(errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EMSGSIZE):
                    sockets[sock](self._without_header(sock.recv(65535)))

    def _hear_udp(self, datagram: bytes) -> None:
        port = int.from_bytes(datagram[:2], "big")
        if port in self.ports and self._spi in datagram[8:24]:
            self.ports[port] = "answered"

    def _hear_icmp(self, message: bytes) -> None:
        kind, code = message[0], message[1]
        if kind == _REPLY[self._version]:
            number, size = struct.unpack_from("!HH", message, 4)
            if number == self._id and size in self._waiting:
                self._waiting.discard(size)
                self.sizes.add(size)
        elif kind == _UNREACHABLE[self._version]:
            inner = message[8:]
            to = inner[16:20] if self._version == 4 else inner[24:40]
            start = (inner[0] & 15) * 4 if self._version == 4 else 40
            port = int.from_bytes(inner[start + 2 : start + 4], "big")
            if to == self._peer and self.ports.get(port) == "silent":
                refused = code == _NOBODY[self._version]
                self.ports[port] = "refused" if refused else "unreachable"

    def _without_header(self, packet: bytes) -> bytes:
        # raw(7): with IPv4 the header comes along, with IPv6 it doesn't.
        return packet[(packet[0] & 15) * 4 :] if self._version == 4 else packet

    def _datagram(self, port: int, payload: bytes) -> bytes:
        length = 8 + len(payload)
        pseudo = self._local + self._peer + struct.pack("!II", length, socket.IPPROTO_UDP)
        body = struct.pack("!HHHH", port, port, length, 0) + payload
        return body[:6] + struct.pack("!H", checksum(pseudo + body) or 0xFFFF) + payload

    def _echo(self, size: int) -> bytes:
        body = struct.pack("!BBHHH", _ECHO[self._version], 0, 0, self._id, size)
        body += bytes(size - _HEADERS[self._version])
        if self._version == 4:
            body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        return body  # with IPv6 the kernel computes the checksum (RFC 3542 §3.1)


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6
