"""IP packets as bytes, for both families."""

from __future__ import annotations

import ipaddress
import struct

_UDP, _TCP, _ICMP, _ICMP6 = 17, 6, 1, 58


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def ip(source: str, destination: str, protocol: int, payload: bytes, ttl: int = 64) -> bytes:
    src, dst = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if src.version == 6:
        header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, ttl)
        return header + src.packed + dst.packed + payload
    dont_fragment = 0x4000
    length = 20 + len(payload)
    header = struct.pack("!BBHHHBBH", 0x45, 0, length, 1, dont_fragment, ttl, protocol, 0)
    header += src.packed + dst.packed
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def _sealed(source: str, destination: str, protocol: int, payload: bytes, at: int) -> bytes:
    """Return the payload with its checksum, which covers the pseudo header, at that offset."""
    ends = (ipaddress.ip_address(a).packed for a in (source, destination))
    pseudo = b"".join(ends) + struct.pack("!II", len(payload), protocol)
    return payload[:at] + struct.pack("!H", checksum(pseudo + payload)) + payload[at + 2 :]


def udp(source: str, destination: str, data: bytes, port: int = 7, ttl: int = 64) -> bytes:
    payload = struct.pack("!HHHH", 9999, port, 8 + len(data), 0) + data
    payload = _sealed(source, destination, _UDP, payload, 6)
    return ip(source, destination, _UDP, payload, ttl)


def syn(source: str, destination: str, mss: int, data: bytes) -> bytes:
    """Return a TCP SYN with the MSS option; the data tells it from others."""
    header = struct.pack("!HHIIBBHHH", 9999, 80, 1, 0, 6 << 4, 2, 65535, 0, 0)
    payload = header + struct.pack("!BBH", 2, 4, mss) + data
    return ip(source, destination, _TCP, _sealed(source, destination, _TCP, payload, 16))


def mss_of(packet: bytes) -> int:
    """Return the MSS option's value of a SYN made by `syn`; AssertionError if it is corrupt."""
    header = 20 if packet[0] >> 4 == 4 else 40
    addresses = packet[12:20] if header == 20 else packet[8:40]
    segment = packet[header:]
    pseudo = addresses + struct.pack("!II", len(segment), _TCP)
    assert checksum(pseudo + segment) == 0
    (mss,) = struct.unpack_from("!H", packet, header + 22)
    return mss


def echo(source: str, destination: str, data: bytes) -> bytes:
    if ipaddress.ip_address(source).version == 6:
        payload = struct.pack("!BBHHH", 128, 0, 0, 1, 1) + data
        payload = _sealed(source, destination, _ICMP6, payload, 2)
        return ip(source, destination, _ICMP6, payload)
    payload = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + data
    payload = payload[:2] + struct.pack("!H", checksum(payload)) + payload[4:]
    return ip(source, destination, _ICMP, payload)
