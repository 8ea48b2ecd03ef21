"""The largest packet of suites, over either outer family, on a path that is smaller than usual."""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from bench.losses.sites import EAST, WEST, Site
from bench.losses.stage import Stage
from bench.losses.wires import WIRE
from swanherd.core.model import IkeVersion, Status, TrafficSelector
from swanherd.testing import builders
from tests.functional.live.test_attributes import passes

# Small enough for the suite to decide, not the buffer of userspace ESP (core/layout.py).
PATH = 1400
# What an IPsec policy has in another way than the tests' usual one, each with its own overhead.
SUITES: dict[str, dict[str, Any]] = {
    "cbc": {},
    "gcm": {"encryption": "aes-256-gcm-16"},
    "ctr": {"encryption": "aes-128-ctr", "integrity": "sha512"},
    "3des": {"encryption": "3des", "integrity": "sha1"},
}
CASES = [*((4, suite) for suite in SUITES), (6, "cbc"), (6, "gcm")]


@pytest.fixture
def small(stage: Stage) -> Iterator[Stage]:
    """The stage with that path; then as it was."""
    before, stage.settings = stage.settings, dataclasses.replace(stage.settings, path_mtu=PATH)
    yield stage
    stage.settings = before
    for site in (WEST, EAST):
        stage.want(site)


@contextmanager
def whole_packets_only() -> Iterator[None]:
    """Check that no fragment crosses the wire."""
    with closing(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))) as sock:
        sock.bind((WIRE, 3))
        # What the bridge only passes on too: PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC (packet(7)).
        index = socket.if_nametoindex(WIRE).to_bytes(4, "little")
        sock.setsockopt(263, 1, index + (1).to_bytes(2, "little") + bytes(10))
        sock.setblocking(False)
        yield
        seen = list(_frames(sock))
    assert seen
    # More fragments or an offset (RFC 791 §3.1), a fragment header (RFC 8200 §4.5).
    assert not [
        f for f in seen if f[12:14] == b"\x08\x00" and f[20:22] not in (b"\0\0", b"\x40\0")
    ]
    assert not [f for f in seen if f[12:14] == b"\x86\xdd" and f[20] == 44]


def _frames(sock: socket.socket) -> Iterator[bytes]:
    try:
        while True:
            yield sock.recv(65536)
    except BlockingIOError:
        return


@pytest.mark.parametrize("stage", [IkeVersion.V2], indirect=True)
def test_what_is_shown_is_what_passes(small: Stage) -> None:
    """`effective_mtu` bytes cross in one piece; one byte more, and that number is told."""
    shown = [_shown_and_seen(small, outer, suite) for outer, suite in CASES]
    assert len(set(shown)) == len(CASES), shown


def _shown_and_seen(small: Stage, outer: int, suite: str) -> int:
    pair = builders.selector("10.1.0.0/24", "10.2.0.0/24")
    for here, there, selector in (
        (WEST, EAST, pair),
        (EAST, WEST, TrafficSelector(pair.remote, pair.local)),
    ):
        small.change(
            here,
            local_address=ipaddress.ip_address(_public(here, outer)),
            peer_address=_public(there, outer),
            peer_id=_public(there, outer),
            local_id=_public(here, outer),
            ipsec=builders.ipsec_policy(**SUITES[suite]),
            selectors=(selector,),
        )
    small.settle()
    row = small.wait(WEST, lambda r: r.status is Status.ACTIVE)
    shown = row.effective_mtu
    assert shown is not None
    with whole_packets_only():
        told = [passes(small, 4, size) for size in (shown, shown + 1, shown)]
    assert told == [None, shown, None], (outer, suite, shown)
    return shown


def _public(site: Site, outer: int) -> str:
    return site.public[0 if outer == 4 else 2]
