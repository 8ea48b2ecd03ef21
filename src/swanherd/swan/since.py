"""Since when something has been missing in charon, as far as was seen. Pure."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping

from swanherd.core.ike import COMING
from swanherd.core.index import by_config
from swanherd.core.tunnels import carrying
from swanherd.swan.lists import Listed


def idle(listed: Listed, before: Mapping[str, float], now: float) -> Mapping[str, float]:
    """Return since when each config has had no IKE SA, neither up nor coming."""
    none = listed.facts.keys() - listed.established.keys()
    if none:
        none -= {sa.config for sa in listed.sas if sa.state in COMING}
    return {name: before.get(name, now) for name in none}


def loaded(
    before: Mapping[str, float], name: str, now: float, known: Container[str]
) -> Mapping[str, float]:
    """Return when each config was loaded last, of those that are `known`."""
    return {**{each: at for each, at in before.items() if each in known}, name: now}


def ranked(before: Mapping[str, int], name: str, rank: int) -> Mapping[str, int]:
    """Return the ranks that configs were loaded with last, of those that have one."""
    others = {each: of for each, of in before.items() if each != name}
    return {**others, name: rank} if rank else others


def lacking_nothing(listed: Listed, names: Collection[str]) -> frozenset[str]:
    """Return which of these configs have all of their children."""
    sas = by_config(listed.sas)
    asked = (config for config in listed.configs if config.name in names)
    found = (c.name for c in asked if c.children <= carrying(c.name, sas.get(c.name, ())))
    return frozenset(found)


def lacking(listed: Listed, before: Mapping[str, float], now: float) -> Mapping[str, float]:
    """Return since when each config of IKEv1 has had an IKE SA, but not all of its children."""
    names = listed.v1 & listed.established.keys()
    old = [config for config in listed.configs if config.name in names] if names else []
    sas = by_config(listed.sas) if old else {}
    return {
        c.name: before.get(c.name, now)
        for c in old
        if not c.children <= carrying(c.name, sas.get(c.name, ()))
    }
