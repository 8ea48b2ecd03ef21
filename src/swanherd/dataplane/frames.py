"""Frames that tell the neighbours where an address is now. Pure."""

from __future__ import annotations

import ipaddress
import struct
import zlib

from swanherd.core.model import IPAddress

_BROADCAST = b"\xff" * 6
# For private use (IEEE 802, local experimental EtherType 1).
NOTICE = 0x88B5
_ALL_NODES = ipaddress.IPv6Address("ff02::1")
_ALL_NODES_MAC = bytes.fromhex("333300000001")  # RFC 2464 §7


def announcement(mac: str, address: IPAddress) -> bytes:
    """Return the frame that makes neighbours learn the address's MAC anew."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    if isinstance(address, ipaddress.IPv4Address):
        return _gratuitous_arp(hardware, address)
    return _unsolicited_advertisement(hardware, address)


def notice(mac: str, namespace: str, text: bytes) -> bytes:
    """Return the frame that tells the other agents of that namespace something."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    return _BROADCAST + hardware + struct.pack("!HI", NOTICE, tag(namespace)) + text


def tag(namespace: str) -> int:
    """Return what such a frame's content begins with: all routers of a project hear all frames."""
    return zlib.crc32(namespace.encode())


def _gratuitous_arp(mac: bytes, address: ipaddress.IPv4Address) -> bytes:
    """Return an ARP announcement (RFC 5227 §3): a request for one's own address."""
    header = _BROADCAST + mac + struct.pack("!H", 0x0806)
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    return header + arp + mac + address.packed + bytes(6) + address.packed


def _unsolicited_advertisement(mac: bytes, address: ipaddress.IPv6Address) -> bytes:
    """Return a neighbour advertisement to all nodes with the override flag (RFC 4861 §7.2.6)."""
    override = 1 << 29
    option = struct.pack("!BB", 2, 1) + mac
    body = struct.pack("!I", override) + address.packed + option
    icmp = struct.pack("!BBH", 136, 0, 0) + body
    pseudo = address.packed + _ALL_NODES.packed + struct.pack("!I3xB", len(icmp), 58)
    icmp = struct.pack("!BBH", 136, 0, checksum(pseudo + icmp)) + body
    # Hop limit 255, or it is ignored (RFC 4861 §7.1.2).
    header = struct.pack("!IHBB", 6 << 28, len(icmp), 58, 255)
    ethernet = _ALL_NODES_MAC + mac + struct.pack("!H", 0x86DD)
    return ethernet + header + address.packed + _ALL_NODES.packed + icmp


def checksum(data: bytes) -> int:
    """Return the internet checksum (RFC 1071)."""
    even = data + bytes(len(data) % 2)
    total = int(sum(struct.unpack(f"!{len(even) // 2}H", even)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
