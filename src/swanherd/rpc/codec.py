"""The one codec between our values and the plain dicts that cross the bus.

Unknown keys are ignored and keys with defaults may be missing, so that a newer server and an
older agent (or the reverse) understand each other within one major version of the RPC.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import marshal
from collections.abc import Callable
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


def _bytes_of(plain: dict[str, Any]) -> bytes:
    """Return bytes that are equal for equal values."""
    try:
        # Version 2 has no references between values: equal values are equal bytes.
        return marshal.dumps(plain, 2)
    except ValueError:  # a bus in memory hands enumerations over as they are
        return json.dumps(plain).encode()


class RouterReader:
    """Reads routers of which most connections are what they were the last time.

    An unchanged connection is the same object again: it isn't built anew, and whatever was
    worked out for it still holds. Safe to use from many threads for different routers.
    """

    def __init__(self) -> None:
        # By router and connection: what it was read from, in bytes, and the value.
        self._known: dict[str, dict[str, tuple[bytes, SiteConnection]]] = {}

    def read(self, plain: dict[str, Any]) -> DesiredRouter:
        """Return the router; ValueError if the dict describes none."""
        listed = plain.get("connections")
        if not isinstance(listed, list) or not all(isinstance(c, dict) for c in listed):
            raise ValueError("not a DesiredRouter: it has no connections")
        desired = load(DesiredRouter, {**plain, "connections": []})
        known = self._known.get(desired.id, {})
        fresh: dict[str, tuple[bytes, SiteConnection]] = {}
        for body in listed:
            text = _bytes_of(body)
            entry = known.get(str(body.get("id")))
            if entry is None or entry[0] != text:
                entry = text, load(SiteConnection, body)
            fresh[entry[1].id] = entry
        self._known[desired.id] = fresh
        connections = tuple(connection for _, connection in fresh.values())
        return dataclasses.replace(desired, connections=connections)

    def forget(self, router_id: str) -> None:
        """Keep nothing of a router that isn't ours."""
        self._known.pop(router_id, None)
