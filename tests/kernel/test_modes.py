"""What only the kernel has, and what each DPD action does, by the whole agent."""

from __future__ import annotations

import dataclasses
import re
import subprocess

import pytest

from swanherd.core.model import (
    Dpd,
    DpdAction,
    Encapsulation,
    IkeVersion,
    Initiator,
    IpsecPolicy,
    SiteConnection,
    Status,
    Transform,
)
from swanherd.testing import builders
from tests.kernel.stage import HERE, INNER, INNER_NETWORKS, THERE, WEST, Stage, ends
from tests.kernel.wires import Traffic, cut, ping

versions = pytest.mark.parametrize("version", IkeVersion)


def _change_live(
    stage: Stage, sides: tuple[SiteConnection, SiteConnection], ipsec: IpsecPolicy
) -> None:
    """Bring a tunnel up and then give both sides another policy."""
    for west, east in (sides, [dataclasses.replace(side, ipsec=ipsec) for side in sides]):
        stage.want([west], [east])
        stage.rest()


@versions
def test_ah_authenticates_between_networks(stage: Stage, version: IkeVersion) -> None:
    """With AH in ESP's place on a live tunnel, packets of the pair cross in tunnel mode.

    The wire carries AH, not ESP, until ESP takes its place again.
    """
    esp = ends("ah", 4, 4, version)
    _change_live(stage, esp, builders.ipsec_policy(transform=Transform.AH))
    with Traffic([], ["192.0.2.0/24"]) as traffic:
        assert ping(HERE, *INNER[4])
        assert ping(THERE, *INNER[4][::-1])
        wire = traffic.read().wire
    assert wire["ah"] >= 4
    assert "esp" not in wire
    _wait_for_protocol(stage, 51)
    stage.want(*([side] for side in esp))
    stage.rest()
    _wait_for_protocol(stage, 50)


def _wait_for_protocol(stage: Stage, number: int) -> None:
    """Wait until all SAs are of that protocol: one of the time before may go a moment later."""
    stage.agent.wait(
        lambda: {sa.protocol for sa in stage.agent.node.observe(WEST).kernel_sas} == {number}, 30
    )


@versions
def test_transport_mode_protects_the_gateways_own_packets(
    stage: Stage, version: IkeVersion
) -> None:
    """In transport mode packets between the public addresses are ESP; without it they aren't.

    It takes the place of tunnel mode on a live tunnel.
    """
    here, there = "203.0.113.2", "198.51.100.2"
    selectors = (builders.selector(f"{here}/32", f"{there}/32"),)
    policy = builders.ipsec_policy(mode=Encapsulation.TRANSPORT)
    _change_live(stage, ends("transport", 4, 4, version, selectors=selectors), policy)
    stage.agent.wait(lambda: _modes() == {"transport"}, 30)
    with Traffic([], INNER_NETWORKS) as traffic:
        assert ping(f"qvpn-{WEST}", here, there)
        wire = traffic.read().wire
    assert wire["esp"] >= 4
    # Not one of theirs; what a router on the way says of itself isn't protected.
    assert not [kind for kind in wire if kind.startswith("icmp") and kind.endswith((here, there))]
    stage.want([], [])
    stage.agent.wait(lambda: all(map(stage.agent.is_at_rest, stage.desired)))
    with Traffic([], INNER_NETWORKS) as traffic:
        assert ping(f"qvpn-{WEST}", here, there)
        assert {f"icmp 8 of {here}", f"icmp 0 of {there}"} <= traffic.read().wire.keys()


def _modes() -> set[str]:
    """Return what the kernel says of the modes of west's SAs."""
    argv = ("ip", "-n", f"qvpn-{WEST}", "xfrm", "state")
    told = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return set(re.findall(r" mode (\w+)$", told, re.MULTILINE))


@versions
def test_every_dpd_action(stage: Stage, version: IkeVersion) -> None:
    """A peer that is cut off: hold, restart, restart-by-peer come again, clear doesn't.

    With dpd disabled the SAs stay as they are, and carry packets as soon as the peer is back.
    """
    wests, easts = zip(*(_watched(n, a, version) for n, a in enumerate(DpdAction)), strict=True)
    ids = {action: west.id for action, west in zip(DpdAction, wests, strict=True)}
    stage.want(wests, easts)
    stage.rest(60)
    before = stage.spis(WEST)
    noticed = {ids[action] for action in DpdAction if action is not DpdAction.DISABLED}
    again = {*ids.values()} - {ids[DpdAction.CLEAR]}
    with cut("e"):
        stage.agent.wait(lambda: _active(stage) == {*ids.values()} - noticed)
    stage.agent.wait(lambda: _active(stage) == again, 60)
    assert len(before & stage.spis(WEST)) == 2


def _watched(
    number: int, action: DpdAction, version: IkeVersion
) -> tuple[SiteConnection, SiteConnection]:
    """Return a connection with identities of its own, which west alone begins."""
    west, east = ends(
        action,
        4,
        4,
        version,
        dpd=Dpd(action, 1, 3),
        selectors=(builders.selector("10.1.0.0/24", f"10.2.{number}.0/24"),),
        local_id=f"w-{action}.example.org",
        peer_id=f"e-{action}.example.org",
    )
    return west, dataclasses.replace(east, initiator=Initiator.RESPONSE_ONLY)


def _active(stage: Stage) -> set[str]:
    return {i for i, status in stage.statuses(WEST).items() if status is Status.ACTIVE}
