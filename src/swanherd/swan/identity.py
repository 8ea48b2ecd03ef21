"""IKE identities as strongSwan's config strings, such that a user's text is only ever itself.

charon guesses the type of an identity from its text: `%any`, `*`, `0.0.0.0` and an empty text
match every peer, `C=…` is a distinguished name with wildcards, a leading `*` in a name matches
every suffix (identification.c). So the type is always said, and what charon would read in
another way is said in hex.
"""

from __future__ import annotations

import ipaddress
import re

# charon reads an identity into 512 bytes and cuts what is longer (vici_config.c, parse_id).
_LONGEST = 510

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_EMAIL = re.compile(r"[^@*#\s][^@\s]*@[^@\s]+")
_HEX = re.compile(r"@#((?:[0-9A-Fa-f]{2})+)")
_PREFIXES = ("keyid", "fqdn", "email")


class UnfitIdentity(ValueError):
    """An identity that can't be told to charon."""


def render(text: str) -> str:
    """Return the identity of the API as charon's config string.

    An IP address, an e-mail address and a name are of these types. `@name` is a name,
    `@#hex` a key id in hex, and `keyid:`, `fqdn:` and `email:` say the type, as in ipsec.conf.
    All else is a key id of exactly these characters. Raises UnfitIdentity.
    """
    rendered = _render(text)
    if len(rendered) > _LONGEST:
        raise UnfitIdentity("an identity is longer than strongSwan can read")
    return rendered


def _render(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
        return f"ipv{address.version}:#{address.packed.hex()}"
    if match := _HEX.fullmatch(text):
        return f"keyid:#{match[1].lower()}"
    prefix, colon, value = text.partition(":")
    if colon and value and prefix.lower() in _PREFIXES:
        return _typed(prefix.lower(), value)
    if _EMAIL.fullmatch(text):
        return _typed("email", text)
    name = text.removeprefix("@")
    return _typed("fqdn", name) if _NAME.fullmatch(name) else _typed("keyid", text)


def _typed(kind: str, value: str) -> str:
    """Return the value with its type; a key id where charon would see a wildcard."""
    if value.startswith("*"):
        kind = "keyid"
    if value.isascii() and value.isprintable() and not value.startswith("#"):
        return f"{kind}:{value}"
    return f"{kind}:#{value.encode().hex()}"
