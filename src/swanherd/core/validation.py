"""What a valid request is: pure rules over plain values.

Each rule raises `Invalid` with the rule's name and what the server's exception of that name is
told; the text names the field and what is allowed.
"""

from __future__ import annotations

import enum
import ipaddress
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence

from swanherd.core.capabilities import limitation
from swanherd.core.model import (
    DataPlane,
    IkePolicy,
    IkeVersion,
    IPAddress,
    IPNetwork,
    IpsecPolicy,
    TrafficSelector,
    Transform,
)

MIN_MTU: Mapping[int, int] = {4: 68, 6: 1280}  # RFC 791, RFC 8200 §5; bytes
MAX_MTU = 65535
MAX_SECONDS = 2**31 - 1  # what the column holds
MAX_TEXT = 255
MAX_CIDR = 64  # characters; a prefix length may have any number of zeros before it

# RFC 8221 and RFC 8247 (SHOULD NOT, MUST NOT or on the way to it), and for a key that is shared in
# aggressive mode RFC 2409 §5.4: who listens can guess it.
WEAK: Mapping[str, tuple[frozenset[str], str]] = {
    "encryption_algorithm": (frozenset({"3des"}), "aes-128, aes-256 or aes-256-gcm-16"),
    "auth_algorithm": (frozenset({"sha1"}), "sha256, sha384 or sha512"),
    "pfs": (
        frozenset({"group2", "group5", "group22", "group23", "group24", "group25"}),
        "group14, group19, group20 or group31",
    ),
    "phase1_negotiation_mode": (frozenset({"aggressive"}), "main, or ike_version v2"),
}

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)


class Rule(enum.Enum):
    """The rules, each of which has its own exception in the API."""

    VALUE = "value"
    UNSUPPORTED = "unsupported"
    DPD_TIMEOUT = "dpd_timeout"
    MTU = "mtu"
    PEER_ADDRESS = "peer_address"
    PEER_CIDR = "peer_cidr"
    MISSING_PEER_CIDRS = "missing_peer_cidrs"
    PEER_CIDRS_WITH_GROUPS = "peer_cidrs_with_groups"
    GROUPS_WITH_SUBNET = "groups_with_subnet"
    MISSING_GROUPS = "missing_groups"
    GROUP_TYPE = "group_type"
    NO_ENDPOINT = "no_endpoint"
    ENDPOINT = "endpoint"
    MIXED_GROUP = "mixed_group"
    MIXED_PEER_CIDRS = "mixed_peer_cidrs"
    MIXED_SIDES = "mixed_sides"


class Invalid(ValueError):
    """A request breaks a rule; `details` are the names that the rule's exception formats."""

    def __init__(self, rule: Rule, text: str, **details: object) -> None:
        super().__init__(text)
        self.rule = rule
        self.text = text
        self.details = details


def _value(field: str, must: str) -> Invalid:
    return Invalid(Rule.VALUE, f"{field} {must}", field=field)


def _unsupported(resource: str, key: str, value: str, why: str) -> Invalid:
    return Invalid(Rule.UNSUPPORTED, why, resource=resource, key=key, value=value, why=why)


def check_text(field: str, value: str | None) -> None:
    """Refuse text that can't be encoded (a lone surrogate): no database stores it."""
    if value is not None and any(unicodedata.category(c) == "Cs" for c in value):
        raise _value(field, "must be valid Unicode text")


def check_identity(field: str, value: str, *, required: bool) -> None:
    """Refuse an IKE identity that charon or a log could misread."""
    check_text(field, value)
    if required and not value:
        raise _value(field, "must not be empty")
    if len(value) > MAX_TEXT:
        raise _value(field, f"must have at most {MAX_TEXT} characters")
    if any(c.isspace() or unicodedata.category(c) in ("Cc", "Cf") for c in value):
        raise _value(field, "must not contain whitespace or control characters")


def check_psk(value: str) -> None:
    """Refuse a key that is empty, too long, or that a person can't see in full."""
    check_text("psk", value)
    if not value:
        raise _value("psk", "must not be empty")
    if len(value) > MAX_TEXT:
        raise _value("psk", f"must have at most {MAX_TEXT} characters")
    if value != value.strip() or any(
        (c.isspace() and c != " ") or unicodedata.category(c) in ("Cc", "Cf") for c in value
    ):
        raise _value(
            "psk",
            "must not contain control characters, newlines or tabs, "
            "and must not begin or end with a space",
        )


def whole_number(field: str, value: object) -> int:
    """Return a number that a client may have sent as text; refuse anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # Python converts no more than 4,300 digits.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < MAX_TEXT:
        return int(value)
    raise _value(field, f"must be a whole number, not {value!r}")


def check_seconds(field: str, value: int, *, least: int) -> None:
    """Refuse a duration that the column can't hold; in seconds."""
    if not least <= value <= MAX_SECONDS:
        raise _value(field, f"must be between {least} and {MAX_SECONDS} seconds, not {value}")


def check_dpd(interval: int, timeout: int) -> None:
    """Refuse a dead peer detection that times out before it asks; in seconds."""
    check_seconds("dpd interval", interval, least=0)
    check_seconds("dpd timeout", timeout, least=0)
    if timeout <= interval:
        raise Invalid(
            Rule.DPD_TIMEOUT, "dpd timeout must be greater than interval", attr="dpd_timeout"
        )


def check_mtu(mtu: int, version: int) -> None:
    """Refuse an MTU that the inner family doesn't allow; 0 means: as it comes."""
    if mtu > MAX_MTU:
        raise _value("mtu", f"must be between {MIN_MTU[version]} and {MAX_MTU}, not {mtu}")
    if mtu and mtu < MIN_MTU[version]:
        raise Invalid(
            Rule.MTU, f"mtu must be at least {MIN_MTU[version]}", mtu=mtu, version=version
        )


def check_ike_policy(policy: IkePolicy) -> None:
    """Refuse what IKE itself can't negotiate (measured with strongSwan: see docs/limitations)."""
    check_seconds("lifetime value", policy.lifetime, least=60)
    if policy.version is not IkeVersion.V1:
        return
    if any(part in policy.encryption for part in ("-ccm-", "-gcm-", "-ctr")):
        raise _unsupported(
            "ikepolicy",
            "encryption_algorithm",
            policy.encryption,
            "ike_version v1 allows 3des, aes-128, aes-192 and aes-256",
        )
    if policy.integrity in ("aes-xcbc", "aes-cmac"):
        raise _unsupported(
            "ikepolicy",
            "auth_algorithm",
            policy.integrity,
            "ike_version v1 allows sha1, sha256, sha384 and sha512",
        )


def weaknesses(columns: Mapping[str, object]) -> tuple[tuple[str, str, str], ...]:
    """Return field, value and what to use instead, for each weak value of a policy."""
    return tuple(
        (field, str(columns[field]), better)
        for field, (weak, better) in WEAK.items()
        if columns.get(field) in weak
    )


def check_ipsec_policy(policy: IpsecPolicy) -> None:
    """Refuse what no child SA can be."""
    check_seconds("lifetime value", policy.lifetime, least=60)
    if policy.transform is Transform.AH_ESP:
        raise _unsupported(
            "ipsecpolicy",
            "transform_protocol",
            Transform.AH_ESP,
            "both at once can't be negotiated; esp and ah are allowed",
        )


def check_policy_pair(ike: IkePolicy, ipsec: IpsecPolicy) -> None:
    """Refuse an IPsec policy that the IKE version of the connection can't negotiate."""
    if ike.version is IkeVersion.V1 and ipsec.integrity == "aes-cmac":
        raise _unsupported(
            "ipsecpolicy",
            "auth_algorithm",
            ipsec.integrity,
            "an ikepolicy of ike_version v1 allows sha1, sha256, sha384, sha512 and aes-xcbc",
        )


def check_data_planes(ipsec: IpsecPolicy, planes: Collection[DataPlane | None]) -> None:
    """Refuse a policy that no data plane of the cloud can do; None: an agent that doesn't tell."""
    causes = [plane and limitation(ipsec, plane) for plane in planes]
    if not causes or not (cause := causes[0]) or None in causes:
        return
    is_ah = ipsec.transform is not Transform.ESP
    key, value = (
        ("transform_protocol", str(ipsec.transform))
        if is_ah
        else ("encapsulation_mode", str(ipsec.mode))
    )
    allowed = "esp" if is_ah else "tunnel"
    why = f"{cause.text.rstrip('.')}, here on every gateway; this cloud allows {allowed}"
    raise _unsupported("ipsecpolicy", key, value, why)


def parse_network(text: str) -> IPNetwork:
    """Return the network, host bits cleared; raises Invalid if it is none."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Invalid(Rule.PEER_CIDR, f"{text!r} is not a valid CIDR", peer_cidr=text) from None
    if "%" in text:
        raise Invalid(Rule.PEER_CIDR, "a CIDR has no zone", peer_cidr=text)
    return network


def peer_ip(text: str) -> int | None:
    """Return the family of an IP address, None for a host name; raises Invalid if neither."""
    why = "peer_address must be a host name, or an IP address that a host outside can have"
    refused = Invalid(Rule.PEER_ADDRESS, why, peer_address=text, why=why)
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        labels = text.removesuffix(".").split(".")
        # A last label of digits would be an address in one of inet_aton(3)'s other notations.
        named = all(_LABEL.match(label) for label in labels) and not labels[-1].isdigit()
        if not named or len(text) > MAX_TEXT or labels[-1].lower().startswith("0x"):
            raise refused from None
        return None
    if address.is_multicast or "%" in text or _is_of_nobody(address):
        raise refused
    return address.version


def _is_of_nobody(address: IPAddress) -> bool:
    """Tell whether no other host can be reached by it; 0.0.0.0 and :: stand for any peer."""
    if isinstance(address, ipaddress.IPv6Address):
        return address.is_loopback or address.ipv4_mapped is not None
    return address.is_loopback or address.is_reserved or 0 < int(address) < 2**24


def check_sides(
    *, has_subnet: bool, peer_cidrs: Sequence[str], local_group: str | None, peer_group: str | None
) -> None:
    """Refuse a mixture of the two ways to say what is protected."""
    named = {"local": local_group, "peer": peer_group}
    if has_subnet:
        which = [side for side, group in named.items() if group]
        if not peer_cidrs:
            raise Invalid(Rule.MISSING_PEER_CIDRS, "peer_cidrs must be given")
        rule = Rule.GROUPS_WITH_SUBNET
    else:
        which = [side for side, group in named.items() if not group]
        if peer_cidrs:
            raise Invalid(Rule.PEER_CIDRS_WITH_GROUPS, "peer_cidrs must not be given")
        rule = Rule.MISSING_GROUPS
    if which:
        raise Invalid(
            rule,
            f"endpoint groups: {which}",
            which=" and ".join(which),
            suffix="s" if len(which) > 1 else "",
        )


def check_group_type(group_id: str, group_type: str, expected: str) -> None:
    """Refuse a group of another type than its side needs."""
    if group_type != expected:
        raise Invalid(
            Rule.GROUP_TYPE,
            f"endpoint group {group_id} must be of type {expected}",
            which=group_id,
            group_type=group_type,
            expected=expected,
        )


def family_of_group(group_id: str, versions: Iterable[int]) -> int:
    """Return the one family of a group's endpoints."""
    families = set(versions)
    if len(families) != 1:
        raise Invalid(Rule.MIXED_GROUP, f"group {group_id} mixes families", group=group_id)
    return families.pop()


def family_of_cidrs(networks: Iterable[IPNetwork]) -> int:
    """Return the one family of the peer's networks."""
    families = {network.version for network in networks}
    if len(families) != 1:
        raise Invalid(Rule.MIXED_PEER_CIDRS, "peer_cidrs mix families")
    return families.pop()


def check_families(local: int, peer: int) -> None:
    """Refuse a connection between families."""
    if local != peer:
        raise Invalid(Rule.MIXED_SIDES, "local and peer side differ in family")


def parse_peer_cidrs(texts: Sequence[str]) -> tuple[IPNetwork, ...]:
    """Return the networks in order; a network that is named twice is refused."""
    networks = tuple(parse_network(text) for text in texts)
    seen = set()
    for text, network in zip(texts, networks, strict=True):
        if len(text) > MAX_CIDR:
            raise _value("peer_cidrs", f"must have at most {MAX_CIDR} characters each")
        if network in seen:
            raise _value("peer_cidrs", f"must be unique: {network} is named twice")
        seen.add(network)
    return networks


def check_endpoints(name: str, group_type: str, endpoints: Sequence[object]) -> tuple[str, ...]:
    """Return the endpoints of a group as text; refuse an empty, double or malformed list."""
    if not endpoints:
        raise Invalid(Rule.NO_ENDPOINT, "endpoints must not be empty", group=name)
    seen = set()
    for endpoint in endpoints:
        key = _endpoint_key(group_type, endpoint)
        if key in seen:
            raise _bad_endpoint(endpoint, group_type, "it is named twice")
        seen.add(key)
    return tuple(str(endpoint) for endpoint in endpoints)


def _bad_endpoint(endpoint: object, group_type: str, why: str) -> Invalid:
    return Invalid(
        Rule.ENDPOINT, f"endpoints: {why}", endpoint=endpoint, group_type=group_type, why=why
    )


def _endpoint_key(group_type: str, endpoint: object) -> object:
    """Return what makes an endpoint the same as another; a database compares text loosely."""
    if not isinstance(endpoint, str):
        raise _bad_endpoint(endpoint, group_type, "it must be a string")
    if len(endpoint) > MAX_CIDR:
        raise _bad_endpoint(endpoint, group_type, f"it may have {MAX_CIDR} characters at most")
    if group_type == "cidr":
        if "/" not in endpoint:
            raise _bad_endpoint(endpoint, group_type, "Invalid CIDR: a prefix length is needed")
        try:
            return parse_network(endpoint)
        except Invalid as error:
            raise _bad_endpoint(endpoint, group_type, f"Invalid CIDR: {error.text}") from None
    if group_type == "vlan":
        if not (endpoint.isascii() and endpoint.isdigit() and 1 <= int(endpoint) <= 4094):
            raise _bad_endpoint(endpoint, group_type, "a VLAN is a number from 1 to 4094")
        return int(endpoint)
    if not _UUID.match(endpoint):
        raise _bad_endpoint(endpoint, group_type, "Invalid UUID")
    return endpoint.lower()


def make_selectors(
    local: Iterable[IPNetwork], remote: Iterable[IPNetwork]
) -> tuple[TrafficSelector, ...]:
    """Return every pair of one family, unique and sorted."""
    peers = tuple(remote)
    pairs = {
        TrafficSelector(here, there)
        for here in local
        for there in peers
        if here.version == there.version
    }
    return tuple(sorted(pairs, key=lambda pair: pair.sort_key))


def clash(
    wanted: Collection[TrafficSelector], others: Mapping[str, Collection[TrafficSelector]]
) -> tuple[str, TrafficSelector] | None:
    """Return another connection that protects one of the wanted selectors already, and which."""
    mine = frozenset(wanted)
    for other, selectors in others.items():
        for selector in selectors:
            if selector in mine:
                return other, selector
    return None
