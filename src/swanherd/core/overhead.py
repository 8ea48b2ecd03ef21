"""How much of a packet IPsec takes: the largest inner packet that fits the path, exactly."""

from __future__ import annotations

import dataclasses

from swanherd.core.model import Encapsulation, Transform

_IP_HEADER = {4: 20, 6: 40}
_UDP_HEADER = 8  # RFC 3948
_ESP_HEADER = 8  # SPI and sequence number (RFC 4303 §2)
_ESP_TRAILER = 2  # pad length and next header (RFC 4303 §2.4)
_AH_HEADER = 12  # without the ICV (RFC 4302 §2)

# Bytes of the integrity check value, by the API's auth_algorithm.
_ICV = {
    "sha1": 12,  # RFC 2404
    "sha256": 16,  # RFC 4868
    "sha384": 24,
    "sha512": 32,
    "aes-xcbc": 12,  # RFC 3566
    "aes-cmac": 12,  # RFC 4494
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Cipher:
    """What a cipher adds in bytes; `icv` is None where the integrity algorithm tells it."""

    iv: int
    block: int
    icv: int | None = None


_COUNTER = _Cipher(iv=8, block=4)  # RFC 3686
_BLOCK = _Cipher(iv=16, block=16)  # RFC 3602


def _cipher(name: str) -> _Cipher:
    """Return the cipher of the API's encryption_algorithm."""
    match name.split("-"):
        case ["3des"]:
            return _Cipher(iv=8, block=8)  # RFC 2451
        case ["aes", "128" | "192" | "256"]:
            return _BLOCK
        case ["aes", "128" | "192" | "256", "ctr"]:
            return _COUNTER
        case ["aes", "128" | "192" | "256", "ccm" | "gcm", "8" | "12" | "16" as icv]:
            return _Cipher(iv=8, block=4, icv=int(icv))  # RFC 4309, RFC 4106
        case _:
            raise ValueError(f"no such encryption algorithm: {name}")


def largest_inner(
    path_mtu: int,
    transform: Transform,
    mode: Encapsulation,
    encryption: str,
    integrity: str,
    outer_version: int,
    *,
    udp: bool,
) -> int:
    """Return the size in bytes of the largest IP packet that crosses the path in one piece.

    `outer_version` is 4 or 6; `udp` tells whether ESP is in UDP. In transport mode the packet's
    own header is the outer one. ValueError if an algorithm isn't one of the API's.
    """
    header = _IP_HEADER[outer_version]
    room = path_mtu - header
    if transform in {Transform.AH, Transform.AH_ESP}:
        room -= _ah(integrity, outer_version)
    if transform in {Transform.ESP, Transform.AH_ESP}:
        # There is no AH through a NAT (RFC 3947), hence none in UDP.
        room -= _UDP_HEADER if udp and transform is Transform.ESP else 0
        room = _esp_payload(room, _cipher(encryption), integrity)
    return room + (header if mode is Encapsulation.TRANSPORT else 0)


def _esp_payload(room: int, cipher: _Cipher, integrity: str) -> int:
    icv = _icv(integrity) if cipher.icv is None else cipher.icv
    encrypted = room - _ESP_HEADER - cipher.iv - icv
    return encrypted - encrypted % cipher.block - _ESP_TRAILER


def _ah(integrity: str, outer_version: int) -> int:
    """Return AH's size, a multiple of 4 bytes in IPv4 and of 8 in IPv6 (RFC 4302 §3.3.3.2.1)."""
    size = _AH_HEADER + _icv(integrity)
    align = 4 if outer_version == 4 else 8
    return size + -size % align


def _icv(integrity: str) -> int:
    if integrity not in _ICV:
        raise ValueError(f"no such integrity algorithm: {integrity}")
    return _ICV[integrity]
