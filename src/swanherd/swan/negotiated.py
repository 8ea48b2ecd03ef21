"""What `list-sas` tells of negotiated algorithms, counters and times, in the API's words.

The API's names are those of proposals; what the API has no word for keeps charon's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from swanherd.core.model import ChildDetails, IkeDetails, IkeVersion

_AEAD = re.compile(r"AES_(CCM|GCM)_(8|12|16)")
_INTEGRITY = {
    "HMAC_SHA1_96": "sha1",
    "HMAC_SHA2_256_128": "sha256",
    "HMAC_SHA2_384_192": "sha384",
    "HMAC_SHA2_512_256": "sha512",
    "AES_XCBC_96": "aes-xcbc",
    "AES_CMAC_96": "aes-cmac",
}
_PRF = {
    "PRF_HMAC_SHA1": "sha1",
    "PRF_HMAC_SHA2_256": "sha256",
    "PRF_HMAC_SHA2_384": "sha384",
    "PRF_HMAC_SHA2_512": "sha512",
    "PRF_AES128_XCBC": "aes-xcbc",
    "PRF_AES128_CMAC": "aes-cmac",
}
_GROUPS = {
    "MODP_768": "group1",
    "MODP_1024": "group2",
    "MODP_1536": "group5",
    "MODP_2048": "group14",
    "MODP_3072": "group15",
    "MODP_4096": "group16",
    "MODP_6144": "group17",
    "MODP_8192": "group18",
    "ECP_256": "group19",
    "ECP_384": "group20",
    "ECP_521": "group21",
    "MODP_1024_160": "group22",
    "MODP_2048_224": "group23",
    "MODP_2048_256": "group24",
    "ECP_192": "group25",
    "ECP_224": "group26",
    "ECP_224_BP": "group27",
    "ECP_256_BP": "group28",
    "ECP_384_BP": "group29",
    "ECP_512_BP": "group30",
    "CURVE_25519": "group31",
}


def parse_ike(body: Mapping[str, Any]) -> IkeDetails | None:
    """Return the details of an IKE SA; None while nothing is negotiated."""
    encryption = _encryption(body)
    if encryption is None or "established" not in body:
        return None
    return IkeDetails(
        version=IkeVersion.V1 if _text(body, "version") == "1" else IkeVersion.V2,
        encryption=encryption,
        integrity=_name(body, "integ-alg", _INTEGRITY),
        prf=_name(body, "prf-alg", _PRF) or "",
        dh_group=_name(body, "dh-group", _GROUPS),
        initiator=_text(body, "initiator") == "yes",
        established=_number(body, "established") or 0,
        rekey_in=_number(body, "rekey-time"),
        # Not nat-fake: userspace ESP says so itself, to be encapsulated in UDP.
        nat=_text(body, "nat-local") == "yes" or _text(body, "nat-remote") == "yes",
    )


def parse_child(body: Mapping[str, Any]) -> ChildDetails | None:
    """Return the details of a child SA; None while nothing is installed."""
    if "install-time" not in body:
        return None
    return ChildDetails(
        local=_networks(body, "local-ts"),
        remote=_networks(body, "remote-ts"),
        encryption=_encryption(body),
        integrity=_name(body, "integ-alg", _INTEGRITY),
        dh_group=_name(body, "dh-group", _GROUPS),
        bytes_in=_number(body, "bytes-in") or 0,
        bytes_out=_number(body, "bytes-out") or 0,
        packets_in=_number(body, "packets-in") or 0,
        packets_out=_number(body, "packets-out") or 0,
        installed=_number(body, "install-time") or 0,
        rekey_in=_number(body, "rekey-time"),
        expires_in=_number(body, "life-time"),
    )


def _encryption(body: Mapping[str, Any]) -> str | None:
    name, size = _text(body, "encr-alg"), _text(body, "encr-keysize")
    if aead := _AEAD.fullmatch(name):
        return f"aes-{size}-{aead[1].lower()}-{aead[2]}"
    match name:
        case "":
            return None
        case "AES_CBC":
            return f"aes-{size}"
        case "AES_CTR":
            return f"aes-{size}-ctr"
        case "3DES_CBC":
            return "3des"
    return f"{name}_{size}" if size else name


def _name(body: Mapping[str, Any], key: str, words: Mapping[str, str]) -> str | None:
    told = _text(body, key)
    return words.get(told, told) or None


def _networks(body: Mapping[str, Any], key: str) -> str:
    return ",".join(_decode(selector) for selector in body.get(key, ()))


def _number(body: Mapping[str, Any], key: str) -> int | None:
    told = _text(body, key)
    return int(told) if told.isascii() and told.isdigit() else None


def _text(body: Mapping[str, Any], key: str) -> str:
    return _decode(body.get(key, b""))


def _decode(value: bytes) -> str:
    return value.decode("utf-8", "replace")
