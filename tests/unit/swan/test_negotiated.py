"""What list-sas tells, in the API's words."""

from __future__ import annotations

from typing import Any

import pytest

from swanherd.core.model import ChildDetails, IkeDetails, IkeVersion
from swanherd.swan import negotiated

IKE = {
    "version": b"2",
    "state": b"ESTABLISHED",
    "initiator": b"yes",
    "encr-alg": b"AES_CBC",
    "encr-keysize": b"256",
    "integ-alg": b"HMAC_SHA2_256_128",
    "prf-alg": b"PRF_HMAC_SHA2_256",
    "dh-group": b"ECP_256",
    "established": b"12",
    "rekey-time": b"3000",
    "nat-remote": b"yes",
}
CHILD: dict[str, Any] = {
    "name": b"a",
    "encr-alg": b"AES_GCM_16",
    "encr-keysize": b"128",
    "dh-group": b"CURVE_25519",
    "bytes-in": b"10",
    "packets-in": b"1",
    "bytes-out": b"20",
    "packets-out": b"2",
    "rekey-time": b"300",
    "life-time": b"400",
    "install-time": b"7",
    "local-ts": [b"10.1.0.0/24"],
    "remote-ts": [b"10.2.0.0/24"],
}


def test_an_ike_sa_in_the_apis_words() -> None:
    """Algorithms as in policies, times in seconds."""
    expected = IkeDetails(
        IkeVersion.V2, "aes-256", "sha256", "sha256", "group19", True, 12, 3000, True
    )
    assert expected == negotiated.parse_ike(IKE)


def test_a_child_in_the_apis_words() -> None:
    """Networks, algorithms, counters, times; an AEAD has no integrity beside it."""
    expected = ChildDetails(
        "10.1.0.0/24", "10.2.0.0/24", "aes-128-gcm-16", None, "group31", 10, 20, 1, 2, 7, 300, 400
    )
    assert expected == negotiated.parse_child(CHILD)


def test_what_isnt_negotiated_has_no_details() -> None:
    """An SA that only begins tells nothing."""
    assert negotiated.parse_ike({"state": b"CONNECTING", "version": b"2"}) is None
    assert negotiated.parse_child({"name": b"a", "state": b"CREATED"}) is None


@pytest.mark.parametrize(
    ("alg", "size", "name"),
    [
        (b"3DES_CBC", b"", "3des"),
        (b"AES_CTR", b"192", "aes-192-ctr"),
        (b"AES_CCM_8", b"256", "aes-256-ccm-8"),
        (b"CAMELLIA_CBC", b"256", "CAMELLIA_CBC_256"),
    ],
)
def test_ciphers(alg: bytes, size: bytes, name: str) -> None:
    """The API's name, or strongSwan's where the API has none."""
    told = negotiated.parse_ike({**IKE, "encr-alg": alg, "encr-keysize": size})
    assert told is not None
    assert name == told.encryption
