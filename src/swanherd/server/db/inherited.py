"""What the tables look like where neutron-vpnaas made them, by its release: facts, as tables.

The way in asks whether what is there can be taken over; the way back, whether it can be held.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

VERSION_TABLE = "alembic_version_vpnaas"
CONTRACT_HEAD = "e50641731f1a"
CIDR_SIZE = 32

_AEAD = tuple(
    f"aes-{bits}-{mode}-{icv}" for mode in ("ccm", "gcm") for icv in (8, 12, 16)
    for bits in (128, 192, 256)
)  # fmt: skip
_CIPHERS = ("aes-128", "aes-192", "aes-256", "aes-128-ctr", "aes-192-ctr", "aes-256-ctr", *_AEAD)
_HASHES = ("sha256", "sha384", "sha512", "aes-xcbc", "aes-cmac")
_GROUPS = tuple(f"group{number}" for number in (2, 5, *range(14, 32)))

Enumerations = Mapping[tuple[str, str], tuple[str, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """One release of neutron-vpnaas: its newest expanding migration, and its enumerations."""

    expand_head: str
    enumerations: Enumerations


def _enumerations(hashes: tuple[str, ...], ciphers: tuple[str, ...]) -> Enumerations:
    shared = {
        "auth_algorithm": hashes,
        "encryption_algorithm": ciphers,
        "lifetime_units": ("seconds", "kilobytes"),
        "pfs": _GROUPS,
    }
    return {
        **{(table, name): values for table in ("ikepolicies", "ipsecpolicies")
           for name, values in shared.items()},
        ("ikepolicies", "phase1_negotiation_mode"): ("main", "aggressive"),
        ("ikepolicies", "ike_version"): ("v1", "v2"),
        ("ipsecpolicies", "transform_protocol"): ("esp", "ah", "ah-esp"),
        ("ipsecpolicies", "encapsulation_mode"): ("tunnel", "transport"),
        ("vpn_endpoint_groups", "endpoint_type"): ("subnet", "cidr", "vlan", "network", "router"),
        ("ipsec_site_connections", "initiator"): ("bi-directional", "response-only"),
        ("ipsec_site_connections", "dpd_action"): (
            *("hold", "clear", "restart", "disabled", "restart-by-peer"),
        ),
    }  # fmt: skip


_WITH_SHA1 = Release("b18aab30fddc", _enumerations(("sha1", *_HASHES), ("3des", *_CIPHERS)))
RELEASES = {
    "26": _WITH_SHA1,
    "27": _WITH_SHA1,
    "28": _WITH_SHA1,
    "29": Release("842256a43ce2", _enumerations(_HASHES, _CIPHERS)),
}


# Neutron's own first migrations made these until 2026.1, in the shape of Kilo; children first.
FIRST_TABLES = (
    *("ipsecpeercidrs", "ipsec_site_connections", "vpnservices"),
    *("ipsecpolicies", "ikepolicies"),
)


def never_used(connection: sa.Connection, there: Iterable[str]) -> tuple[str, ...]:
    """Return the tables of Kilo's shape that no release of neutron-vpnaas ever had to do with.

    Each Neutron before 29 makes them, where neutron-vpnaas isn't installed too: without a row.
    """
    names = set(there)
    if VERSION_TABLE in names or not names.issuperset(FIRST_TABLES):
        return ()
    columns = sa.inspect(connection).get_columns("ikepolicies")
    if any(column["name"] == "project_id" for column in columns):
        return ()
    counts = (sa.select(sa.func.count()).select_from(sa.table(name)) for name in FIRST_TABLES)
    return () if any(connection.scalar(count) for count in counts) else FIRST_TABLES


class Unadoptable(Exception):
    """Tables that can't be taken over; the message names them."""


def check(inspector: Any, wanted: Mapping[str, Iterable[Any]]) -> None:
    """Refuse tables that are there but that we couldn't read or write; changes nothing.

    Which release made them doesn't matter: their columns do.
    """
    there = set(inspector.get_table_names())
    faults = [
        fault
        for table, parts in wanted.items()
        if table in there
        for fault in _faults(table, inspector.get_columns(table), parts)
    ]
    if faults:
        raise Unadoptable(
            "These tables can't be taken over, and nothing was changed: "
            + "; ".join(faults)
            + ". Bring them to a release of neutron-vpnaas from 26 to 29 first "
            "(neutron-db-manage --subproject neutron-vpnaas upgrade heads)."
        )


def _faults(table: str, found: Iterable[Mapping[str, Any]], parts: Iterable[Any]) -> list[str]:
    columns = {column["name"]: column for column in found}
    ours = {part.name for part in parts if isinstance(part, sa.Column)}
    missing = [f"{table} has no column {name}" for name in sorted(ours - set(columns))]
    unknown = [
        f"{table} has a column {name} that must be given and isn't known"
        for name in sorted(set(columns) - ours)
        if not columns[name]["nullable"] and columns[name].get("default") is None
    ]
    return [*missing, *unknown]
