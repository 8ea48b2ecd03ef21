"""The pure parts of the node's network: rule priorities and the announcing frames."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.model import TrafficSelector
from swanherd.dataplane import frames, network

MAC = "fa:16:3e:00:00:01"
HARDWARE = bytes.fromhex("fa163e000001")


def selector(version: int, local: int, remote: int) -> TrafficSelector:
    anywhere = {4: "0.0.0.0", 6: "::"}[version]
    return TrafficSelector(
        ipaddress.ip_network(f"{anywhere}/{local}"), ipaddress.ip_network(f"{anywhere}/{remote}")
    )


@pytest.mark.parametrize("version", [4, 6])
def test_priorities_are_ours(version):
    """Every priority is before charon's rule (220) and after the kernel's (0)."""
    most = {4: 32, 6: 128}[version]
    assert 0 < network.priority(selector(version, most, most)) < 220
    assert 0 < network.priority(selector(version, 0, 0)) < 220


@given(st.integers(0, 32), st.integers(0, 32), st.integers(0, 32), st.integers(0, 32))
def test_the_narrower_selector_is_asked_first(a, b, c, d):
    """Of two IPv4 selectors, one inside the other, the inner one's rule comes first."""
    inner = network.priority(selector(4, max(a, b), max(c, d)))
    outer = network.priority(selector(4, min(a, b), min(c, d)))
    assert inner < outer or (a, c) == (b, d)


def internet_sum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@given(st.ip_addresses(v=4))
def test_arp_says_who_has_what(address):
    """The frame is a broadcast request of one's own address (RFC 5227)."""
    frame = frames.announcement(MAC, address)
    assert frame[:14] == b"\xff" * 6 + HARDWARE + b"\x08\x06"
    assert frame[14:22] == bytes.fromhex("0001080006040001")
    assert frame[22:] == HARDWARE + address.packed + bytes(6) + address.packed


@given(st.ip_addresses(v=6))
def test_an_advertisement_is_valid(address):
    """The frame passes the checks of RFC 4861 §7.1.2 and overrides what neighbours know."""
    frame = frames.announcement(MAC, address)
    assert frame[:14] == bytes.fromhex("333300000001") + HARDWARE + b"\x86\xdd"
    header, icmp = frame[14:54], frame[54:]
    assert (len(icmp), 58, 255) == struct.unpack_from("!HBB", header, 4)
    assert header[8:] == address.packed + ipaddress.ip_address("ff02::1").packed
    pseudo = header[8:] + struct.pack("!II", len(icmp), 58)
    assert internet_sum(pseudo + icmp) == 0xFFFF
    assert icmp[:2] == bytes([136, 0])
    assert icmp[4:] == bytes.fromhex("20000000") + address.packed + b"\x02\x01" + HARDWARE
