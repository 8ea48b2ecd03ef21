"""XFRM by netlink (linux/xfrm.h): can this kernel do ESP? pyroute2 doesn't speak XFRM."""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct

from swanherd.dataplane import privileged

LOG = logging.getLogger(__name__)

AF_INET = int(socket.AF_INET)
AF_INET6 = int(socket.AF_INET6)

NETLINK_XFRM = 6
NLMSG_ERROR = 2
_NEW_SA, _DELETE_SA = 0x10, 0x11
_REQUEST, _ACK, _EXCL, _CREATE = 0x1, 0x4, 0x200, 0x400
_ALG_AUTH, _ALG_CRYPT = 1, 2
_SPI = 0x5A5A5A5A
_FOREVER = struct.pack("=8Q", *([0xFFFFFFFFFFFFFFFF] * 4 + [0] * 4))

# Documentation addresses (RFC 5737, RFC 3849): no packet can match the probe's SA.
_ENDS = {AF_INET: ("192.0.2.1", "192.0.2.2"), AF_INET6: ("2001:db8::1", "2001:db8::2")}


@privileged.default.entrypoint
def accepts_esp(family: int) -> bool:
    """Try to add an ESP SA of the family between documentation addresses, and delete it again."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM) as link:
        link.settimeout(5)
        try:
            error = _ask(link, _NEW_SA, _REQUEST | _ACK | _CREATE | _EXCL, _new_sa(family))
            if error == 0:
                _ask(link, _DELETE_SA, _REQUEST | _ACK, _sa_id(family))
        except OSError as failure:
            LOG.info("The kernel's XFRM can't be asked: %s", failure)
            return False
    if error not in (0, errno.EEXIST):
        LOG.info("The kernel refuses ESP: %s", os.strerror(error))
    return error in (0, errno.EEXIST)


def _ask(link: socket.socket, kind: int, flags: int, payload: bytes) -> int:
    """Send one request; return the errno of its acknowledgement."""
    link.send(struct.pack("=IHHII", 16 + len(payload), kind, flags, 1, 0) + payload)
    reply = link.recv(65536)
    (message,) = struct.unpack_from("=H", reply, 4)
    if message != NLMSG_ERROR:
        return 0
    (error,) = struct.unpack_from("=i", reply, 16)
    return -int(error)


def _address(family: int, text: str) -> bytes:
    return socket.inet_pton(family, text).ljust(16, b"\0")


def _new_sa(family: int) -> bytes:
    """Return a struct xfrm_usersa_info with AES-CBC and HMAC-SHA1."""
    source, destination = (_address(family, text) for text in _ENDS[family])
    selector = bytes(40) + struct.pack("=HBBB3xiI", family, 0, 0, 0, 0, 0)
    identity = destination + struct.pack("!I", _SPI) + struct.pack("=B3x", socket.IPPROTO_ESP)
    state = struct.pack("=IIHBBB7x", 0, 0, family, 1, 0, 0)  # mode 1: tunnel
    info = selector + identity + source + _FOREVER + bytes(32) + bytes(12) + state
    return (
        info
        + _attribute(_ALG_CRYPT, _algorithm("cbc(aes)", os.urandom(16)))
        + _attribute(_ALG_AUTH, _algorithm("hmac(sha1)", os.urandom(20)))
    )


def _algorithm(name: str, key: bytes) -> bytes:
    return name.encode().ljust(64, b"\0") + struct.pack("=I", len(key) * 8) + key


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def _sa_id(family: int) -> bytes:
    """Return a struct xfrm_usersa_id."""
    destination = _address(family, _ENDS[family][1])
    return destination + struct.pack("!I", _SPI) + struct.pack("=HB1x", family, socket.IPPROTO_ESP)
