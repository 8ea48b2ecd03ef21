"""What the API takes in a policy; `tests/unit/server/test_offered.py` compares the server's."""

from __future__ import annotations

from collections.abc import Sequence

_AEAD = [
    f"aes-{bits}-{mode}-{octets}"
    for mode in ("gcm", "ccm")
    for octets in (16, 12, 8)
    for bits in (256, 192, 128)
]
_CTR = [f"aes-{bits}-ctr" for bits in (256, 192, 128)]

# By the attribute's name in the API, what to prefer first.
CHOICES: dict[str, Sequence[str]] = {
    "ike_version": ("v2", "v1"),
    "phase1_negotiation_mode": ("main", "aggressive"),
    "transform_protocol": ("esp", "ah", "ah-esp"),
    "encapsulation_mode": ("tunnel", "transport"),
    "encryption_algorithm": (*_AEAD, "aes-256", "aes-192", "aes-128", *_CTR, "3des"),
    "auth_algorithm": ("sha256", "sha384", "sha512", "aes-xcbc", "aes-cmac", "sha1"),
    "pfs": tuple(
        f"group{n}"
        for n in (19, 20, 21, 31, 14, 15, 16, 17, 18, 26, 27, 28, 29, 30, 22, 23, 24, 25, 5, 2)
    ),
}
LEAST_LIFETIME = 60  # seconds


def without_integrity(encryption: str) -> bool:
    """Whether an encryption algorithm proves the packets' integrity itself."""
    return encryption in _AEAD
