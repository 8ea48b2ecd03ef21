"""What charon is to have loaded: secrets and configs. No SA is touched by it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from swanherd.core.ike import (
    IkeSa,
    LoadConfig,
    LoadedConfig,
    LoadSecret,
    ObservedCharon,
    SwanAction,
    UnloadConfig,
    UnloadSecret,
)
from swanherd.core.memo import remember, remember_pair
from swanherd.core.model import ConnectionId, DesiredRouter
from swanherd.core.peering import Peering, by_identity, peerings


def load(
    desired: DesiredRouter, charon: ObservedCharon, quiet: frozenset[str]
) -> list[SwanAction]:
    """Return what to load and to unload; the configs of `quiet` as `LoadConfig` says."""
    actions = _load(desired, charon.configs, charon.secrets)
    return _quietly(actions, peerings(desired), charon, quiet)


@remember_pair
def _load(
    desired: DesiredRouter, configs: frozenset[LoadedConfig], secrets: frozenset[ConnectionId]
) -> tuple[SwanAction, ...]:
    wanted, there, ids = _children(desired), loaded(configs), by_identity(desired)
    has = zip(wanted, wanted.values(), map(there.get, wanted), strict=True)
    differing = {name for name, children, known in has if known != children}
    unknown = {ids[i].config.name for i in ids.keys() - secrets}
    by_name = {p.config.name: p for p in peerings(desired)} if differing or unknown else {}
    actions: list[SwanAction] = []
    for name in sorted(differing | unknown):
        config = by_name[name].config
        # A new generation may mean a new key; the secret's id stays the peering's.
        if name not in there or name in unknown:
            actions.append(LoadSecret(config.connection))
        if name in differing:
            actions.append(LoadConfig(config))
    actions += map(UnloadConfig, sorted(there.keys() - wanted.keys()))
    return (*actions, *map(UnloadSecret, sorted(secrets - ids.keys())))


@remember
def _children(desired: DesiredRouter) -> Mapping[str, frozenset[str]]:
    return {peering.config.name: peering.children for peering in peerings(desired)}


@remember
def loaded(configs: frozenset[LoadedConfig]) -> Mapping[str, frozenset[str]]:
    """Return the children of each config that charon has, by the configs' names."""
    return {config.name: config.children for config in configs}


def outdated(
    configs: frozenset[LoadedConfig], sas: Iterable[IkeSa], before: Mapping[int, float], now: float
) -> Mapping[int, float]:
    """Return since when each child SA has been of nothing that is loaded, by its id."""
    known, nothing = loaded(configs), frozenset[str]()
    return {
        child.unique_id: before.get(child.unique_id, now)
        for sa in sas
        for child in sa.children
        if child.name not in known.get(sa.config, nothing)
    }


def _quietly(
    load: Iterable[SwanAction],
    wanted: Iterable[Peering],
    charon: ObservedCharon,
    quiet: frozenset[str],
) -> list[SwanAction]:
    """Load the configs of `quiet` so, and those that needn't be so any more anew."""
    otherwise = {c.name for c in charon.configs if c.quiet != (c.name in quiet)}
    if not quiet and not otherwise:
        return list(load)
    actions = [
        dataclasses.replace(a, quiet=a.config.name in quiet) if isinstance(a, LoadConfig) else a
        for a in load
    ]
    done = {a.config.name for a in actions if isinstance(a, LoadConfig)}
    again = (p.config for p in wanted if p.config.name in otherwise - done)
    return [*actions, *(LoadConfig(config, config.name in quiet) for config in again)]


def has_loaded(charon: ObservedCharon, peering: Peering) -> bool:
    """Tell whether charon has the peering's config, with these children."""
    name = peering.config.name
    return any(LoadedConfig(name, peering.children, q) in charon.configs for q in (False, True))
