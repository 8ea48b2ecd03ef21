"""The API's rules for a connection, said beside the form's field before Neutron is asked.

The same rules as the server's; `tests/unit/dashboard/test_rules.py` holds them together.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import unicodedata
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from swanherd_dashboard.core.words import gettext_noop

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_TEXT = 255
MAX_SECONDS = 2**31 - 1
MAX_MTU = 65535
MIN_MTU = {4: 68, 6: 1280}  # RFC 791, RFC 8200 §5; bytes
SHORT_KEY = 20  # characters; what is shorter is refused here, though the API takes it
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")


class Wrong(ValueError):
    """A field's value breaks a rule; `text` is marked for translation, `values` go into it."""

    def __init__(self, field: str, text: str, **values: object) -> None:
        super().__init__(text % values if values else text)
        self.field = field
        self.text = text
        self.values = values


@dataclasses.dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet that routers of the project have an interface in: one, or several."""

    id: str
    name: str
    cidr: str
    routers: tuple[str, ...]

    @property
    def version(self) -> int:
        """Its IP version."""
        return ipaddress.ip_network(self.cidr).version


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """The networks of a connection, of one IP version: subnets here, CIDRs there."""

    version: int
    subnets: tuple[Subnet, ...]
    cidrs: tuple[str, ...]


def check_name(field: str, text: str, most: int = MAX_TEXT) -> None:
    """Refuse text that is too long, or that no database stores."""
    if len(text) > most:
        raise Wrong(field, gettext_noop("Give at most %(most)s characters."), most=most)
    if any(unicodedata.category(c) == "Cs" for c in text):
        raise Wrong(field, gettext_noop("This isn't valid Unicode text."))


def check_identity(field: str, text: str) -> None:
    """Refuse an IKE identity that the gateway or a log could misread."""
    check_name(field, text)
    if any(c.isspace() or unicodedata.category(c) in ("Cc", "Cf") for c in text):
        raise Wrong(field, gettext_noop("No spaces and no control characters."))


def check_key(text: str) -> None:
    """Refuse a key that the API refuses."""
    if not text:
        raise Wrong("psk", gettext_noop("Give a key, or have one generated."))
    check_name("psk", text)
    hidden = any(
        (c.isspace() and c != " ") or unicodedata.category(c) in ("Cc", "Cf") for c in text
    )
    if hidden or text != text.strip():
        raise Wrong(
            "psk",
            gettext_noop(
                "No control characters, newlines or tabs, and no space at the begin or end."
            ),
        )


def check_strength(text: str) -> None:
    """Refuse a key that can be guessed: whoever records the negotiation may try at leisure."""
    if len(text) < SHORT_KEY:
        raise Wrong(
            "psk",
            gettext_noop("Give at least %(least)s characters, or have a key generated."),
            least=SHORT_KEY,
        )


def check_peer_address(text: str) -> None:
    """Refuse what is neither an IP address nor a host name."""
    wrong = Wrong("peer_address", gettext_noop("Give an IP address or a host name."))
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        labels = text.removesuffix(".").split(".")
        named = all(_LABEL.match(label) for label in labels) and not labels[-1].isdigit()
        if not named or len(text) > MAX_TEXT or labels[-1].lower().startswith("0x"):
            raise wrong from None
        return
    if address.is_multicast or (address.version == 6 and "%" in text):
        raise wrong


def check_dpd(interval: int, timeout: int) -> None:
    """Refuse a dead peer detection that times out before it asks; in seconds."""
    for field, seconds in (("dpd_interval", interval), ("dpd_timeout", timeout)):
        if not 0 <= seconds <= MAX_SECONDS:
            raise Wrong(field, gettext_noop("Between 0 and %(most)s seconds."), most=MAX_SECONDS)
    if timeout <= interval:
        raise Wrong("dpd_timeout", gettext_noop("Must be greater than the interval."))


def check_mtu(mtu: int, version: int) -> None:
    """Refuse an MTU that the inner IP version doesn't allow; 0 means: as it comes."""
    if mtu and not MIN_MTU[version] <= mtu <= MAX_MTU:
        raise Wrong(
            "mtu",
            gettext_noop("Between %(least)s and %(most)s for IPv%(version)s, or 0."),
            least=MIN_MTU[version],
            most=MAX_MTU,
            version=version,
        )


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the peer's networks as they are typed: by spaces, commas or lines; none twice."""
    found: list[Network] = []
    for word in re.split(r"[\s,;]+", text.strip()):
        if not word:
            continue
        network = _network(word)
        if network in found:
            raise Wrong("peer_cidrs", gettext_noop("%(cidr)s is named twice."), cidr=network)
        found.append(network)
    if not found:
        raise Wrong("peer_cidrs", gettext_noop("Give at least one network of the other side."))
    return tuple(found)


def spelt_once(texts: Iterable[str]) -> tuple[str, ...]:
    """Return a row's networks, each in one spelling: rows may be older than the API's rules."""
    found = []
    for text in texts:
        try:
            found.append(str(_network(text)))
        except Wrong:
            found.append(text)
    return tuple(dict.fromkeys(found))


def _network(word: str) -> Network:
    wrong = Wrong(
        "peer_cidrs",
        gettext_noop("%(word)s isn't a network: give it as 10.9.0.0/24 or fd00:9::/64."),
        word=word,
    )
    if "/" not in word or "%" in word:
        raise wrong
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise wrong from None


def sides(subnets: Sequence[Subnet], cidrs: Sequence[Network]) -> tuple[Side, ...]:
    """Return the networks by IP version, a connection each; refuse a version on one side only."""
    if not subnets:
        raise Wrong("subnets", gettext_noop("Choose at least one subnet."))
    made = []
    for version in (4, 6):
        here = tuple(subnet for subnet in subnets if subnet.version == version)
        there = tuple(cidr for cidr in cidrs if cidr.version == version)
        if here and not there:
            text = gettext_noop("Give an IPv%(version)s network too, or choose no such subnet.")
            raise Wrong("peer_cidrs", text, version=version)
        if there and not here:
            text = gettext_noop("Choose an IPv%(version)s subnet too, or give no such network.")
            raise Wrong("subnets", text, version=version)
        if here:
            _check_overlap(here, there)
            made.append(Side(version, here, tuple(map(str, there))))
    return tuple(made)


def _check_overlap(here: Sequence[Subnet], there: Sequence[Network]) -> None:
    """Refuse a peer's network inside a local subnet: its packets would never leave it."""
    for subnet in here:
        local = ipaddress.ip_network(subnet.cidr)
        for cidr in there:
            inside = cidr.version == local.version and cidr.subnet_of(local)  # type: ignore[arg-type]
            if inside:
                raise Wrong(
                    "peer_cidrs",
                    gettext_noop("%(cidr)s lies in your own subnet %(subnet)s."),
                    cidr=cidr,
                    subnet=subnet.cidr,
                )


def homes(
    ports: Iterable[Mapping[str, Any]], routers: Container[str]
) -> dict[str, tuple[str, ...]]:
    """Return by subnet those of the routers that have an interface of these ports in it."""
    found: dict[str, tuple[str, ...]] = {}
    for port in ports:
        router_id = port["device_id"]
        for fixed in port["fixed_ips"] if router_id in routers else ():
            there = found.get(fixed["subnet_id"], ())
            if router_id not in there:
                found[fixed["subnet_id"]] = (*there, router_id)
    return found


def on_router(
    subnets: Mapping[str, Subnet], chosen: Sequence[str], router_id: str
) -> list[Subnet]:
    """Return the chosen subnets; refuse one in which the router has no interface."""
    found = [subnets[each] for each in chosen if each in subnets]
    if len(found) != len(chosen) or any(router_id not in subnet.routers for subnet in found):
        raise Wrong("subnets", gettext_noop("Choose subnets of the router above."))
    return found


def check_pair(version: str, ipsec_integrity: str) -> None:
    """Refuse an IPsec policy that the IKE version can't negotiate."""
    if version == "v1" and ipsec_integrity == "aes-cmac":
        raise Wrong("ipsec", gettext_noop("IKEv1 can't negotiate aes-cmac."))
