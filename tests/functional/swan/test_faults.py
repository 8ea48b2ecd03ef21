"""Each cause of failure has its code, on the side that began and on the side that answered."""

from __future__ import annotations

import dataclasses
import os
import signal

import pytest

from swanherd.core.ike import IkeConfig, TerminateChild, TerminateIke
from swanherd.core.model import Dpd, DpdAction, IkeVersion, Secret, SiteConnection
from swanherd.testing import builders
from tests.functional.swan.stage import Stage, children_up, mirror, pair, run

V1 = {"ike": builders.ike_policy(version=IkeVersion.V1)}
V2 = {"ike": builders.ike_policy(version=IkeVersion.V2)}
VERSIONS = pytest.mark.parametrize("version", [V1, V2], ids=["v1", "v2"])


def negotiate(
    stage: Stage, west: SiteConnection, east: SiteConnection
) -> tuple[IkeConfig, IkeConfig]:
    """Load both sides and let west begin."""
    here, there = stage.load(stage.west, west), stage.load(stage.east, east)
    stage.initiate(stage.west, here)
    return here, there


def expect(
    stage: Stage, configs: tuple[IkeConfig, IkeConfig], initiator: str, responder: str | None
) -> None:
    """Wait for both sides' codes; None where the responder can know nothing."""
    stage.fault(stage.west, configs[0], initiator)
    if responder is not None:
        stage.fault(stage.east, configs[1], responder)


def bring_up(stage: Stage, **changes: object) -> tuple[IkeConfig, IkeConfig]:
    configs = negotiate(stage, *pair(**changes))
    for router, config in zip((stage.west, stage.east), configs, strict=True):
        assert stage.wait(router, children_up(config)).faults == ()
    return configs


@pytest.mark.parametrize(
    ("version", "initiator"), [(V1, "psk_mismatch"), (V2, "psk_or_id_mismatch")], ids=["v1", "v2"]
)
def test_another_psk(started: Stage, version: dict[str, object], initiator: str) -> None:
    """The responder knows that it is the key; IKEv2 hides it from the initiator."""
    west, east = pair(**version)
    configs = negotiate(started, west, dataclasses.replace(east, psk=Secret("other")))
    expect(started, configs, initiator, "psk_mismatch")


def test_our_identity_refused_v2(started: Stage) -> None:
    """The responder has no config for the identity; the initiator can't tell it from the key."""
    west, east = pair(local_id="west.example.org", **V2)
    configs = negotiate(started, west, dataclasses.replace(east, peer_id="other.example.org"))
    expect(started, configs, "psk_or_id_mismatch", "peer_id_mismatch")


def test_our_identity_refused_v1(started: Stage) -> None:
    """In IKEv1 the initiator learns that it is the identity."""
    west, east = pair(local_id="west.example.org", **V1)
    configs = negotiate(started, west, dataclasses.replace(east, peer_id="other.example.org"))
    expect(started, configs, "local_id_refused", "peer_id_mismatch")


@VERSIONS
def test_peer_presents_another_identity(started: Stage, version: dict[str, object]) -> None:
    """The initiator sees an identity that isn't peer_id."""
    west, east = pair(**version)
    east = dataclasses.replace(east, local_id="surprise.example.org")
    configs = negotiate(started, west, east)
    initiator = "peer_id_mismatch" if version is V1 else "psk_or_id_mismatch"
    expect(started, configs, initiator, None)


@VERSIONS
def test_other_ike_algorithms(started: Stage, version: dict[str, object]) -> None:
    """The responder sees the proposal; the initiator only a refusal that may mean more."""
    west, east = pair(**version)
    ike = dataclasses.replace(east.ike, encryption="aes-128")
    configs = negotiate(started, west, dataclasses.replace(east, ike=ike))
    expect(started, configs, "ike_no_proposal_or_no_connection", "ike_proposal_mismatch")


@VERSIONS
def test_peer_has_no_connection(started: Stage, version: dict[str, object]) -> None:
    """A peer that has nothing for us refuses as if the algorithms differed."""
    here = started.load(started.west, pair(**version)[0])
    started.initiate(started.west, here)
    started.fault(started.west, here, "ike_no_proposal_or_no_connection")


@VERSIONS
def test_other_esp_algorithms(started: Stage, version: dict[str, object]) -> None:
    """Both sides see that the child's proposals differ."""
    west, east = pair(**version)
    ipsec = dataclasses.replace(east.ipsec, encryption="aes-128")
    configs = negotiate(started, west, dataclasses.replace(east, ipsec=ipsec))
    expect(started, configs, "esp_proposal_mismatch", "esp_proposal_mismatch")


@VERSIONS
def test_other_networks(started: Stage, version: dict[str, object]) -> None:
    """Both sides see that the traffic selectors differ."""
    west, east = pair(**version)
    other = (builders.selector("10.93.0.0/24", "10.91.0.0/24"),)
    configs = negotiate(started, west, dataclasses.replace(east, selectors=other))
    expect(started, configs, "traffic_selector_mismatch", "traffic_selector_mismatch")


@VERSIONS
def test_nobody_answers(started: Stage, version: dict[str, object]) -> None:
    """Silence has its code at the first retransmission, and no SA stays after the last."""
    run("ip", "-n", started.namespaces[started.east], "link", "set", "wire", "down")
    run(
        *("ip", "-n", started.namespaces[started.west], "neighbour", "replace", "192.0.2.2"),
        *("lladdr", "02:00:00:00:00:09", "dev", "wire", "nud", "permanent"),
    )
    here = started.load(started.west, pair(**version)[0])
    started.initiate(started.west, here)
    started.fault(started.west, here, "peer_silent")
    observed = started.wait(started.west, lambda o: not o.ike_sas)
    assert [f.code for f in observed.faults] == ["peer_silent"]


def test_no_route(started: Stage) -> None:
    """A peer to which there is no route is told from one that is silent."""
    west = dataclasses.replace(pair(**V2)[0], peer_address="203.0.113.9", peer_id="203.0.113.9")
    here = started.load(started.west, west)
    started.initiate(started.west, here)
    started.fault(started.west, here, "peer_unreachable")


@VERSIONS
def test_peer_ends_the_tunnel(started: Stage, version: dict[str, object]) -> None:
    """Who is told to end knows that the peer did it; who ended it has no fault."""
    here, there = bring_up(started, **version)
    (sa,) = started.swan.observe(started.east).ike_sas
    started.swan.apply(started.east, TerminateIke(sa.unique_id, force=False))
    started.fault(started.west, here, "peer_deleted")
    assert started.wait(started.east, lambda o: not o.ike_sas).faults == ()
    assert there.name in {c.name for c in started.swan.observe(started.east).configs}


@VERSIONS
def test_peer_ends_a_child(started: Stage, version: dict[str, object]) -> None:
    """A child that the peer ends is a fault, although the IKE SA goes on."""
    here, _ = bring_up(started, **version)
    (sa,) = started.swan.observe(started.east).ike_sas
    started.swan.apply(started.east, TerminateChild(sa.children[0].unique_id))
    started.fault(started.west, here, "peer_deleted")
    assert started.swan.observe(started.west).ike_sas


@VERSIONS
def test_peer_dies(started: Stage, version: dict[str, object]) -> None:
    """Dead peer detection has its code once charon gives up."""
    here, _ = bring_up(started, dpd=Dpd(DpdAction.HOLD, 1, 2), **version)
    os.kill(started.pid(started.east), signal.SIGKILL)
    started.fault(started.west, here, "dpd_timeout")
    started.wait(started.west, lambda o: not o.ike_sas)


@VERSIONS
def test_success_clears(started: Stage, version: dict[str, object]) -> None:
    """Once a child is up there is no fault, and `first` of a fault is when the series began."""
    west, east = pair(**version)
    wrong = dataclasses.replace(east, psk=Secret("other"))
    here = started.load(started.west, west)
    started.load(started.east, wrong)
    started.initiate(started.west, here)
    first = started.wait(started.west, lambda o: bool(o.faults) and not o.ike_sas).faults[0]
    started.initiate(started.west, here)
    again = started.wait(
        started.west, lambda o: o.faults[0].last > first.last and not o.ike_sas
    ).faults[0]
    assert (first.first, first.code) == (again.first, again.code)
    started.load(started.east, mirror(west))
    started.initiate(started.west, here)
    assert started.wait(started.west, children_up(here)).faults == ()
