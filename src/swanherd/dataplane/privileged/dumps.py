"""Cheap questions whether anything has changed, to the kernel by raw netlink (netlink(7)).

To read a thousand rules into Python takes a hundred times as long as to hear that they are the
same as before.
"""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Iterable, Sequence

from swanherd.dataplane.privileged import default, inside

_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_REQUEST, _ERROR = 1, 2
_NETFILTER = 12
_GETGEN = 10 << 8 | 16  # nf_tables.h: NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN
_NETNS_COOKIE = 71  # SO_NETNS_COOKIE


def digest(routing: Iterable[Sequence[bytes]]) -> str:
    """Return a digest of what `Listing.routing` gave."""
    seen = hashlib.blake2b(digest_size=16)
    for parts in routing:
        for part in parts:
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
