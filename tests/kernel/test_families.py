"""All four pairs of families, with both versions of IKE: all sizes of packets, and no leak."""

from __future__ import annotations

import pytest

from swanherd.core.ike import SaState
from swanherd.core.layout import tunnel_mtu
from swanherd.core.model import DataPlane, IkeVersion, RouterId
from swanherd.core.network import Direction, KernelPolicy
from swanherd.testing import builders
from tests.kernel.stage import (
    EAST,
    HERE,
    INNER,
    INNER_NETWORKS,
    NETWORKS,
    OUTER,
    THERE,
    WEST,
    Stage,
    both_families,
    flows,
)
from tests.kernel.wires import Traffic, ping, too_big_answer, transfer


@pytest.mark.parametrize("version", IkeVersion)
@pytest.mark.parametrize("outer", [4, 6])
def test_both_families_cross(stage: Stage, outer: int, version: IkeVersion) -> None:
    """Pings, TCP and UDP of both families go both ways, and the wire shows none of it."""
    west, east = both_families(outer, version)
    stage.want(west, east)
    stage.rest()
    with Traffic(flows(4, 6), INNER_NETWORKS) as traffic:
        for inner, connection in zip((4, 6), west, strict=True):
            here, there = INNER[inner]
            mtu = tunnel_mtu(connection, DataPlane.KERNEL, 1500)
            assert ping(HERE, here, there)
            assert ping(THERE, there, here, size=mtu)
            assert mtu == too_big_answer(HERE, here, there, mtu + 1)
            assert transfer(HERE, here, THERE, there, 200_000) == 200_000
            assert transfer(THERE, there, HERE, here, 200_000) == 200_000
        seen = traffic.read()
    seen.assert_closed()
    assert "fragment" not in seen.wire
    assert seen.wire["esp"] > 2 * sum(seen.sent)
    assert seen.lost == [0, 0, 0, 0]
    check_kernel(stage, outer, version)


def is_as_charon_has_it(stage: Stage, router: RouterId, version: IkeVersion) -> bool:
    """Tell whether the kernel has the SAs of one child for each pair, and of no other child.

    What lets a peer in at an address that it had before goes one look after its last child SA.

    In IKEv1 a child that another has replaced stays beside it until its lifetime ends
    (`delete_rekeyed` of strongswan.conf(5)); where both sides begin, that may be at once.
    """
    children = [c for sa in stage.agent.swan.observe(router).ike_sas for c in sa.children]
    standing = [c for c in children if c.state is SaState.INSTALLED]
    if version is IkeVersion.V1:
        children = [c for c in children if c.state in (SaState.INSTALLED, SaState.REKEYED)]
    known = sorted(spi for child in children for spi in child.spis)
    seen = stage.agent.node.observe(router)
    once = len(standing) == len({c.name for c in standing}) == 2
    moved = any(policy.welcome is not None for policy in seen.kernel_policies)
    return once and not moved and known == sorted(sa.spi for sa in seen.kernel_sas)


def check_kernel(stage: Stage, outer: int, version: IkeVersion) -> None:
    """XFRM has a pair of SAs for each child, the policies of the pairs, and nothing else stays.

    A child that is made anew has the old one beside it for a moment.
    """
    here, there = OUTER[outer]
    for router, order in ((WEST, 1), (EAST, -1)):
        stage.agent.wait(lambda r=router: is_as_charon_has_it(stage, r, version), 40)  # type: ignore[misc]
        seen = stage.agent.node.observe(router)
        ends = {(str(sa.source), str(sa.destination)) for sa in seen.kernel_sas}
        assert ends == {(here, there), (there, here)}
        assert {sa.protocol for sa in seen.kernel_sas} == {50}
        selectors = {builders.selector(*NETWORKS[inner][::order]) for inner in (4, 6)}
        assert {KernelPolicy(s, d) for s in selectors for d in Direction} == seen.kernel_policies
