"""The largest packet of suites, of AH and through a NAT: what is shown is what passes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from swanherd.core.model import IkeVersion, Initiator, SiteConnection, Transform
from swanherd.testing import builders
from tests.kernel.stage import HERE, INNER, INNER_NETWORKS, THERE, WEST, Stage, ends
from tests.kernel.wires import INTERNET, Traffic, ping, run, too_big_answer

# Inner and outer family, and what an IPsec policy has in another way than the tests' usual one.
CASES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "gcm": (4, 4, {"encryption": "aes-256-gcm-16"}),
    "ctr": (4, 6, {"encryption": "aes-128-ctr", "integrity": "sha512"}),
    "3des": (6, 4, {"encryption": "3des", "integrity": "sha1"}),
    "ah over 4": (4, 4, {"transform": Transform.AH}),
    "ah over 6": (6, 6, {"transform": Transform.AH}),
}
NAT = "198.51.100.1"  # the internet's own, as which east sees west


@pytest.mark.parametrize("case", CASES)
def test_what_is_shown_is_what_passes(stage: Stage, case: str) -> None:
    """`effective_mtu` bytes cross in one piece; one byte more, and that number is told."""
    inner, outer, changes = CASES[case]
    policy = builders.ipsec_policy(**changes)
    west, east = ends(case, inner, outer, IkeVersion.V2, ipsec=policy)
    check(stage, inner, west, east, "ah" if policy.transform is Transform.AH else "esp")


def test_a_nat_takes_nothing_more(stage: Stage) -> None:
    """Its bytes were reserved: the same number, now with UDP around ESP."""
    west, east = ends("nat", 4, 4, IkeVersion.V2)
    east = dataclasses.replace(east, peer_address=NAT, initiator=Initiator.RESPONSE_ONLY)
    with translated():
        check(stage, 4, west, east, "ike")


def check(
    stage: Stage, inner: int, west: SiteConnection, east: SiteConnection, carried: str
) -> None:
    """Look what passes, and as what."""
    stage.want([west], [east])
    stage.rest()
    (row,) = stage.agent.reports[WEST].connections
    shown = row.effective_mtu
    assert shown is not None
    here, there = INNER[inner]
    with Traffic([], INNER_NETWORKS) as traffic:
        assert ping(HERE, here, there, size=shown)
        assert ping(THERE, there, here, size=shown)
        assert shown == too_big_answer(HERE, here, there, shown + 1)
        seen = traffic.read()
    seen.assert_closed()
    assert "fragment" not in seen.wire
    assert seen.wire[carried] >= 8


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Let the internet translate what west sends, and forget it afterwards."""
    rule = ("POSTROUTING", "-o", "e", "-s", "203.0.113.2", "-j", "SNAT", "--to-source", NAT)
    within = ("ip", "netns", "exec", INTERNET)
    run(*within, "iptables", "-t", "nat", "-A", *rule)
    try:
        yield
    finally:
        run(*within, "iptables", "-t", "nat", "-D", *rule)
        run(*within, "conntrack", "-F")
