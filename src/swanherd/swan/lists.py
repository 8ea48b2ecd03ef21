"""What one charon lists, kept current by what it tells, and listed whole now and then.

To list a thousand connections takes longer than all else of a look, and of a thousand one has
changed. So only what an event or an action concerns, and what is under way, is asked for again;
all of it once the last whole list is old, and after events may have been missed.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from swanherd.core.ike import LIVE, IkeSa, LoadedConfig, SaState
from swanherd.core.model import ConnectionId, IkeVersion
from swanherd.core.naming import pair_of
from swanherd.core.precedence import young
from swanherd.swan import codec
from swanherd.swan.causes import Facts
from swanherd.swan.codec import ConfigFacts
from swanherd.swan.sessions import Commands

# Seconds after which everything is listed anew: less than the agent's pause between two looks for
# drift, so that each of those sees what others changed.
WHOLE = 15.0
# And for a look that isn't for drift: more than that pause, so that mostly those alone list it.
KEPT = 30.0
# With more names than this to ask for, and more than half of all, one whole list is cheaper: one
# by its name takes 0.1 ms, and so does each of a whole one.
_MANY = 50


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """What charon has; by a config's name its facts, and the ids of its live IKE SAs.

    `fresh` are the IKE SAs that it told just now: all of them if the list is `whole`; `v1` the
    names of the configs of IKEv1. Who isn't among the `odd` IKE SAs has children of its config
    alone.
    """

    configs: frozenset[LoadedConfig]
    facts: Facts
    secrets: frozenset[ConnectionId]
    sas: tuple[IkeSa, ...]
    established: Mapping[str, frozenset[int]]
    fresh: tuple[IkeSa, ...] = ()
    whole: bool = True
    v1: frozenset[str] = frozenset()
    odd: tuple[IkeSa, ...] = ()


class Lists:
    """The lists of one charon; `clock` tells monotonic seconds. Safe to use from many threads."""

    def __init__(self, commands: Commands, clock: Callable[[], float]) -> None:
        self._commands = commands
        self._clock = clock
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._whole_at: float | None = None
        self._changed: set[str] = set()
        self._reloaded: set[str] = set()
        self._doubted = False
        self._changed_ids: set[int] = set()
        self._configs: dict[str, tuple[LoadedConfig, ConfigFacts]] = {}
        self._facts = Facts()
        self._sas: dict[str, tuple[IkeSa, ...]] = {}
        self._live: dict[str, frozenset[int]] = {}
        self._restless: set[str] = set()  # whose SAs change without any event
        # Those by whose age something of another config ends (core.precedence).
        self._young: set[str] = set()
        self._secrets: frozenset[ConnectionId] = frozenset()
        self._set: frozenset[LoadedConfig] = frozenset()
        self._v1: set[str] = set()

    def changed(self, *names: str) -> None:
        """Ask for the IKE SAs of these configs again at the next look; what is loaded stays."""
        with self._lock:
            self._changed.update(names)

    def changed_id(self, unique_id: int) -> None:
        """Ask for the IKE SA again that has this id or a child of this id."""
        with self._lock:
            self._changed_ids.add(unique_id)

    def loaded(self, *names: str) -> None:
        """Ask for these configs and their IKE SAs again at the next look."""
        with self._lock:
            self._changed.update(names)
            self._reloaded.update(names)

    def took(self, secret: ConnectionId) -> None:
        """Take note of a secret that charon has said it has; the next whole list proves it."""
        with self._lock:
            self._secrets |= {secret}

    def dropped(self, secret: ConnectionId) -> None:
        """Take note of a secret that charon has said it hasn't any more."""
        with self._lock:
            self._secrets -= {secret}

    def doubt_secrets(self) -> None:
        """Ask which secrets there are at the next look: what charon did isn't known."""
        with self._lock:
            self._doubted = True

    def forget(self) -> None:
        """List everything at the next look."""
        with self._lock:
            self._whole_at = None

    def look(self, spis: frozenset[int] = frozenset(), within: float = WHOLE) -> Listed:
        """Return what charon has, listed whole within so many seconds. Raises Temporary.

        The kernel has an SA a moment before the event that tells of it is here: if one of `spis`
        isn't known yet everything is listed.
        """
        with self._asking:
            names = self._take(within)
            try:
                self._list(names)
                if names is not None and spis and not spis <= self._spis():
                    names = None
                    self._list(names)
            except BaseException:
                self.forget()
                raise
            sas = tuple(itertools.chain.from_iterable(self._sas.values()))
            fresh = sas if names is None else tuple(self._of(names))
            odd = self._restless | (self._sas.keys() - self._configs.keys())
            return Listed(
                self._set,
                self._facts,
                self._secrets,
                sas,
                dict(self._live),
                fresh,
                names is None,
                frozenset(self._v1),
                tuple(self._of(odd)),
            )

    def _take(self, within: float) -> set[str] | None:
        """Return which configs to ask for; None for all."""
        with self._lock:
            names, self._changed = self._changed, set()
            ids, self._changed_ids = self._changed_ids, set()
            now, whole_at = self._clock(), self._whole_at
            old = whole_at is None or not whole_at <= now < whole_at + within
            if old:
                self._whole_at = now
        if old:
            return None
        names |= self._restless
        if not self._sas.keys() <= self._configs.keys():
            names |= self._young
        if ids:
            sas = [sa for same in self._sas.values() for sa in same]
            names |= {sa.config for sa in sas if sa.unique_id in ids}
            names |= {sa.config for sa in sas for child in sa.children if child.unique_id in ids}
        return None if len(names) > max(_MANY, len(self._configs) // 2) else names

    def _list(self, names: set[str] | None) -> None:
        with self._lock:
            reloaded, self._reloaded = self._reloaded, set()
            doubted, self._doubted = self._doubted, False
        if names is None:
            self._configs = _by_name(self._commands.stream("list-conns", "list-conn"))
            self._sas, self._live = {}, {}
            self._restless, self._young = set(), set()
            self._take_sas(self._commands.stream("list-sas", "list-sa"))
            self._take_configs()
        for name in names or ():
            if name in reloaded:
                self._list_config(name)
            self._sas.pop(name, None)
            self._live.pop(name, None)
            self._restless.discard(name)
            self._young.discard(name)
            self._take_sas(self._commands.stream("list-sas", "list-sa", {"ike": name}))
        if names is None or doubted:
            secrets = codec.parse_secrets(self._commands.request("get-shared"))
            with self._lock:
                self._secrets = secrets

    def _take_configs(self) -> None:
        self._facts = Facts({name: facts for name, (_, facts) in self._configs.items()})
        self._v1 = {n for n, facts in self._facts.items() if facts.version is IkeVersion.V1}
        configs = frozenset([config for config, _ in self._configs.values()])
        # The same object while it is equal: what was worked out for it still holds.
        self._set = self._set if self._set == configs else configs

    def _list_config(self, name: str) -> None:
        """List one config anew; nothing is worked out for the others, nor for an equal one."""
        found = _by_name(self._commands.stream("list-conns", "list-conn", {"ike": name}))
        before, now = self._configs.pop(name, None), found.get(name)
        if now is not None:
            self._configs[name] = now
        if before == now:
            return
        self._facts = Facts({n: facts for n, (_, facts) in self._configs.items()})
        self._v1 -= {name}
        if now is not None and now[1].version is IkeVersion.V1:
            self._v1 |= {name}
        old, new = ([each[0]] if each is not None else [] for each in (before, now))
        self._set = self._set.difference(old).union(new)

    def _spis(self) -> frozenset[int]:
        children = (c for same in self._sas.values() for sa in same for c in sa.children)
        return frozenset(spi for child in children for spi in child.spis)

    def _of(self, names: Iterable[str]) -> Iterator[IkeSa]:
        return (sa for name in names for sa in self._sas.get(name, ()))

    def _take_sas(self, messages: Iterable[Mapping[str, Any]]) -> None:
        for message in messages:
            for sa in codec.parse_sas(message):
                same = self._sas[sa.config] = (*self._sas.get(sa.config, ()), sa)
                if sa.state in LIVE:
                    ids = self._live.get(sa.config, frozenset())
                    self._live[sa.config] = ids | {sa.unique_id}
                # Of several their ages decide, and those are as old as the list.
                loaded = self._configs.get(sa.config)
                children = None if loaded is None else loaded[0].children
                if len(same) > 1 or not _is_settled(sa, children):
                    self._restless.add(sa.config)
                if young((sa,)):
                    self._young.add(sa.config)


def list_sas(commands: Commands) -> tuple[IkeSa, ...]:
    """Return all IKE SAs, asked for now."""
    messages = commands.stream("list-sas", "list-sa")
    return tuple(sa for message in messages for sa in codec.parse_sas(message))


def _by_name(
    messages: Iterable[Mapping[str, Any]],
) -> dict[str, tuple[LoadedConfig, ConfigFacts]]:
    configs = map(codec.parse_config, messages)
    return {config.name: (config, facts) for config, facts in configs}


def _is_settled(sa: IkeSa, children: frozenset[str] | None) -> bool:
    """Tell whether the IKE SA stays as it is until an event says otherwise.

    `children` are those of its config; None if that isn't loaded.
    """
    return (
        sa.state is SaState.ESTABLISHED
        and not sa.busy
        and all(child.state is SaState.INSTALLED for child in sa.children)
        # Of two of one pair the younger one's age decides, and by how old what replaces it is
        # what was before ends.
        and len({pair_of(child.name) for child in sa.children}) == len(sa.children)
        and (children is None or children.issuperset(child.name for child in sa.children))
    )
