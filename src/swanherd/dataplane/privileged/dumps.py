"""Cheap questions whether anything has changed, to the kernel by raw netlink (netlink(7)).

To read a thousand rules into Python takes a hundred times as long as to hear that they are the
same as before.
"""

from __future__ import annotations

import errno
import hashlib
import socket
import struct
from collections.abc import Iterator

from swanherd.dataplane.privileged import default, inside

_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_REQUEST, _DUMP = 1, 0x300
_ERROR, _DONE = 2, 3
_GETROUTE, _GETRULE = 26, 34  # linux/rtnetlink.h
_SOL_NETLINK, _STRICT = 270, 12  # NETLINK_GET_STRICT_CHK: the kernel filters by protocol
# A port of our own, so that equal dumps are equal bytes; nobody else is in these namespaces.
_PORT = 0x5A5A0001
_NETFILTER = 12
_GETGEN = 10 << 8 | 16  # nf_tables.h: NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN
_NETNS_COOKIE = 71  # SO_NETNS_COOKIE


def digest(protocol: int) -> str:
    """Return a digest of this namespace's routing rules, and of its routes of the protocol."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(5)
        with inside.ignoring(errno.EADDRINUSE):  # another look at the same time: read it all
            sock.bind((_PORT, 0))
        sock.setsockopt(_SOL_NETLINK, _STRICT, 1)
        seen = hashlib.blake2b(digest_size=16)
        for family in (socket.AF_INET, socket.AF_INET6):
            # struct rtmsg: family, lengths, tos, table, protocol, scope, type, flags
            route = struct.pack("=8BI", family, 0, 0, 0, 0, protocol, 0, 0, 0)
            rule = struct.pack("=8BI", family, 0, 0, 0, 0, 0, 0, 0, 0)
            for kind, body in ((_GETROUTE, route), (_GETRULE, rule)):
                for part in _dump(sock, kind, body):
                    seen.update(part)
        return seen.hexdigest()


@default.entrypoint
def nft_generation(namespace: str) -> str:
    """Return what differs after every change of any nft rule of the namespace; "" if unknown.

    The kernel counts the transactions of each namespace, and the namespaces.
    """
    return inside.within(namespace, _generation)


def _generation() -> str:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as sock:
        sock.settimeout(5)
        try:
            cookie = sock.getsockopt(socket.SOL_SOCKET, _NETNS_COOKIE, 8)
            sock.bind((0, 0))
            sock.send(_HEADER.pack(20, _GETGEN, _REQUEST, 1, 0) + bytes(4))
            answer = sock.recv(4096)
        except OSError:
            return ""
    length, kind, *_ = _HEADER.unpack_from(answer)
    attribute = answer[20:28]
    if kind == _ERROR or length < 28 or struct.unpack("=HH", attribute[:4]) != (8, 1):
        return ""
    return (cookie + attribute[4:]).hex()


def _dump(sock: socket.socket, kind: int, body: bytes) -> Iterator[bytes]:
    sock.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | _DUMP, 1, _PORT) + body)
    while True:
        part = sock.recv(1 << 18)
        offset = 0
        while offset < len(part):
            length, what, *_ = _HEADER.unpack_from(part, offset)
            if what == _ERROR:
                (number,) = struct.unpack_from("=i", part, offset + _HEADER.size)
                raise OSError(-number, "netlink: a dump failed")
            if what == _DONE:
                yield part[:offset]
                return
            offset += (length + 3) & ~3
        yield part
