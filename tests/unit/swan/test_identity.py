"""Whatever the text, charon reads one identity of one type and no pattern."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.swan import identity
from tests.examples import times

FEW = times(2)

# How charon reads a text with a type (identification.c): the prefix, then hex after `#`.
TYPED = re.compile(r"(ipv4|ipv6|fqdn|email|keyid):(#?)(.+)", re.DOTALL)


def as_charon_reads(rendered: str) -> tuple[str, bytes]:
    match = TYPED.fullmatch(rendered)
    assert match is not None
    kind, is_hex, value = match.groups()
    return kind, bytes.fromhex(value) if is_hex else value.encode()


@FEW
@given(st.text(min_size=1, max_size=80))
def test_any_text_is_one_literal_identity(text: str) -> None:
    """No text becomes a wildcard, an empty identity, or what charon can't print."""
    rendered = identity.render(text)
    kind, value = as_charon_reads(rendered)
    assert value
    assert rendered.isascii()
    assert rendered.isprintable()
    assert len(rendered) < 511
    if kind in ("fqdn", "email"):
        assert not value.startswith(b"*")


@FEW
@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_different_texts_are_different_identities(one: str, other: str) -> None:
    """Two texts mean the same only by a notation: `@x`, `kind:x`, hex, or an address's forms."""
    if one != other and not any(t.startswith("@") or ":" in t for t in (one, other)):
        assert identity.render(one) != identity.render(other)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("192.0.2.1", "ipv4", b"\xc0\x00\x02\x01"),
        ("0.0.0.0", "ipv4", b"\0\0\0\0"),
        ("2001:db8::1", "ipv6", bytes.fromhex("20010db8") + bytes(11) + b"\1"),
        ("vpn.example.org", "fqdn", b"vpn.example.org"),
        ("@vpn.example.org", "fqdn", b"vpn.example.org"),
        ("west", "fqdn", b"west"),
        ("me@example.org", "email", b"me@example.org"),
        ("keyid:branch-7", "keyid", b"branch-7"),
        ("KeyID:branch-7", "keyid", b"branch-7"),
        ("fqdn:a b", "fqdn", b"a b"),
        ("@#00ff", "keyid", b"\x00\xff"),
        ("@#0", "keyid", b"@#0"),
        ("%any", "keyid", b"%any"),
        ("*", "keyid", b"*"),
        ("fqdn:*", "keyid", b"*"),
        ("*@example.org", "keyid", b"*@example.org"),
        ("C=DE, CN=*", "keyid", b"C=DE, CN=*"),
        ("10.0.0.0/8", "keyid", b"10.0.0.0/8"),
        ("10.0.0.1-10.0.0.9", "fqdn", b"10.0.0.1-10.0.0.9"),
        ("#2a", "keyid", b"#2a"),
        ("{1}:#00", "keyid", b"{1}:#00"),
        ("größe", "keyid", "größe".encode()),
    ],
)
def test_types(text: str, kind: str, value: bytes) -> None:
    """The type is what the text looks like, or says; all else is a key id."""
    assert as_charon_reads(identity.render(text)) == (kind, value)


def test_too_long_is_refused() -> None:
    """charon would cut it silently."""
    with pytest.raises(identity.UnfitIdentity):
        identity.render("ü" * 255)
