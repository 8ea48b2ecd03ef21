"""Links, addresses, routes and rules of this thread's namespace, by raw netlink (rtnetlink(7)).

To ask them of pyroute2 takes an event loop for each request, and ten times as long: an agent that
starts reads all that its routers have.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from swanherd.dataplane.privileged import inside

Part = bytes

_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_REQUEST, _DUMP, _INTERRUPTED = 1, 0x300, 0x10
_ERROR, _DONE = 2, 3
_GETLINK, _GETADDR, _GETROUTE, _GETRULE = 18, 22, 26, 34  # linux/rtnetlink.h
_SOL_NETLINK, _STRICT = 270, 12  # NETLINK_GET_STRICT_CHK: the kernel filters by protocol
# A port of our own, so that equal dumps are equal bytes; nobody else is in these namespaces.
_PORT = 0x5A5A0001
_BUFFER = 1 << 18
# Of dumps that were interrupted by a change.
_TRIES = 20

_LINK = struct.Struct("=BxHiII")  # ifinfomsg
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg
_ROUTE = struct.Struct("=8BI")  # rtmsg and fib_rule_hdr
_ATTRIBUTE = struct.Struct("=HH")
_KIND = 0x3FFF  # without the flags that are in a number's highest bits

_IFF_UP = 1
_IFLA_ADDRESS, _IFLA_NAME, _IFLA_MTU, _IFLA_LINK = 1, 3, 4, 5
_IFLA_EXT_MASK, _SKIP_STATISTICS = 29, 1 << 3
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_DADFAILED = 0x08  # linux/if_addr.h
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_METRICS, _RTA_TABLE = 1, 4, 5, 8, 15
_RTAX_MTU = 2
_FRA_DST, _FRA_SRC, _FRA_IIFNAME, _FRA_PRIORITY, _FRA_TABLE, _FRA_PROTOCOL = 1, 2, 3, 6, 15, 21
# linux/fib_rules.h: a rule that looks nothing up and answers nothing
FR_ACT_BLACKHOLE, BLACKHOLE = 6, -1
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


class Listing:
    """One netlink socket in this thread's namespace; whatever fails raises OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        try:
            self._socket.settimeout(5)
            with inside.ignoring(errno.EADDRINUSE):  # another look at the same time: read it all
                self._socket.bind((_PORT, 0))
            self._socket.setsockopt(_SOL_NETLINK, _STRICT, 1)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def link(self, *, name: str = "", index: int = 0) -> dict[str, Any] | None:
        """Return the device of that name or index; None if there is none."""
        body = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0) + _skip_statistics()
        if name:
            body += _attribute(_IFLA_NAME, name.encode() + b"\0")
        try:
            self._send(_GETLINK, _REQUEST, body)
            ((_, message),) = _messages(self._socket.recv(_BUFFER))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            return None
        return _parse_link(message)

    def links(self) -> dict[str, dict[str, Any]]:
        """Return every device by its name."""
        dump = self._dump(_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + _skip_statistics())
        return {link["name"]: link for link in map(_parse_link, _bodies(dump))}

    def addresses(self) -> dict[int, list[str]]:
        """Return the addresses of every device by its index, with prefix lengths.

        Those that the kernel made itself aren't among them.
        """
        used, refused = self.addresses_by_use()
        for index, texts in refused.items():
            used.setdefault(index, []).extend(texts)
        return used

    def addresses_by_use(self) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
        """Return those that a device may use, and those that are another's (RFC 4862 §5.4.5)."""
        used: dict[int, list[str]] = {}
        refused: dict[int, list[str]] = {}
        for message in _bodies(self._dump(_GETADDR, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))):
            family, length, flags, _, index = _ADDRESS.unpack_from(message)
            values = _attributes(message, _ADDRESS.size)
            # With a peer IFA_ADDRESS would be the other end's (rtnetlink(7)); IPv6 has no local.
            packed = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS)
            if family not in _FAMILIES or packed is None:
                continue
            text = f"{socket.inet_ntop(family, packed)}/{length}"
            if not _is_automatic(text):
                found = refused if flags & _IFA_F_DADFAILED else used
                found.setdefault(index, []).append(text)
        return used, refused

    def routing(self, protocol: int) -> tuple[list[Part], list[Part]]:
        """Return what the kernel says of the routes of that protocol, and of all rules.

        Equal parts mean an equal state, but for what `parse_routes` is told of devices.
        """
        routes: list[Part] = []
        rules: list[Part] = []
        for family in _FAMILIES:
            # struct rtmsg: family, lengths, tos, table, protocol, scope, type, flags
            routes += self._dump(_GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, protocol, 0, 0, 0))
            rules += self._dump(_GETRULE, _ROUTE.pack(family, *(0,) * 8))
        return routes, rules

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)

    def _dump(self, kind: int, body: bytes) -> list[Part]:
        """Return the answer's parts, of a dump during which nothing changed."""
        for _ in range(_TRIES):
            self._send(kind, _REQUEST | _DUMP, body)
            parts, interrupted = self._answer()
            if not interrupted:
                return parts
        raise OSError(errno.EAGAIN, "netlink: it changes all the time")

    def _answer(self) -> tuple[list[Part], bool]:
        parts: list[Part] = []
        interrupted = False
        while True:
            part = self._socket.recv(_BUFFER)
            offset = 0
            while offset < len(part):
                length, what, flags, _, _ = _HEADER.unpack_from(part, offset)
                interrupted |= bool(flags & _INTERRUPTED)
                if what == _ERROR:
                    raise _error(part, offset)
                if what == _DONE:
                    parts.append(part[:offset])
                    return parts, interrupted
                offset += (length + 3) & ~3
            parts.append(part)


@contextlib.contextmanager
def listing() -> Iterator[Listing]:
    """Give a listing of the namespace that this thread is in."""
    with contextlib.closing(Listing()) as found:
        yield found


def link(name: str) -> dict[str, Any] | None:
    """Return the device of that name in this thread's namespace; None if there is none."""
    with listing() as found:
        return found.link(name=name)


def parse_routes(
    parts: Iterable[Part], protocol: int, names: Mapping[int, str]
) -> Iterator[dict[str, Any]]:
    """Yield the routes of that protocol; `names` are of the devices by their index."""
    for message in _bodies(parts):
        family, length, _, _, table, whose, *_ = _ROUTE.unpack_from(message)
        if whose != protocol:
            continue
        values = _attributes(message, _ROUTE.size)
        metrics = _attributes(values.get(_RTA_METRICS, b""), 0)
        gateway = values.get(_RTA_GATEWAY)
        yield {
            "destination": _network(family, values.get(_RTA_DST), length),
            "device": names.get(_number(values.get(_RTA_OIF), 0), ""),
            "gateway": socket.inet_ntop(family, gateway) if gateway else None,
            "table": _number(values.get(_RTA_TABLE), table),
            "mtu": _number(metrics.get(_RTAX_MTU), 0),
        }


def parse_rules(parts: Iterable[Part], protocol: int) -> Iterator[dict[str, Any]]:
    """Yield the routing rules of that protocol."""
    for message in _bodies(parts):
        family, there, here, *_, action, _ = _ROUTE.unpack_from(message)
        values = _attributes(message, _ROUTE.size)
        if values.get(_FRA_PROTOCOL) != bytes([protocol]):
            continue
        yield {
            "source": _network(family, values.get(_FRA_SRC), here),
            "destination": _network(family, values.get(_FRA_DST), there),
            "table": BLACKHOLE
            if action == FR_ACT_BLACKHOLE
            else _number(values.get(_FRA_TABLE), 0),
            "priority": _number(values.get(_FRA_PRIORITY), 0),
            "device": values.get(_FRA_IIFNAME, b"").rstrip(b"\0").decode(),
        }


def _parse_link(message: bytes) -> dict[str, Any]:
    _, _, index, flags, _ = _LINK.unpack_from(message)
    values = _attributes(message, _LINK.size)
    return {
        "name": values[_IFLA_NAME].rstrip(b"\0").decode(),
        "index": index,
        "mac": values.get(_IFLA_ADDRESS, b"").hex(":"),
        "mtu": _number(values.get(_IFLA_MTU), 0),
        "up": bool(flags & _IFF_UP),
        "peer": _number(values.get(_IFLA_LINK), 0),
    }


def _bodies(parts: Iterable[Part]) -> Iterator[bytes]:
    for part in parts:
        for _, message in _messages(part):
            yield message


def _messages(part: Part) -> Iterator[tuple[int, bytes]]:
    """Yield the messages' kinds and bodies; an error that is among them is raised."""
    offset = 0
    while offset < len(part):
        length, what, *_ = _HEADER.unpack_from(part, offset)
        if what == _ERROR:
            raise _error(part, offset)
        yield what, part[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _attributes(message: bytes, offset: int) -> dict[int, bytes]:
    """Return the values by their kind."""
    values: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, offset)
        values[kind & _KIND] = message[offset + _ATTRIBUTE.size : offset + length]
        offset += max((length + 3) & ~3, _ATTRIBUTE.size)
    return values


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def _skip_statistics() -> bytes:
    return _attribute(_IFLA_EXT_MASK, struct.pack("=I", _SKIP_STATISTICS))


def _number(value: bytes | None, otherwise: int) -> int:
    return otherwise if value is None else int.from_bytes(value, sys.byteorder)


def _network(family: int, packed: bytes | None, length: int) -> str:
    anywhere = bytes(4 if family == socket.AF_INET else 16)
    return f"{socket.inet_ntop(family, packed or anywhere)}/{length}"


def _is_automatic(address: str) -> bool:
    interface = ipaddress.ip_interface(address)
    return interface.ip.is_loopback or (interface.version == 6 and interface.ip.is_link_local)


def _error(part: Part, offset: int) -> OSError:
    (number,) = struct.unpack_from("=i", part, offset + _HEADER.size)
    return OSError(-number, f"netlink: {os.strerror(-number)}")
