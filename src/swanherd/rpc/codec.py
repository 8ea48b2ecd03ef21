"""The one codec between our values and the plain dicts that cross the bus.

Unknown keys are ignored and keys with defaults may be missing, so that a newer server and an
older agent (or the reverse) understand each other within one major version of the RPC.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import cattrs

from swanherd.core.model import (
    DesiredRouter,
    IPAddress,
    IPInterface,
    IPNetwork,
    RouterReport,
    Secret,
    SiteConnection,
)

T = TypeVar("T")


def _structure_by(parse: Callable[[str], Any]) -> Callable[[str, Any], Any]:
    return lambda text, _: None if text is None else parse(text)


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    # Networks and addresses are unions of two families, told apart by their text.
    for kind, parse in (
        (IPNetwork, ipaddress.ip_network),
        (IPAddress, ipaddress.ip_address),
        (IPInterface, ipaddress.ip_interface),
    ):
        converter.register_structure_hook(kind, _structure_by(parse))
        # Python flattens `IPAddress | None` into one union of three.
        converter.register_structure_hook(kind | None, _structure_by(parse))
        converter.register_unstructure_hook(kind, str)
        converter.register_unstructure_hook(kind | None, lambda value: value and str(value))
    for concrete in (
        ipaddress.IPv4Network,
        ipaddress.IPv6Network,
        ipaddress.IPv4Address,
        ipaddress.IPv6Address,
        ipaddress.IPv4Interface,
        ipaddress.IPv6Interface,
    ):
        converter.register_unstructure_hook(concrete, str)
    # A secret crosses the bus as its text: this codec is one of the three readers of `.value`.
    converter.register_unstructure_hook(Secret, lambda secret: secret.value)
    converter.register_structure_hook(Secret, lambda text, _: Secret(text))
    return converter


_CONVERTER = _converter()


def dump(value: DesiredRouter | RouterReport) -> dict[str, Any]:
    """Return the value as a dict of plain types."""
    plain: dict[str, Any] = _CONVERTER.unstructure(value)
    return plain


def load(kind: type[T], plain: dict[str, Any]) -> T:
    """Return the value of `kind` that the dict describes; ValueError if it describes none."""
    try:
        return _CONVERTER.structure(plain, kind)
    except cattrs.BaseValidationError as error:
        # The details may quote values, a secret among them: only the kind is told.
        raise ValueError(f"not a {kind.__name__}: {len(error.exceptions)} field(s)") from None


def difference(plain: dict[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """Return a router's dict without the connections that the asker knows by these tags.

    `tags` tells all connections of the router in order, by what their dicts are. Keyed like the
    names in charon, so that a tag doesn't let a PSK be guessed (docs/adr/0003).
    """
    key = str(plain["naming_key"]).encode()[: hashlib.blake2b.MAX_KEY_SIZE]
    tags = {body["id"]: _tag(body, key) for body in plain["connections"]}
    news = [body for body in plain["connections"] if known.get(body["id"]) != tags[body["id"]]]
    return {**plain, "connections": news, "tags": tags}


def _tag(body: dict[str, Any], key: bytes) -> str:
    text = json.dumps(body, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=8, key=key).hexdigest()


class RouterReader:
    """Reads routers of which most connections are what they were the last time.

    An unchanged connection is the same object again: it isn't built anew, and whatever was
    worked out for it still holds. Safe to use from many threads for different routers.
    """

    def __init__(self) -> None:
        # By router and connection: the server's tag of it, and the value.
        self._known: dict[str, dict[str, tuple[str, SiteConnection]]] = {}

    def tags(self, router_id: str) -> dict[str, str]:
        """Return by what tag each connection of the router is known."""
        return {i: tag for i, (tag, _) in self._known.get(router_id, {}).items()}

    def read(self, plain: dict[str, Any]) -> DesiredRouter:
        """Return the router, whole or but for what is known; ValueError if it can't be told."""
        listed = plain.get("connections")
        if not isinstance(listed, list) or not all(isinstance(c, dict) for c in listed):
            raise ValueError("not a DesiredRouter: it has no connections")
        desired = load(DesiredRouter, {**plain, "connections": []})
        news = [load(SiteConnection, body) for body in listed]
        if not isinstance(tags := plain.get("tags"), dict):
            self.forget(desired.id)
            return dataclasses.replace(desired, connections=tuple(news))
        entries = self._known.get(desired.id, {}) | {c.id: (tags.get(c.id, ""), c) for c in news}
        if [1 for i, tag in tags.items() if i not in entries or entries[i][0] != tag]:
            # So that all of it is asked for the next time.
            self.forget(desired.id)
            raise ValueError("not all of a DesiredRouter: what is missing isn't known")
        self._known[desired.id] = {i: entries[i] for i in tags}
        return dataclasses.replace(desired, connections=tuple([entries[i][1] for i in tags]))

    def forget(self, router_id: str) -> None:
        """Keep nothing of a router that isn't ours."""
        self._known.pop(router_id, None)
