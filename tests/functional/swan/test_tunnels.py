"""What is negotiated is what the policies say, and a user's text is only ever itself."""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import vici

from swanherd.core.ike import (
    CharonOptions,
    IkeConfig,
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
    RouterId,
    Secret,
    SiteConnection,
    Transform,
)
from swanherd.testing import builders
from tests.functional.swan.stage import PLANE, Stage, children_up, make_stage, mirror, pair, run

SIZES = ("128", "192", "256")
CIPHERS = {
    "3des": ("3DES_CBC", ""),
    **{f"aes-{size}": ("AES_CBC", size) for size in SIZES},
    **{f"aes-{size}-ctr": ("AES_CTR", size) for size in SIZES},
    **{f"aes-{size}-{mode}-{n}": (f"AES_{mode.upper()}_{n}", size)
       for size in SIZES for mode in ("ccm", "gcm") for n in ("8", "12", "16")},
}  # fmt: skip
PLAIN = ("3des", "aes-128", "aes-192", "aes-256")
INTEGRITY = {
    "sha1": "HMAC_SHA1_96",
    "sha256": "HMAC_SHA2_256_128",
    "sha384": "HMAC_SHA2_384_192",
    "sha512": "HMAC_SHA2_512_256",
    "aes-xcbc": "AES_XCBC_96",
    "aes-cmac": "AES_CMAC_96",
}
PRFS = {
    "sha1": "PRF_HMAC_SHA1",
    "sha256": "PRF_HMAC_SHA2_256",
    "sha384": "PRF_HMAC_SHA2_384",
    "sha512": "PRF_HMAC_SHA2_512",
    "aes-xcbc": "PRF_AES128_XCBC",
    "aes-cmac": "PRF_AES128_CMAC",
}
GROUPS = {
    "group1": "MODP_768",
    "group2": "MODP_1024",
    "group5": "MODP_1536",
    "group14": "MODP_2048",
    "group15": "MODP_3072",
    "group16": "MODP_4096",
    "group17": "MODP_6144",
    "group18": "MODP_8192",
    "group19": "ECP_256",
    "group20": "ECP_384",
    "group21": "ECP_521",
    "group22": "MODP_1024_160",
    "group23": "MODP_2048_224",
    "group24": "MODP_2048_256",
    "group25": "ECP_192",
    "group26": "ECP_224",
    "group27": "ECP_224_BP",
    "group28": "ECP_256_BP",
    "group29": "ECP_384_BP",
    "group30": "ECP_512_BP",
    "group31": "CURVE_25519",
}
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


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    """One pair of charons for all: the responder of aggressive mode allows it."""
    with make_stage() as stage:
        stage.start(CharonOptions(PLANE, aggressive_psk=True))
        yield stage


def ask(stage: Stage, router: RouterId, command: str, event: str) -> list[dict[str, Any]]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(stage.state / router / "charon.vici"))
        return list(vici.Session(sock).streamed_request(command, event))


class Tunnel:
    """A connection that is up while the block runs."""

    def __init__(self, stage: Stage, west: SiteConnection, east: SiteConnection) -> None:
        self.stage = stage
        self.ends = ((stage.west, west), (stage.east, east))
        self.configs: list[IkeConfig] = []

    def __enter__(self) -> IkeConfig:
        self.configs = [self.stage.load(router, c) for router, c in self.ends]
        self.stage.initiate(self.stage.west, self.configs[0])
        for (router, _), config in zip(self.ends, self.configs, strict=True):
            self.stage.wait(router, children_up(config))
        return self.configs[0]

    def __exit__(self, *_: object) -> None:
        stage = self.stage
        for (router, _), config in zip(self.ends, self.configs, strict=True):
            stage.swan.apply(router, UnloadConfig(config.name))
            stage.swan.apply(router, UnloadSecret(config.connection.id))
            for sa in stage.swan.observe(router).ike_sas:
                stage.swan.apply(router, TerminateIke(sa.unique_id, force=True))
            stage.wait(router, lambda o: not o.ike_sas)

    def negotiated(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return what list-sas says of the IKE SA and of its child."""
        (message,) = ask(self.stage, self.stage.west, "list-sas", "list-sa")
        (ike,) = message.values()
        (child,) = ike["child-sas"].values()
        return tuple(
            {k: v.decode() for k, v in sa.items() if isinstance(v, bytes)} for sa in (ike, child)
        )  # type: ignore[return-value]


def policies(version: IkeVersion, **changes: str) -> dict[str, Any]:
    return {
        "ike": builders.ike_policy(version=version, **changes),
        "ipsec": builders.ipsec_policy(**changes),
    }


def check_cipher(seen: dict[str, str], name: str) -> None:
    algorithm, size = CIPHERS[name]
    assert algorithm == seen["encr-alg"]
    assert size == seen.get("encr-keysize", "")


def check_told(stage: Stage, changes: dict[str, Any]) -> None:
    """What the owner is told is said in the words of the policies."""
    (sa,) = stage.swan.observe(stage.west).ike_sas
    ike, child = sa.details, sa.children[0].details
    assert ike is not None
    assert child is not None
    wanted, aead = changes["ike"], ("-gcm-", "-ccm-")
    expected = None if any(a in wanted.encryption for a in aead) else wanted.integrity
    told = (ike.version, ike.encryption, ike.integrity, ike.dh_group)
    assert told == (wanted.version, wanted.encryption, expected, wanted.dh_group)
    if expected is None or not wanted.integrity.startswith("aes"):
        assert ike.prf == wanted.integrity
    wanted = changes["ipsec"]
    expected = None if any(a in wanted.encryption for a in aead) else wanted.integrity
    assert (child.encryption, child.integrity) == (wanted.encryption, expected)
    assert child.dh_group == (wanted.dh_group if ike.version is IkeVersion.V1 else None)
    assert child.local
    assert child.expires_in is not None


@pytest.mark.parametrize("name", CIPHERS)
@pytest.mark.parametrize("version", IkeVersion)
def test_cipher(shared: Stage, version: IkeVersion, name: str) -> None:
    """The cipher of the policy is the one in use, for IKE (what IKEv1 has of it) and ESP."""
    changes = policies(version, encryption=name)
    if version is IkeVersion.V1 and name not in PLAIN:
        changes["ike"] = builders.ike_policy(version=version)
    tunnel = Tunnel(shared, *pair(**changes))
    with tunnel:
        ike, child = tunnel.negotiated()
        check_cipher(child, name)
        check_cipher(ike, changes["ike"].encryption)
        check_told(shared, changes)


# IKEv1 has no AES-CMAC; the API refuses it.
@pytest.mark.parametrize(
    ("version", "name"),
    [(v, n) for v in IkeVersion for n in INTEGRITY if (v, n) != (IkeVersion.V1, "aes-cmac")],
)
def test_integrity(shared: Stage, version: IkeVersion, name: str) -> None:
    """The integrity algorithm of the policy is the one in use."""
    changes = policies(version, integrity=name)
    if version is IkeVersion.V1 and name.startswith("aes"):
        changes["ike"] = builders.ike_policy(version=version)
    tunnel = Tunnel(shared, *pair(**changes))
    with tunnel:
        ike, child = tunnel.negotiated()
        assert INTEGRITY[name] == child["integ-alg"]
        assert INTEGRITY[changes["ike"].integrity] == ike["integ-alg"]
        check_told(shared, changes)


@pytest.mark.parametrize("name", GROUPS)
def test_group(shared: Stage, name: str) -> None:
    """The group of the policies is the one in use; in IKEv1 for the child too (PFS)."""
    changes = policies(IkeVersion.V1, dh_group=name)
    tunnel = Tunnel(shared, *pair(**changes))
    with tunnel:
        ike, child = tunnel.negotiated()
        assert GROUPS[name] == ike["dh-group"]
        assert GROUPS[name] == child["dh-group"]
        check_told(shared, changes)


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
