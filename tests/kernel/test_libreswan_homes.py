"""libreswan on the other side of routers' own namespaces, legacy and distributed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swanherd.core.model import Home, HomeNamespace, IkeVersion, Phase1Mode, Secret, Status
from swanherd.testing import builders as make
from tests.functional.l3.stand import (
    EAST,
    GATEWAYS,
    INTERNET,
    WEST,
    Plan,
    address,
    desired,
    detours,
    distributed,
    legacy,
    namespace_of,
    run,
    wire,
    within,
)
from tests.kernel import libreswan
from tests.kernel.homes import own_namespaces

pytestmark = pytest.mark.long

KEY = "the lab's own key"
OUTSIDE = "203.0.113.77"

Router = Callable[[Plan], HomeNamespace]
KINDS = pytest.mark.parametrize(
    ("plan", "router", "home"),
    [
        pytest.param(EAST, legacy, make.home(), id="legacy"),
        pytest.param(
            WEST,
            distributed,
            make.home(HomeNamespace.CENTRAL, distributed=True, detours=detours(WEST)),
            id="distributed",
        ),
    ],
)
VERSIONS = pytest.mark.parametrize("version", [1, 2], ids=["ikev1", "ikev2"])


def on_the_internet(site: libreswan.Site) -> None:
    """Wire a host up with a network of its own."""
    namespace_of(site.name)
    wire(site.name, "eth0", INTERNET, "to-site")
    run("ip", "-n", INTERNET, "link", "set", "to-site", "master", "br0")
    address(site.name, "eth0", f"{site.address}/24")
    address(site.name, "lo", f"{site.inner}/32")
    run("ip", "-n", site.name, "route", "add", "default", "via", GATEWAYS[0])


@KINDS
@VERSIONS
def test_a_site_of_libreswan_and_a_router_reach_each_other(
    tmp_path: Path, plan: Plan, router: Router, home: Home, version: int
) -> None:
    """The router begins; pings both ways."""
    site = libreswan.Site("libsite", tmp_path / "site", OUTSIDE, OUTSIDE, 77)
    wanted = desired(
        plan,
        plan,
        home,
        peer_address=OUTSIDE,
        peer_id=OUTSIDE,
        psk=Secret(KEY),
        # libreswan's IKEv1 has no elliptic curves for the child SAs.
        ike=make.ike_policy(
            version=IkeVersion(f"v{version}"), mode=Phase1Mode.MAIN, dh_group="group14"
        ),
        ipsec=make.ipsec_policy(dh_group="group14"),
        selectors=(make.selector(plan.networks[0], site.network),),
    )
    with own_namespaces() as stand:
        here = stand.site(plan, router)
        on_the_internet(site)
        cloud, there = plan.public[0], plan.networks[0]
        with libreswan.running(site, KEY, version, cloud=cloud, there=there):
            here.source.desired = wanted
            if home.distributed:
                here.settle(here.steering)
            here.turn()
            here.until(Status.ACTIVE)
            assert here.ping(site.inner, count=2), site.log()
            back = ("ping", "-n", "-c", "2", "-W", "5", "-I", site.inner, plan.inner(5)[0])
            assert "2 received" in within(site.name, *back), site.log()
