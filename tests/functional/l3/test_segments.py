"""The MSS clamp of routers' own namespaces."""

from __future__ import annotations

import contextlib
import os
import socket
import time

import pytest

from swanherd.core.model import Status
from swanherd.dataplane.privileged import inside
from swanherd.testing import builders as make
from tests.functional.dataplane.packets import mss_of, syn
from tests.functional.l3.stand import EAST, WEST, desired, every_firewall, legacy

pytestmark = every_firewall

_ALL = 3  # ETH_P_ALL (linux/if_ether.h)
_HEADERS = {4: 40, 6: 60}  # IP and TCP (RFC 9293 §3.7.1)


def arrived_mss(here, there, number, offered):
    """Send a SYN from one site's workload to the other's; return the MSS that came."""
    source, target = here.plan.inner(5)[number], there.plan.inner(5)[number]
    mark = os.urandom(8)
    family, level = ((socket.AF_INET, 0), (socket.AF_INET6, 0))[number]

    def send():
        with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            sock.sendto(syn(source, target, offered, mark), (target, level))

    def listen():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL))
        sock.settimeout(0.5)
        return sock

    with contextlib.closing(inside.within(there.workload, listen)) as wire:
        inside.within(here.workload, send)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                if mark in (packet := wire.recv(4000)):
                    return mss_of(packet)
    raise AssertionError("the SYN never came")


@pytest.mark.parametrize("families", ["44", "64"])
def test_a_syn_is_clamped_both_ways_and_again_after_another_mtu(stand, families):
    """To what fits `effective_mtu`, never raised; a change of mtu on a live tunnel shows."""
    west, east = stand.site(WEST, legacy), stand.site(EAST, legacy)
    number = "46".index(families[0])
    east.source.desired = desired(EAST, WEST, make.home(), families)
    for mtu in (0, 1320, 1350):
        west.source.desired = desired(WEST, EAST, make.home(), families, mtu=mtu)
        east.turn()
        (row,) = west.until(Status.ACTIVE).connections
        east.until(Status.ACTIVE)
        assert row.effective_mtu <= (mtu or 1500)
        fits = row.effective_mtu - _HEADERS[int(families[0])]
        for here, there in ((west, east), (east, west)):
            assert arrived_mss(here, there, number, 1460) == fits
            assert arrived_mss(here, there, number, 1000) == 1000
