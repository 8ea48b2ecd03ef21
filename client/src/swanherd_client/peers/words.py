"""What several devices' configurations have in common."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Collection, Mapping

from swanherd_client.tunnel import Kind, Policy, Tunnel, Unsayable

UNTESTED = "UNTESTED: nobody has tried this on such a device. Check it before you rely on it."
PRINTABLE = re.compile(r"[ -~]*")


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file of the device, or what is typed at it."""

    name: str
    text: str = dataclasses.field(repr=False)


def remark(text: str) -> str:
    """Return a user's text such that it can't end a comment: printable ASCII, one line."""
    return "".join(c if " " <= c <= "~" and c not in "\\?" else "_" for c in text)


def look_up(device: str, what: str, value: object, words: Mapping[str, str]) -> str:
    """Return the device's word for a value; Unsayable if it has none."""
    try:
        return words[str(value)]
    except KeyError:
        raise Unsayable(f"{device} has no {what} {value}") from None


def within(device: str, what: str, seconds: int, least: int, most: int) -> int:
    """Return a time that the device takes; Unsayable if it is out of its bounds."""
    if not least <= seconds <= most:
        raise Unsayable(f"{device} takes a {what} of {least} to {most} seconds, not {seconds}")
    return seconds


def known_group(device: str, policy: Policy, groups: Collection[int]) -> int:
    """Return the Diffie-Hellman group's number; Unsayable if the device has none."""
    if policy.group not in groups:
        raise Unsayable(f"{device} has no pfs group{policy.group}")
    return policy.group


def plain(device: str, what: str, text: str, refused: str) -> str:
    """Return a text that the device's quotes can hold as it is; Unsayable if they can't."""
    if not PRINTABLE.fullmatch(text) or any(c in refused for c in text):
        shown = " ".join(refused.replace(" ", "")) + (" or a space" if " " in refused else "")
        raise Unsayable(f"{device} can't hold this {what}: only ASCII without {shown}")
    return text


def identity_text(device: str, what: str, tunnel: Tunnel) -> str:
    """Return `cloud` or `peer` identity's characters; Unsayable if they aren't printable."""
    found = (tunnel.cloud_id if what == "cloud" else tunnel.peer_id).text
    if found is None:
        raise Unsayable(f"{device} can't hold the {what}'s identity: it isn't printable ASCII")
    return found


def only_esp_tunnels(device: str, tunnel: Tunnel) -> None:
    """Refuse ah and transport mode."""
    if tunnel.protocol != "esp":
        raise Unsayable(f"{device}: transform_protocol {tunnel.protocol} isn't supported here")
    if tunnel.transport:
        raise Unsayable(f"{device}: encapsulation_mode transport isn't supported here")


def only_ipv4(device: str, tunnel: Tunnel) -> None:
    """Refuse IPv6, inside and outside."""
    if tunnel.inner_version == 6 or tunnel.outer_version == 6:
        raise Unsayable(f"{device}: IPv6 isn't supported here")


def need_address(device: str, tunnel: Tunnel) -> str:
    """Return the device's own address; Unsayable if the API doesn't know it."""
    if tunnel.peer_address is None:
        raise Unsayable(f"{device} needs a peer_address; the connection takes any")
    return tunnel.peer_address


def is_ip(text: str) -> bool:
    """Whether a peer's address is one, and no host name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_address(kind: Kind) -> bool:
    """Whether an identity is an IP address."""
    return kind is Kind.ADDRESS
