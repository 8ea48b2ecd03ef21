"""What attributes do on a live tunnel, seen on the wire and in both daemons."""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import NamedTuple

import pytest

from bench.losses.sites import EAST, WEST
from bench.losses.stage import Stage
from bench.losses.traffic import within
from bench.losses.wires import WIRE, run
from swanherd.core.ike import SaState, TerminateIke
from swanherd.core.model import IkeVersion, Initiator, Secret, Status, TrafficSelector
from swanherd.testing import builders

_DISCOVER, _MTU = {4: 10, 6: 23}, {4: 14, 6: 24}  # IP_MTU_DISCOVER, IP_MTU; in IPv6 their like
_LEVEL = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}
_DO = 2
_TIMESTAMP = 35  # SO_TIMESTAMPNS
_HEADERS = {4: 28, 6: 48}  # IP and UDP
_PATHS = {4: ("10.1.0.5", "10.2.0.5"), 6: ("fd01::5", "fd02::5")}


def udp(address: str) -> socket.socket:
    version = ipaddress.ip_address(address).version
    sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind((address, 7000))
    sock.settimeout(3)
    sock.setsockopt(_LEVEL[version], _DISCOVER[version], _DO)
    return sock


def passes(stage: Stage, version: int, size: int) -> int | None:
    """Send one packet of that size from west to east; None if it came, else the MTU told."""
    source, target = _PATHS[version]
    payload = b"x" * (size - _HEADERS[version])
    run("ip", "-n", WEST.workload, f"-{version}", "route", "flush", "cache")
    with (
        closing(within(WEST.workload, partial(udp, source))) as sender,
        closing(within(EAST.workload, partial(udp, target))) as receiver,
    ):
        sender.connect((target, 7000))
        try:
            sender.send(payload)
            until = time.monotonic() + 5
            while time.monotonic() < until:
                # It comes, or the ICMP message that tells why not.
                receiver.settimeout(0.1)
                with suppress(TimeoutError):
                    return None if receiver.recv(65536) == payload else -1
                if (told := sender.getsockopt(_LEVEL[version], _MTU[version])) < size:
                    return told
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
        # The ICMP message waits at the socket, or the kernel has it already.
        return sender.getsockopt(_LEVEL[version], _MTU[version])


@pytest.mark.parametrize("mtu", [1300, 1500])
@pytest.mark.parametrize("version", [4, 6])
def test_the_largest_packet_passes_and_one_byte_more_is_told(
    stage: Stage, version: int, mtu: int
) -> None:
    """`effective_mtu` bytes pass; one more: ICMP too big, or packet too big, with that number."""
    networks = [str(ipaddress.ip_network(n)) for n in ("10.1.0.0/24", "10.2.0.0/24")]
    if version == 6:
        networks = ["fd01::/64", "fd02::/64"]
    pair = builders.selector(*networks)
    stage.change(WEST, mtu=mtu, selectors=(pair,))
    stage.change(EAST, mtu=mtu, selectors=(TrafficSelector(pair.remote, pair.local),))
    stage.settle()
    row = stage.row(WEST)
    assert row is not None
    assert row.effective_mtu is not None
    assert row.effective_mtu <= mtu
    assert passes(stage, version, row.effective_mtu) is None
    assert passes(stage, version, row.effective_mtu + 1) == row.effective_mtu
    assert passes(stage, version, row.effective_mtu) is None


class Sent(NamedTuple):
    """An IKE message on the wire, and when it was there, by the clock of `time.time`."""

    at: float
    message: bytes


@contextmanager
def ike_of(address: str) -> Iterator[list[Sent]]:
    """Collect the IKE packets with that source that are on the wire, as they are at the end."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)
    found: list[Sent] = []
    with closing(sock):
        sock.bind((WIRE, 3))
        index = socket.if_nametoindex(WIRE).to_bytes(4, "little")
        sock.setsockopt(263, 1, index + (1).to_bytes(2, "little") + bytes(10))
        sock.setblocking(False)
        yield found
        source = ipaddress.ip_address(address).packed
        while True:
            try:
                frame, (told,), *_ = sock.recvmsg(65536, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("qq", told[2])
            at = seconds + nanoseconds / 1e9
            is_udp = frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[26:30] == source
            port = int.from_bytes(frame[36:38], "big")
            if is_udp and port == 500:
                found.append(Sent(at, frame[42:]))
            elif is_udp and port == 4500 and frame[42:46] == bytes(4):  # RFC 3948 §2.2
                found.append(Sent(at, frame[46:]))


def test_a_response_only_end_never_begins(stage: Stage) -> None:
    """No first message of an IKE SA leaves it: not when made, not when its tunnel is lost."""
    for site in (WEST, EAST):
        stage.change(site, initiator=Initiator.RESPONSE_ONLY)
    stage.settle()
    with ike_of(WEST.public[0]) as sent:
        stage.change(WEST, psk=Secret("another"))
        for site in (WEST, EAST):
            for sa in stage.observed(site):
                stage.swan.apply(site.router_id, TerminateIke(sa.unique_id, force=True))
        stage.wait(WEST, lambda r: r.reason is not None and r.reason.code == "waiting_for_peer")
        stage.look_at_all()
        until = time.monotonic() + 3
        stage.cloud.until(lambda: time.monotonic() > until, 3.1)
    # An initiator's first message has no SPI of the responder (RFC 7296 §3.1, RFC 2408 §3.1).
    assert [m for _, m in sent if m[8:16] == bytes(8)] == []
    stage.change(EAST, psk=Secret("another"), initiator=Initiator.BI_DIRECTIONAL)
    stage.wait(WEST, lambda row: row.status is Status.ACTIVE)
    assert not any(sa.initiator for sa in stage.observed(WEST))


def test_both_begin_at_once_and_one_ike_sa_stays(stage: Stage) -> None:
    """Again and again: one is left, the same on both sides, and it isn't set up anew."""
    for number in range(6):
        for site in (WEST, EAST):
            stage.change(site, psk=Secret(f"key {number}"))
        stage.settle()
    # IKEv1 settles a race by a message of its own, on a busy machine after a second or two.
    limit, since, rests = time.monotonic() + 40, time.monotonic(), None
    while rests is None or time.monotonic() < since + 3:
        assert time.monotonic() < limit, rests
        stage.cloud.until(lambda: False, 0.2)
        seen = [[sa.initiator_spi for sa in stage.observed(site)] for site in (WEST, EAST)]
        if seen != rests or len(seen[0]) != 1 or seen[0] != seen[1]:
            since, rests = time.monotonic(), seen
    for site in (WEST, EAST):
        assert [sa.state for sa in stage.observed(site)] == [SaState.ESTABLISHED]


IDENTITIES = {
    "address": ("203.0.113.77", "203.0.113.78"),
    "name": ("west.example.org", "east.example.org"),
    "e-mail": ("west@example.org", "east@example.org"),
    "key id": ("@#0102", "keyid:east side"),
}


@pytest.mark.parametrize("kind", IDENTITIES)
def test_identities_of_every_kind_change_on_a_live_tunnel(stage: Stage, kind: str) -> None:
    """Both sides are told of new identities; charon then has them, and no others."""
    west, east = IDENTITIES[kind]
    stage.change(WEST, local_id=west, peer_id=east)
    stage.change(EAST, local_id=east, peer_id=west)
    stage.settle()
    # charon writes a key id without its type, in hex if it isn't text.
    expected = ("01:02", "east side") if kind == "key id" else (west, east)
    assert {expected} == stage.identities(WEST)


def test_one_child_for_each_pair(stage: Stage) -> None:
    """Two local networks by two remote ones: four child SAs in one IKE SA.

    Both sides begin at once and may make one of them twice: one of the two goes.
    """
    pairs = [
        builders.selector(here, there)
        for here in ("10.1.0.0/24", "10.4.0.0/25")
        for there in ("10.2.0.0/24", "10.3.0.0/24")
    ]
    stage.change(WEST, selectors=tuple(pairs))
    stage.change(EAST, selectors=tuple(TrafficSelector(p.remote, p.local) for p in pairs))
    stage.settle()

    def installed() -> list[str]:
        (sa,) = stage.observed(WEST)
        return sorted(c.name for c in sa.children if c.state is SaState.INSTALLED)

    until = time.monotonic() + 5
    while len(installed()) > 4 and time.monotonic() < until:
        stage.cloud.until(lambda: False, 0.1)
    assert len(set(installed())) == 4
    assert len(installed()) == 4


@pytest.mark.parametrize("side", [WEST, EAST], ids=["west", "east"])
def test_a_lifetime_is_charons_hard_limit(stage: Stage, side: object) -> None:
    """Changed on one side of a live tunnel: the child SAs have it, within a second."""
    assert side in (WEST, EAST)
    ipsec = dataclasses.replace(stage.connections[side]["own"].ipsec, lifetime=777)  # type: ignore[index]
    ike = dataclasses.replace(stage.connections[side]["own"].ike, lifetime=999)  # type: ignore[index]
    stage.change(side, ike=ike, ipsec=ipsec)  # type: ignore[arg-type]
    stage.settle()
    (sa,) = stage.established(side)  # type: ignore[arg-type]
    assert 0 < int(sa["rekey-time"]) <= 999
    # What is left of it, and what has passed: on a busy machine that may be many seconds.
    lives = {
        int(child["life-time"]) + int(child["install-time"]) for child in sa["child-sas"].values()
    }
    assert lives
    assert all(abs(life - 777) <= 1 for life in lives)


def test_versions(stage: Stage) -> None:
    """A policy of the other IKE version on both sides: that is what runs."""
    other = next(v for v in IkeVersion if v is not stage.settings.version)
    for site in (WEST, EAST):
        stage.change(
            site, ike=dataclasses.replace(stage.connections[site]["own"].ike, version=other)
        )
    stage.settle()
    (sa,) = stage.established(WEST)
    assert int(sa["version"]) == (1 if other is IkeVersion.V1 else 2)


def test_algorithms(stage: Stage) -> None:
    """Other ones in both policies, on both sides: those are what runs, and nothing of before."""
    for site in (WEST, EAST):
        own = stage.connections[site]["own"]
        ike = dataclasses.replace(own.ike, integrity="sha512", dh_group="group20")
        ipsec = dataclasses.replace(own.ipsec, integrity="sha384", dh_group="group31")
        stage.change(site, ike=ike, ipsec=ipsec)
    stage.settle()
    (sa,) = stage.established(WEST)
    told = [sa[key].decode() for key in ("integ-alg", "prf-alg", "dh-group")]
    assert told == ["HMAC_SHA2_512_256", "PRF_HMAC_SHA2_512", "ECP_384"]
    children = [c for c in sa["child-sas"].values() if c["state"] == b"INSTALLED"]
    assert {c["integ-alg"] for c in children} == {b"HMAC_SHA2_384_192"}
    # The first child of an IKEv2 SA has no group of its own.
    assert {c["dh-group"] for c in children if "dh-group" in c} == {b"CURVE_25519"}
