"""The largest inner packet fits the path, and one byte more doesn't."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.model import Encapsulation, Transform
from swanherd.core.overhead import largest_inner

# (IV, block, ICV or None) and ICV as the RFCs have them, written down a second time.
CIPHERS = {
    "3des": (8, 8, None),
    **{f"aes-{n}": (16, 16, None) for n in (128, 192, 256)},
    **{f"aes-{n}-ctr": (8, 4, None) for n in (128, 192, 256)},
    **{
        f"aes-{n}-{kind}-{icv}": (8, 4, icv)
        for n in (128, 192, 256)
        for kind in ("ccm", "gcm")
        for icv in (8, 12, 16)
    },
}
ICVS = {"sha1": 12, "sha256": 16, "sha384": 24, "sha512": 32, "aes-xcbc": 12, "aes-cmac": 12}

suites = st.tuples(
    st.sampled_from(sorted(CIPHERS)),
    st.sampled_from(sorted(ICVS)),
    st.sampled_from([4, 6]),
    st.booleans(),
    st.integers(min_value=576, max_value=9216),
)


def padded(size: int, block: int) -> int:
    return -(-size // block) * block


def esp_on_the_wire(inner: int, suite: tuple, mode: Encapsulation) -> int:
    """Return the length of the packet that carries `inner` bytes (RFC 4303 figure 1)."""
    encryption, integrity, version, udp, _ = suite
    iv, block, icv = CIPHERS[encryption]
    header = {4: 20, 6: 40}[version]
    payload = inner if mode is Encapsulation.TUNNEL else inner - header
    secured = padded(payload + 2, block)
    return header + 8 * udp + 8 + iv + secured + (ICVS[integrity] if icv is None else icv)


@given(suites, st.sampled_from(Encapsulation))
def test_esp_one_byte_more_does_not_fit(suite, mode):
    """For every suite, family and mode the answer fills the path and is the largest that does."""
    encryption, integrity, version, udp, path = suite
    inner = largest_inner(path, Transform.ESP, mode, encryption, integrity, version, udp=udp)
    assert esp_on_the_wire(inner, suite, mode) <= path
    assert esp_on_the_wire(inner + 1, suite, mode) > path


@given(suites, st.sampled_from(Encapsulation))
def test_ah_fills_the_path(suite, mode):
    """AH pads nothing but its own header, so that the packet has exactly the path's size."""
    encryption, integrity, version, udp, path = suite
    inner = largest_inner(path, Transform.AH, mode, encryption, integrity, version, udp=udp)
    header = {4: 20, 6: 40}[version]
    ah = padded(12 + ICVS[integrity], {4: 4, 6: 8}[version])
    carried = inner if mode is Encapsulation.TUNNEL else inner - header
    assert header + ah + carried == path


@pytest.mark.parametrize(
    ("expected", "encryption", "integrity", "version", "udp"),
    [
        # 1500 - 20 - 8 - 8 - 16 = 1448, less 8 of IV and SHA-256's 16: 1424 = 89 blocks of 16
        (1422, "aes-128", "sha256", 4, True),
        (1446, "aes-256-gcm-16", "sha256", 4, False),
        (1438, "aes-128", "sha1", 4, False),
    ],
)
def test_known_values(expected, encryption, integrity, version, udp):
    """Values that are found in the world's tables for a path of 1500 bytes."""
    assert expected == largest_inner(
        1500, Transform.ESP, Encapsulation.TUNNEL, encryption, integrity, version, udp=udp
    )


@pytest.mark.parametrize("version", [4, 6])
def test_both_take_more_than_each(version):
    """ESP inside of AH leaves less than either alone."""
    esp, ah, both = (
        largest_inner(1500, t, Encapsulation.TUNNEL, "aes-128", "sha1", version, udp=False)
        for t in (Transform.ESP, Transform.AH, Transform.AH_ESP)
    )
    assert both < min(esp, ah)


@pytest.mark.parametrize(
    ("encryption", "integrity"),
    itertools.chain(
        ((name, "sha1") for name in ("des", "aes", "aes-512", "aes-128-gcm-4", "aes-128-ctr-8")),
        [("aes-128", "md5")],
    ),
)
def test_an_unknown_algorithm_is_refused(encryption, integrity):
    """No size is guessed for an algorithm that isn't the API's."""
    with pytest.raises(ValueError, match="no such"):
        largest_inner(
            1500, Transform.ESP, Encapsulation.TUNNEL, encryption, integrity, 4, udp=False
        )
