"""Each algorithm that the API offers is the one in use, or is refused when it is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from neutron_lib.api.definitions import vpn

from swanherd.core.model import IkeVersion
from swanherd.core.validation import Invalid, check_ike_policy, check_policy_pair
from swanherd.server.api.definitions import AES_CTR
from swanherd.testing import builders
from tests.functional.swan.stage import EAST_NET, WEST_NET, Stage, Tunnel, pair, policies

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
AEAD = tuple(name for name in CIPHERS if "-ccm-" in name or "-gcm-" in name)


def offered(collection: str, attribute: str) -> set[str]:
    """Return what values a policy's attribute may have."""
    attributes = {
        **vpn.RESOURCE_ATTRIBUTE_MAP[collection],
        **AES_CTR.RESOURCE_ATTRIBUTE_MAP[collection],
    }
    return set(attributes[attribute]["validate"]["type:values"])


@pytest.mark.parametrize("collection", [vpn.IKE_POLICIES, vpn.IPSEC_POLICIES])
@pytest.mark.parametrize(
    ("attribute", "table"),
    [("encryption_algorithm", CIPHERS), ("auth_algorithm", INTEGRITY), ("pfs", GROUPS)],
)
def test_no_value_is_offered_that_no_tunnel_here_has(
    collection: str, attribute: str, table: dict[str, object]
) -> None:
    """The tables of these tests have every value of the API."""
    assert offered(collection, attribute) <= table.keys()


def is_refused(ike: dict[str, Any], ipsec: dict[str, Any]) -> bool:
    """Whether the API takes no connection of two such policies."""
    mine, yours = builders.ike_policy(**ike), builders.ipsec_policy(**ipsec)
    try:
        check_ike_policy(mine)
        check_policy_pair(mine, yours)
    except Invalid:
        return True
    return False


def permitted(version: IkeVersion, **changes: str) -> dict[str, Any]:
    """Return policies with these values, where the API takes them in that IKE version."""
    wanted = policies(version, **changes)
    if is_refused({"version": version, **changes}, {}):
        wanted["ike"] = builders.ike_policy(version=version)
    return wanted


def check(tunnel: Tunnel, changes: dict[str, Any]) -> None:
    """What charon has is exactly what the policies say, and the owner is told so."""
    ike, *children = tunnel.negotiated()
    check_one(ike, changes["ike"])
    assert PRFS[changes["ike"].integrity] == ike["prf-alg"]
    assert GROUPS[changes["ike"].dh_group] == ike["dh-group"]
    ipsec = changes["ipsec"]
    for child in children:
        check_one(child, ipsec)
    # In IKEv2 the first child is made in the IKE SA's own exchange (RFC 7296 §1.2).
    begun = {None} if changes["ike"].version is IkeVersion.V2 else set()
    more = {GROUPS[ipsec.dh_group]} if len(children) > len(begun) else set()
    assert begun | more == {child.get("dh-group") for child in children}
    check_told(tunnel.stage, changes)


def check_one(seen: dict[str, str], policy: Any) -> None:
    """Cipher and integrity of an SA; an AEAD has none beside it (RFC 5282 §8)."""
    assert CIPHERS[policy.encryption] == (seen["encr-alg"], seen.get("encr-keysize", ""))
    expected = None if policy.encryption in AEAD else INTEGRITY[policy.integrity]
    assert seen.get("integ-alg") == expected


def check_told(stage: Stage, changes: dict[str, Any]) -> None:
    """What the owner is told is said in the words of the policies."""
    (sa,) = stage.swan.observe(stage.west).ike_sas
    ike, wanted = sa.details, changes["ike"]
    assert ike is not None
    integrity = None if wanted.encryption in AEAD else wanted.integrity
    assert (ike.version, ike.dh_group) == (wanted.version, wanted.dh_group)
    assert (ike.encryption, ike.integrity) == (wanted.encryption, integrity)
    assert ike.prf == wanted.integrity
    wanted = changes["ipsec"]
    integrity = None if wanted.encryption in AEAD else wanted.integrity
    children = [child.details for child in sa.children]
    for child in children:
        assert child is not None
        assert (child.encryption, child.integrity) == (wanted.encryption, integrity)
        assert child.local
        assert child.expires_in is not None
    groups = [child.dh_group for child in children if child is not None and child.dh_group]
    own = 1 if ike.version is IkeVersion.V2 else 0
    assert groups == [wanted.dh_group] * (len(children) - own)


@pytest.mark.parametrize("name", CIPHERS)
@pytest.mark.parametrize("version", IkeVersion)
def test_cipher(shared: Stage, version: IkeVersion, name: str) -> None:
    """The cipher of the policy is the one in use, for IKE (what IKEv1 has of it) and ESP."""
    changes = permitted(version, encryption=name)
    with (tunnel := Tunnel(shared, *pair(**changes))):
        check(tunnel, changes)


# IKEv1 has no AES-CMAC at all.
@pytest.mark.parametrize(
    ("version", "name"),
    [
        (v, n)
        for v in IkeVersion
        for n in INTEGRITY
        if not is_refused({"version": v}, {"integrity": n})
    ],
)
def test_integrity(shared: Stage, version: IkeVersion, name: str) -> None:
    """The integrity algorithm of the policy is the one in use, for IKE as the PRF too."""
    changes = permitted(version, integrity=name)
    with (tunnel := Tunnel(shared, *pair(**changes))):
        check(tunnel, changes)


@pytest.mark.parametrize("integrity", PRFS)
@pytest.mark.parametrize("encryption", ["aes-256-gcm-16", "aes-128-ccm-8"])
def test_prf_of_an_aead(shared: Stage, encryption: str, integrity: str) -> None:
    """With an AEAD the policy's integrity algorithm is the PRF alone."""
    changes = policies(IkeVersion.V2, encryption=encryption, integrity=integrity)
    with (tunnel := Tunnel(shared, *pair(**changes))):
        check(tunnel, changes)


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("version", IkeVersion)
def test_group(shared: Stage, version: IkeVersion, name: str) -> None:
    """The groups of the policies are those in use: for IKE, and for each child with PFS."""
    changes = policies(version, dh_group=name)
    # A second child: in IKEv2 the first one has the IKE SA's group.
    nets = (EAST_NET, "10.93.0.0/24")[: 2 if version is IkeVersion.V2 else 1]
    selectors = tuple(builders.selector(WEST_NET, net) for net in nets)
    with (tunnel := Tunnel(shared, *pair(**changes, selectors=selectors))):
        check(tunnel, changes)
