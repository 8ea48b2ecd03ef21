"""Policies by the name of what is on the other side.

Algorithms are in the API's words. What isn't ours is what those gateways are known to take, and is
untested against them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from swanherd_dashboard.core.rows import Policy
from swanherd_dashboard.core.words import gettext_noop

# RFC 8221 and RFC 8247: SHOULD NOT, MUST NOT or on the way to it.
WEAK: Mapping[str, frozenset[str]] = {
    "encryption": frozenset({"3des"}),
    "integrity": frozenset({"sha1"}),
    "group": frozenset({"group2", "group5", "group22", "group23", "group24", "group25"}),
    "mode": frozenset({"aggressive"}),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Proposal:
    """Algorithms and lifetime (seconds) of one of the two policies."""

    encryption: str
    integrity: str
    group: str
    lifetime: int


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """What fits a kind of peer; the note is for people."""

    title: str
    note: str
    version: str
    ike: Proposal
    ipsec: Proposal


PROFILES: Mapping[str, Profile] = {
    "modern": Profile(
        gettext_noop("Modern"),
        gettext_noop("IKEv2 with AES-256-GCM; what is best where you may choose on both sides."),
        "v2",
        Proposal("aes-256-gcm-16", "sha256", "group19", 28800),
        Proposal("aes-256-gcm-16", "sha256", "group19", 3600),
    ),
    "openstack": Profile(
        gettext_noop("Another OpenStack"),
        gettext_noop("IKEv2 with AES-256 and SHA-256, which every release of VPNaaS has."),
        "v2",
        Proposal("aes-256", "sha256", "group14", 28800),
        Proposal("aes-256", "sha256", "group14", 3600),
    ),
    "aws": Profile(
        gettext_noop("Amazon Web Services"),
        gettext_noop("Site-to-Site VPN. Give one connection for each of its two tunnels."),
        "v2",
        Proposal("aes-256-gcm-16", "sha256", "group20", 28800),
        Proposal("aes-256-gcm-16", "sha256", "group20", 3600),
    ),
    "azure": Profile(
        gettext_noop("Microsoft Azure"),
        gettext_noop("Give the gateway's connection a custom IPsec/IKE policy of these values."),
        "v2",
        Proposal("aes-256", "sha256", "group14", 28800),
        Proposal("aes-256", "sha256", "group14", 27000),
    ),
    "google": Profile(
        gettext_noop("Google Cloud"),
        gettext_noop("Classic VPN with policy-based routing, IKEv2."),
        "v2",
        Proposal("aes-256-gcm-16", "sha256", "group14", 36000),
        Proposal("aes-256-gcm-16", "sha256", "group14", 10800),
    ),
    "nsx": Profile(
        gettext_noop("VMware NSX"),
        gettext_noop("A policy-based session with profiles of these values."),
        "v2",
        Proposal("aes-128", "sha256", "group14", 86400),
        Proposal("aes-128-gcm-16", "sha256", "group14", 3600),
    ),
    "legacy": Profile(
        gettext_noop("Old device"),
        gettext_noop("IKEv1, SHA-1, group 5: weak. Only for what knows nothing better."),
        "v1",
        Proposal("aes-128", "sha1", "group5", 86400),
        Proposal("aes-128", "sha1", "group5", 3600),
    ),
}
DEFAULT = "modern"


def ike_body(profile: Profile, name: str) -> dict[str, Any]:
    """Return the IKE policy of a profile, as the API takes it."""
    return {**_body(profile.ike, name), "ike_version": profile.version}


def ipsec_body(profile: Profile, name: str) -> dict[str, Any]:
    """Return the IPsec policy of a profile, as the API takes it."""
    return _body(profile.ipsec, name)


def _body(proposal: Proposal, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "encryption_algorithm": proposal.encryption,
        "auth_algorithm": proposal.integrity,
        "pfs": proposal.group,
        "lifetime": {"units": "seconds", "value": proposal.lifetime},
    }


def find_ike(policies: Iterable[Policy], profile: Profile) -> Policy | None:
    """Return an IKE policy that is what the profile says."""
    wanted = (profile.version, profile.ike)
    return next(
        (p for p in policies if (p.version, _said(p)) == wanted and p.mode in ("", "main")), None
    )


def find_ipsec(policies: Iterable[Policy], profile: Profile) -> Policy | None:
    """Return an IPsec policy that is what the profile says."""
    plain = ("esp", "tunnel")
    return next(
        (
            p
            for p in policies
            if (p.protocol, p.encapsulation) == plain and _said(p) == profile.ipsec
        ),
        None,
    )


def _said(policy: Policy) -> Proposal:
    return Proposal(policy.encryption, policy.integrity, policy.group, policy.lifetime)


def weak(policy: Policy) -> tuple[str, ...]:
    """Return the values of a policy that are weak."""
    mode = "" if policy.version == "v2" else policy.mode
    said = {
        "encryption": policy.encryption,
        "integrity": policy.integrity,
        "group": policy.group,
        "mode": mode,
    }
    return tuple(value for field, value in said.items() if value in WEAK[field])
