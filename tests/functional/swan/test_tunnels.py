"""What is negotiated is what the policies say, and a user's text is only ever itself."""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path

import pytest

from swanherd.core.ike import (
    Initiate,
    LoadConfig,
    TerminateIke,
    UnloadConfig,
    UnloadSecret,
)
from swanherd.core.model import (
    DataPlane,
    Encapsulation,
    IkeVersion,
    Phase1Mode,
    Secret,
    Transform,
)
from swanherd.testing import builders
from tests.functional.swan.stage import (
    PLANE,
    Stage,
    Tunnel,
    children_up,
    mirror,
    pair,
    policies,
    run,
)

HOSTILE = (
    "%any",
    "%any6",
    "*",
    "*.example.org",
    "*@example.org",
    "0.0.0.0",
    "::",
    "10.0.0.0/8",
    "0.0.0.0-255.255.255.255",
    "@#00",
    "#2a",
    "C=DE,CN=*",
    "asn1dn:#30",
    "{1}:#00000000",
    "ipv4:0.0.0.0",
    "fqdn:*",
    "email:#2a",
    "keyid:*",
    'a"b$c',
    "größe",
    "x" * 255,
)


@pytest.mark.parametrize("version", IkeVersion)
@pytest.mark.parametrize("outer", [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")])
@pytest.mark.parametrize("inner", [("10.91.0.1", "10.92.0.1"), ("fd91::1", "fd92::1")])
def test_packets_pass(
    shared: Stage, version: IkeVersion, outer: tuple[str, str], inner: tuple[str, str]
) -> None:
    """Packets of either family go through a tunnel over either family, and nothing beside it."""
    prefix = 64 if ":" in inner[0] else 24
    networks = [str(ipaddress.ip_interface(f"{a}/{prefix}").network) for a in inner]
    tunnel = Tunnel(
        shared,
        *pair(
            **policies(version),
            local_address=ipaddress.ip_address(outer[0]),
            peer_address=outer[1],
            peer_id=outer[1],
            selectors=(builders.selector(networks[0], networks[1]),),
        ),
    )
    with tunnel:
        ping(shared, *inner)
        _, child = tunnel.negotiated()
        assert child["packets-in"] == child["packets-out"] == "1"
        assert child.get("encap", "no") == ("yes" if PLANE is DataPlane.USERSPACE else "no")


@pytest.mark.parametrize("version", IkeVersion)
def test_a_peer_inside_its_own_cidr(shared: Stage, version: IkeVersion) -> None:
    """IKE and ESP go on although the peer's address lies in what the tunnel protects."""
    selectors = (builders.selector("10.91.0.0/24", "192.0.2.0/24"),)
    tunnel = Tunnel(shared, *pair(**policies(version), selectors=selectors))
    with tunnel as config:
        ping(shared, "10.91.0.1", "192.0.2.2")
        _, child = tunnel.negotiated()
        assert child["packets-in"] == child["packets-out"] == "1"
        (sa,) = shared.swan.observe(shared.west).ike_sas
        shared.swan.apply(shared.west, TerminateIke(sa.unique_id, force=False))
        shared.wait(shared.east, lambda o: not o.ike_sas)
        shared.initiate(shared.west, config)
        shared.wait(shared.west, children_up(config))


@pytest.mark.skipif(
    PLANE is DataPlane.USERSPACE, reason="userspace ESP has neither; make test-kernel runs it"
)
@pytest.mark.parametrize("version", IkeVersion)
@pytest.mark.parametrize(
    "ipsec",
    [{"mode": Encapsulation.TRANSPORT}, {"transform": Transform.AH}],
    ids=["transport", "ah"],
)
def test_what_only_the_kernel_has(
    shared: Stage, version: IkeVersion, ipsec: dict[str, object]
) -> None:
    """Transport mode and AH carry packets where the kernel protects them."""
    changes = policies(version) | {"ipsec": builders.ipsec_policy(**ipsec)}
    selectors = (builders.selector("192.0.2.1/32", "192.0.2.2/32"),)
    tunnel = Tunnel(shared, *pair(**changes, selectors=selectors))
    with tunnel:
        ping(shared, "192.0.2.1", "192.0.2.2")
        _, child = tunnel.negotiated()
        assert child["packets-in"] == child["packets-out"] == "1"
        assert child["mode"] == str(ipsec.get("mode", "tunnel")).upper()
        assert child["protocol"] == ("AH" if "transform" in ipsec else "ESP")


def ping(stage: Stage, source: str, target: str) -> None:
    """Send one packet from west and wait for its answer."""
    west = stage.namespaces[stage.west]
    run("ip", "netns", "exec", west, "ping", "-c1", "-W5", "-I", source, target)


def test_aggressive_mode(shared: Stage) -> None:
    """An IKEv1 aggressive-mode responder answers when the daemon was started for it."""
    ike = builders.ike_policy(version=IkeVersion.V1, mode=Phase1Mode.AGGRESSIVE)
    with Tunnel(shared, *pair(ike=ike, local_id="west", peer_id="east")):
        pass


@pytest.mark.parametrize("version", IkeVersion)
def test_shortest_lifetime(shared: Stage, version: IkeVersion) -> None:
    """The shortest lifetime of the API is the hard limit exactly, and rekeying comes before."""
    west, east = pair(
        ike=builders.ike_policy(version=version, lifetime=60),
        ipsec=builders.ipsec_policy(lifetime=60),
    )
    tunnel = Tunnel(shared, west, east)
    with tunnel:
        ike, child = tunnel.negotiated()
        assert int(child["life-time"]) in (59, 60)
        assert 0 < int(child["rekey-time"]) < 60
        assert 0 < int(ike["rekey-time"]) < 60


@pytest.mark.parametrize("identity", HOSTILE)
def test_hostile_identity_is_itself(shared: Stage, identity: str) -> None:
    """Whatever the text, both sides that say the same understand each other."""
    west, east = pair(local_id=identity)
    with Tunnel(shared, west, east):
        pass


@pytest.mark.parametrize("identity", HOSTILE)
def test_hostile_identity_matches_nobody_else(shared: Stage, identity: str) -> None:
    """A peer_id that charon could read as a pattern doesn't let another identity in."""
    west, east = pair(local_id="west.example.org")
    here = shared.load(shared.west, west)
    there = shared.load(shared.east, dataclasses.replace(east, peer_id=identity))
    shared.initiate(shared.west, here)
    shared.fault(shared.west, here, "psk_or_id_mismatch")
    shared.swan.apply(shared.west, UnloadConfig(here.name))
    shared.swan.apply(shared.east, UnloadConfig(there.name))
    shared.swan.apply(shared.east, UnloadSecret(there.connection.id))


@pytest.mark.parametrize("version", IkeVersion)
@pytest.mark.parametrize("lifetime", [60, 3600])
def test_generations_and_connections_have_ike_sas_of_their_own(
    shared: Stage, version: IkeVersion, lifetime: int
) -> None:
    """Configs that differ in nothing but their name never share an IKE SA."""
    west, east = pair(ike=builders.ike_policy(version=version, lifetime=lifetime))
    tunnel = Tunnel(shared, west, east)
    with tunnel as first:
        second = dataclasses.replace(first, name=first.name[:-16] + "0123456789abcdef")
        shared.swan.apply(shared.west, LoadConfig(second))
        shared.swan.apply(shared.west, UnloadConfig(first.name))
        shared.swan.apply(shared.west, Initiate(second.name, second.children[0][0]))
        observed = shared.wait(shared.west, children_up(second))
        assert {first.name, second.name} == {sa.config for sa in observed.ike_sas}
        assert len(observed.ike_sas) == 2
        shared.swan.apply(shared.west, UnloadConfig(second.name))


def test_psk_is_told_to_charon_alone(shared: Stage) -> None:
    """The key is in no log, file, command line or representation."""
    secret = "correct-horse-" + "battery" * 8
    west, east = pair(psk=Secret(secret))
    with Tunnel(shared, west, east) as config:
        for router in (shared.west, shared.east):
            directory = shared.state / router
            assert directory.stat().st_mode & 0o777 == 0o700
            for file in directory.iterdir():
                assert not file.is_file() or secret.encode() not in file.read_bytes()
            process = Path(f"/proc/{shared.pid(router)}")
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            assert secret.encode() not in told
        assert secret not in repr(config) + repr(shared.swan.observe(shared.west))


@pytest.mark.skipif(PLANE is DataPlane.KERNEL, reason="the kernel has transport mode")
def test_transport_mode_says_why_it_fails(shared: Stage) -> None:
    """Userspace ESP has no transport mode: that ends in a fault, not in another mode."""
    west, _ = pair(
        ipsec=builders.ipsec_policy(mode=Encapsulation.TRANSPORT),
        selectors=(builders.selector("192.0.2.1/32", "192.0.2.2/32"),),
    )
    here, there = shared.load(shared.west, west), shared.load(shared.east, mirror(west))
    shared.initiate(shared.west, here)
    observed = shared.wait(shared.west, lambda o: bool(o.faults))
    assert not children_up(here)(observed)
    for router, config in ((shared.west, here), (shared.east, there)):
        shared.swan.apply(router, UnloadConfig(config.name))
        shared.swan.apply(router, UnloadSecret(config.connection.id))
        for sa in shared.swan.observe(router).ike_sas:
            shared.swan.apply(router, TerminateIke(sa.unique_id, force=True))
