"""libreswan on the other side of a router: by its address, and behind a NAT box by its id only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swanherd.core.model import IkeVersion, Initiator, Phase1Mode, Secret, SiteConnection
from swanherd.testing import builders
from swanherd_client import peers
from swanherd_client.tunnel import from_rows
from tests.kernel import libreswan
from tests.kernel.libreswan import Site
from tests.kernel.stage import HERE, INNER, WEST, Stage
from tests.kernel.wires import batch, ping
from tests.unit.client import sample

WORKLOAD = INNER[4][0]
KEY = "the lab's own key"
VERSIONS = pytest.mark.parametrize("version", [1, 2], ids=["ikev1", "ikev2"])


def joined(site: Site, version: int, **changes: Any) -> SiteConnection:
    """Return the router's side of a connection to a site, and route its network there."""
    batch(HERE, f"route replace {site.network} via 169.254.0.2 src {WORKLOAD}")
    mode = Phase1Mode.MAIN if "@" not in site.identity or version == 2 else Phase1Mode.AGGRESSIVE
    fields: dict[str, Any] = {
        "peer_address": site.address,
        "peer_id": site.identity,
        "psk": Secret(KEY),
        # libreswan's IKEv1 has no elliptic curves for the child SAs.
        "ike": builders.ike_policy(
            version=IkeVersion(f"v{version}"), mode=mode, dh_group="group14"
        ),
        "ipsec": builders.ipsec_policy(dh_group="group14"),
        "selectors": (builders.selector(libreswan.NETWORK, site.network),),
    }
    return builders.connection(site.name, **(fields | changes))


def both_ways(site: Site) -> bool:
    here, there = (HERE, WORKLOAD, site.inner), (site.name, site.inner, WORKLOAD)
    return ping(*here) and ping(*there)


def _up(stage: Stage, site: Site) -> bool:
    """Wait until the router's side is; what libreswan says of it is in its log."""
    try:
        stage.wait_active(WEST)
    except AssertionError as error:
        raise AssertionError(site.log()) from error
    return True


@pytest.mark.parametrize("begins", ["router", "libreswan"])
@VERSIONS
def test_a_site_with_a_fixed_address(
    stage: Stage, tmp_path: Path, version: int, begins: str
) -> None:
    """Whoever begins: pings both ways."""
    number = 20 + 2 * version + (begins == "router")
    address = f"198.51.100.{number}"
    site = Site(f"lib{number}", tmp_path / "site", address, address, number)
    libreswan.add_host(site.name, "br-pe", address, "198.51.100.1", site.inner)
    role = Initiator.BI_DIRECTIONAL if begins == "router" else Initiator.RESPONSE_ONLY
    with libreswan.running(site, KEY, version):
        stage.want_of(WEST, [joined(site, version, initiator=role)])
        said = ""
        if begins == "libreswan":
            stage.agent.wait(lambda: stage.agent.is_at_rest(WEST))
            said = site.initiate()
        assert _up(stage, site) and both_ways(site), (said, site.log())
        stage.want_of(WEST, [])


@VERSIONS
def test_two_behind_one_nat_known_by_their_ids_only(
    stage: Stage, tmp_path: Path, version: int
) -> None:
    """Two at once with a key each, from addresses and ports that nobody knows before."""
    nat, inside = f"nat{version}", f"br-n{version}"
    libreswan.add_nat(nat, f"198.51.100.{40 + version}", inside)
    sites = []
    for index in (1, 2):
        number = 40 + 10 * version + index
        address, name = f"{libreswan.INSIDE}.{9 + index}", f"in{number}"
        identity = f"@{name}.example.org"
        site = Site(name, tmp_path / name, address, identity, number)
        libreswan.add_host(name, inside, address, f"{libreswan.INSIDE}.1", site.inner)
        sites.append(site)
    one, two = sites
    aggressive = version == 1
    with (
        libreswan.running(one, f"{KEY} 1", version, aggressive=aggressive),
        libreswan.running(two, f"{KEY} 2", version, aggressive=aggressive),
    ):
        connections = [
            joined(
                site,
                version,
                peer_address="0.0.0.0",
                # The @ is libreswan's way to say that it is a name (ipsec.conf(5), leftid).
                peer_id=site.identity[1:],
                psk=Secret(f"{KEY} {index}"),
                initiator=Initiator.RESPONSE_ONLY,
            )
            for index, site in enumerate(sites, 1)
        ]
        stage.want_of(WEST, connections)
        stage.agent.wait(lambda: stage.agent.is_at_rest(WEST))
        said = [site.initiate() for site in sites]
        for site in sites:
            assert _up(stage, site) and both_ways(site), (said, site.log())
        stage.want_of(WEST, [])


@VERSIONS
def test_exported_files_are_booted_as_they_are(stage: Stage, tmp_path: Path, version: int) -> None:
    """What the dashboard and the client hand out: pluto begins by itself, pings both ways."""
    number = 80 + version
    address = f"198.51.100.{number}"
    site = Site(f"exp{number}", tmp_path / "site", address, address, number)
    libreswan.add_host(site.name, "br-pe", address, "198.51.100.1", site.inner)
    stage.want_of(WEST, [joined(site, version, initiator=Initiator.RESPONSE_ONLY)])
    stage.agent.wait(lambda: stage.agent.is_at_rest(WEST))
    policy = sample.policy(pfs="group14", ike_version=f"v{version}")
    told = sample.connection(peer_address=address, peer_id=address, initiator="response-only")
    networks = [libreswan.NETWORK], [site.network]
    tunnel = from_rows(told, {"external_v4_ip": libreswan.CLOUD}, policy, policy, networks)
    with libreswan.booted(site, peers.export("libreswan", tunnel, KEY)):
        assert _up(stage, site) and both_ways(site), site.log()
        stage.want_of(WEST, [])
