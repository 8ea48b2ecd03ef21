"""The API's names of algorithms as strongSwan's proposals: exactly one, no default beside it."""

from __future__ import annotations

import re

from swanherd.core.model import IkePolicy, IpsecPolicy, Transform

_BLOCK = re.compile(r"aes-(128|192|256)")
_COUNTER = re.compile(r"aes-(128|192|256)-ctr")
# Neutron counts the integrity check value in bytes, strongSwan in bits.
_AEAD = re.compile(r"aes-(128|192|256)-(ccm|gcm)-(8|12|16)")

_INTEGRITY = {
    "sha1": "sha1",
    "sha256": "sha256",
    "sha384": "sha384",
    "sha512": "sha512",
    "aes-xcbc": "aesxcbc",
    "aes-cmac": "aescmac",
}

_GROUPS = {
    "group1": "modp768",
    "group2": "modp1024",
    "group5": "modp1536",
    "group14": "modp2048",
    "group15": "modp3072",
    "group16": "modp4096",
    "group17": "modp6144",
    "group18": "modp8192",
    "group19": "ecp256",
    "group20": "ecp384",
    "group21": "ecp521",
    "group22": "modp1024s160",
    "group23": "modp2048s224",
    "group24": "modp2048s256",
    "group25": "ecp192",
    "group26": "ecp224",
    "group27": "ecp224bp",
    "group28": "ecp256bp",
    "group29": "ecp384bp",
    "group30": "ecp512bp",
    "group31": "curve25519",
}


class UnknownAlgorithm(ValueError):
    """An algorithm that the API may have but that strongSwan has no name for."""


def ike_proposal(policy: IkePolicy) -> str:
    """Return the one proposal for the IKE SA; raises UnknownAlgorithm."""
    cipher = _cipher(policy.encryption)
    integrity = _look_up(_INTEGRITY, policy.integrity)
    group = _look_up(_GROUPS, policy.dh_group)
    # An AEAD has its own integrity; the API's algorithm is then the PRF (RFC 5282 §8).
    second = f"prf{integrity}" if _AEAD.fullmatch(policy.encryption) else integrity
    return f"{cipher}-{second}-{group}"


def child_proposal(policy: IpsecPolicy) -> tuple[str, str]:
    """Return the key and the one proposal for the child SA; raises UnknownAlgorithm."""
    integrity = _look_up(_INTEGRITY, policy.integrity)
    group = _look_up(_GROUPS, policy.dh_group)
    match policy.transform:
        case Transform.AH:
            return "ah_proposals", f"{integrity}-{group}"
        case Transform.AH_ESP:
            # charon would quietly negotiate ESP alone.
            raise UnknownAlgorithm("ah-esp can't be negotiated")
        case Transform.ESP:
            cipher = _cipher(policy.encryption)
            is_aead = _AEAD.fullmatch(policy.encryption)
            parts = (cipher, group) if is_aead else (cipher, integrity, group)
            return "esp_proposals", "-".join(parts)


def _cipher(name: str) -> str:
    if name == "3des":
        return "3des"
    if match := _BLOCK.fullmatch(name):
        return f"aes{match[1]}"
    if match := _COUNTER.fullmatch(name):
        return f"aes{match[1]}ctr"
    if match := _AEAD.fullmatch(name):
        return f"aes{match[1]}{match[2]}{int(match[3]) * 8}"
    raise UnknownAlgorithm(f"{name} is no encryption algorithm of ours")


def _look_up(table: dict[str, str], name: str) -> str:
    try:
        return table[name]
    except KeyError:
        raise UnknownAlgorithm(f"{name} is no algorithm of ours") from None
