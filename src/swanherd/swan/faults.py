"""A charon's failures: its records, log tokens and updowns make one cause for each config."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Mapping
from typing import TypeVar

from swanherd.core.ike import Fault, Refusal, SaState
from swanherd.core.model import IkeVersion
from swanherd.swan import causes
from swanherd.swan.codec import ConfigFacts
from swanherd.swan.events import (
    ChildChange,
    ChildRekeyed,
    Event,
    Exchange,
    IkeChange,
    IkeRekeyed,
    Notice,
    Unsendable,
)

T = TypeVar("T")

# A weak cause (silence) takes the place of a strong one that wasn't proven again for so long, or
# for two of the pauses that the peer makes.
_FADE, _PAUSES = 60.0, 2
# Failures with a longer pause between them are two series, not one.
_SERIES = 300.0
# A peer's delete and the end of the SA are told on two ways, at most this far apart.
_TOGETHER = 5.0
# Refusals of one child SA. While all are up it is one's renewal: the old one carries on until its
# lifetime ends, and to have been seen up is no sign that the next attempt succeeds.
_OF_A_CHILD = frozenset({"esp_proposal_mismatch", "traffic_selector_mismatch", "child_refused"})


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    fault: Fault
    proved: float  # when the code was last seen, in monotonic seconds
    named: bool = True  # charon or the identity said whose failure it was
    over: bool = False  # the config has been wholly up since, and nothing has ended since then
    pause: float = 0.0  # between the last two attempts that showed the code

    @property
    def rank(self) -> int:
        """How telling the cause is."""
        return causes.CAUSES[self.fault.code].rank

    def proved_again(self, now: float, *, code: str, named: bool) -> float:
        """Return the pause after another sign of the same code; signs of one attempt have none."""
        if code != self.fault.code or (self.named and not named):
            return self.pause
        return now - self.proved if now - self.proved > _TOGETHER else self.pause

    def has_faded(self, now: float) -> bool:
        """Tell whether it is so long ago that the peer doesn't go on with it."""
        return now - self.proved > max(_FADE, _PAUSES * self.pause)


@dataclasses.dataclass(frozen=True, slots=True)
class FaultMemory:
    """What is known of one charon's failures. Feed it; nothing of it changes in place.

    `ours` are the IKE SAs that we end ourselves, and when: charon tells of one whose peer hasn't
    answered yet in the words that it has for a dead peer. `empty` are the configs of IKEv1 whose
    IKE SA has come up, and no child since: what isn't answered there is still a negotiation.
    `refusals` are what we refused.
    """

    entries: Mapping[str, _Entry] = dataclasses.field(default_factory=dict)
    established: Mapping[str, frozenset[int]] = dataclasses.field(default_factory=dict)
    deletes: Mapping[str, float] = dataclasses.field(default_factory=dict)
    ends: Mapping[str, float] = dataclasses.field(default_factory=dict)
    unsendable: float | None = None
    ours: Mapping[int, float] = dataclasses.field(default_factory=dict)
    empty: frozenset[str] = frozenset()
    refusals: Mapping[str, Refusal] = dataclasses.field(default_factory=dict)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Return the faults, sorted by config."""
        entries = (self.entries[name] for name in sorted(self.entries))
        return tuple(entry.fault for entry in entries if not entry.over)

    def as_listed(self, before: Iterable[Fault], down: Container[str]) -> tuple[Fault, ...]:
        """Return the faults, and those of `before` whose end no list shows: they are `down` in it.

        An event may tell of a success before the list is read that was asked for just earlier.
        """
        over = [f for f in before if f.config not in self.entries and f.config in down]
        return tuple(sorted((*self.faults, *over), key=lambda fault: fault.config))

    @property
    def known(self) -> frozenset[str]:
        """Return the configs that have failed, also those whose failure may be over."""
        return frozenset(self.entries)

    def feed(self, event: Event, facts: Mapping[str, ConfigFacts], now: float) -> FaultMemory:
        """Return the memory after the event; `facts` are those of the loaded configs."""
        match event:
            case Notice():
                return self._feed_notice(event, facts, now)
            case Exchange():
                return self._feed_exchange(event, facts, now)
            case IkeChange():
                return self._feed_ike(event, facts, now)
            case ChildChange(config, up=True):
                return self.forget(config).changed(empty=self.empty - {config})
            case ChildChange(config) if len(self.established.get(config, ())) > 1:
                return self  # one of several IKE SAs ends, of a race or of a renewal
            case ChildChange(config):
                return self.revived(config).ended(config, facts, now)
            case IkeRekeyed(config, old, new):
                ids = self.established.get(config, frozenset()) - {old} | {new}
                return self.changed(established={**self.established, config: ids})
            case ChildRekeyed():
                return self
            case Unsendable():
                return self.changed(unsendable=now)

    def forget(self, config: str) -> FaultMemory:
        """Return the memory without the config's fault."""
        if config not in self.entries:
            return self
        return self.changed(entries={k: v for k, v in self.entries.items() if k != config})

    def keep_only(self, configs: Iterable[str]) -> FaultMemory:
        """Return the memory of these configs alone, so that it doesn't grow for ever."""
        if not (self.entries or self.deletes or self.ends or self.empty or self.refusals):
            return self
        names = frozenset(configs)

        def kept(table: Mapping[str, T]) -> Mapping[str, T]:
            return {name: value for name, value in table.items() if name in names}

        return self.changed(
            entries=kept(self.entries),
            deletes=kept(self.deletes),
            ends=kept(self.ends),
            empty=self.empty & names,
            refusals=kept(self.refusals),
        )

    def filled(self, carrying: Iterable[str]) -> FaultMemory:
        """Return the memory after these configs were seen to have children."""
        return self.changed(empty=self.empty.difference(carrying)) if self.empty else self

    def missed(self) -> FaultMemory:
        """Return the memory after events may have been missed: whatever is up may carry."""
        return self.changed(empty=frozenset())

    def begun(
        self, change: IkeChange, facts: Mapping[str, ConfigFacts], *, first: bool
    ) -> FaultMemory:
        """Return the memory of whether what is up carries; what renews another is given all."""
        known = facts.get(change.config)
        if not first or known is None or known.version is not IkeVersion.V1:
            return self
        return self.changed(empty=self.empty | {change.config})

    def outlived(self, up: Iterable[str], now: float) -> FaultMemory:
        """Return the memory after these configs were seen wholly up: their faults are over.

        What charon tells on its two sockets may be read in another order than it happened. Then a
        failure comes after the success that ended it; or before the end that it is the cause of,
        so for some seconds it isn't forgotten. Nor is a renewal's, which is told for as long.
        """
        failed = {n: self.entries[n].fault for n in up if n in self.entries}
        late = {n for n, fault in failed.items() if now - fault.last > _TOGETHER}
        ends = {n for n, fault in failed.items() if fault.code not in _OF_A_CHILD}
        seen = late | {n for n in ends if failed[n].last < now}
        if not seen:
            return self
        entries = {
            name: dataclasses.replace(entry, over=True) if name in seen else entry
            for name, entry in self.entries.items()
            if name not in seen or now - entry.fault.last <= _TOGETHER
        }
        return self.changed(entries=entries)

    def revived(self, config: str) -> FaultMemory:
        """Return the memory after an SA went: what was told before is the cause of it."""
        known = self.entries.get(config)
        if known is None or not known.over:
            return self
        entry = dataclasses.replace(known, over=False)
        return self.changed(entries={**self.entries, config: entry})

    def seen(self, established: Mapping[str, frozenset[int]]) -> FaultMemory:
        """Return the memory corrected by what `list-sas` showed."""
        if established == self.established:
            return self
        return self.changed(established=established)

    # By kind of event

    def _feed_notice(
        self, notice: Notice, facts: Mapping[str, ConfigFacts], now: float
    ) -> FaultMemory:
        memory = self
        if refused := causes.refused(notice):
            refusals = {**self.refusals, notice.config: Refusal(refused, now)}
            memory = self.changed(refusals=refusals)
        for config in self._blamed(notice, facts, now):
            code = causes.code_of_notice(
                notice,
                is_v1=facts[config].version is IkeVersion.V1,
                up=len(self.established.get(config, ())),
                carried=config not in self.empty,
                no_route=self.unsendable is not None and now - self.unsendable < _TOGETHER,
            )
            identified = _is_the_peers(notice, facts[config])
            if code == "peer_id_mismatch" and identified:
                code = "local_id_refused"
            if code is not None:
                detail = notice.text if notice.type in causes.TELLING else ""
                named = identified or bool(notice.config)
                memory = memory.recorded(config, code, now, detail, named=named)
        return memory

    def _blamed(
        self, sign: Notice | Exchange, facts: Mapping[str, ConfigFacts], now: float
    ) -> tuple[str, ...]:
        """Return whose failure it is.

        Of the configs of one peer a nameless sign concerns the one whose identity the peer
        presented, else those that aren't up and don't fail for a cause that is known: for none
        that was known lately, if there are others. Where any peer may come it may be a stranger's.
        """
        names = causes.concerned(sign.config, sign.peer, facts)
        if sign.config or (len(names) == 1 and not facts[names[0]].any_peer):
            return names
        if isinstance(sign, Notice):
            same = tuple(n for n in names if _is_the_peers(sign, facts[n]))
            names = same or names
        down = [n for n in names if not self.established.get(n)]
        told = {n: self.entries[n] for n in down if self._is_told(n, now)}
        others = tuple(n for n in down if n not in told)
        return others or tuple(n for n in down if told[n].has_faded(now))

    def _is_told(self, config: str, now: float) -> bool:
        """Tell whether charon itself said in this series why the config fails."""
        known = self.entries.get(config)
        if known is None or not known.named or now - known.proved > _SERIES:
            return False
        return known.rank > 1

    def _feed_exchange(
        self, exchange: Exchange, facts: Mapping[str, ConfigFacts], now: float
    ) -> FaultMemory:
        memory = self
        if exchange.received and exchange.request and "D" in exchange.payloads:
            if exchange.config in facts:
                memory = memory.changed(deletes={**memory.deletes, exchange.config: now})
                if now - memory.ends.get(exchange.config, now - _TOGETHER) < _TOGETHER:
                    memory = memory.recorded(exchange.config, "peer_deleted", now)
            return memory
        code = causes.code_of_exchange(exchange)
        if code is None:
            return memory
        for config in self._blamed(exchange, facts, now):
            if not exchange.received and self._has_not_installed(config, now):
                continue
            refusal = ", ".join(sorted(exchange.payloads & causes.REFUSALS))
            memory = memory.recorded(config, code, now, refusal, named=bool(exchange.config))
        return memory

    def _has_not_installed(self, config: str, now: float) -> bool:
        """Tell whether this node just couldn't install: charon refuses then as if it wouldn't."""
        known = self.entries.get(config)
        if known is None or known.fault.code != "install_failed":
            return False
        return now - known.proved < _TOGETHER

    def _feed_ike(
        self, change: IkeChange, facts: Mapping[str, ConfigFacts], now: float
    ) -> FaultMemory:
        before = self.established.get(change.config, frozenset())
        ids = before | {change.unique_id} if change.up else before - {change.unique_id}
        memory = self.changed(established={**self.established, change.config: ids})
        if change.up or ids:
            return memory.begun(change, facts, first=not before)
        memory = memory.changed(empty=self.empty - {change.config})
        memory = memory.revived(change.config)
        if change.state is SaState.CONNECTING and change.config in facts:
            return memory.recorded(change.config, "negotiation_failed", now)
        is_ours = change.unique_id in self.ours
        if change.state is SaState.ESTABLISHED and change.config in facts and not is_ours:
            code = "peer_silent" if change.config in self.empty else "dpd_timeout"
            return memory.recorded(change.config, code, now)
        return memory.ended(change.config, facts, now)

    def ending(self, unique_id: int, now: float) -> FaultMemory:
        """Return the memory that we end an IKE SA ourselves."""
        late = {i: at for i, at in self.ours.items() if now - at < _SERIES}
        return self.changed(ours={**late, unique_id: now})

    def ended(self, config: str, facts: Mapping[str, ConfigFacts], now: float) -> FaultMemory:
        """Return the memory after an SA went; if the peer said D, it was the peer."""
        if config not in facts or self._died(config, now):
            return self
        if now - self.deletes.get(config, now - _TOGETHER) < _TOGETHER:
            return self.recorded(config, "peer_deleted", now)
        return self.changed(ends={**self.ends, config: now})

    def _died(self, config: str, now: float) -> bool:
        """Tell whether the peer was just found dead: then a delete of its own was another SA's."""
        known = self.entries.get(config)
        if known is None or known.fault.code != "dpd_timeout":
            return False
        return now - known.proved < _TOGETHER

    def recorded(
        self, config: str, code: str, now: float, detail: str = "", *, named: bool = True
    ) -> FaultMemory:
        """Return the memory with one more failure of the config."""
        cause = causes.CAUSES[code]
        known = self.entries.get(config)
        if known is not None and (known.over or now - known.fault.last > _SERIES):
            known = None
        first = known.fault.first if known is not None else now
        if known is not None and not _takes_over(code, known, now, named=named):
            entry = dataclasses.replace(known, fault=dataclasses.replace(known.fault, last=now))
        else:
            text = f"{cause.text} ({detail})" if detail else cause.text
            pause = known.proved_again(now, code=code, named=named) if known is not None else 0.0
            fault = Fault(config, code, text, cause.hint, first, now)
            entry = _Entry(fault, now, named, pause=pause)
        return self.changed(entries={**self.entries, config: entry})

    def changed(self, **changes: object) -> FaultMemory:
        """Return the memory with these fields replaced."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


def _is_the_peers(notice: Notice, facts: ConfigFacts) -> bool:
    """Tell whether the peer presented the identity that we expect of it."""
    return bool(notice.identity) and notice.identity == facts.peer_id


def _takes_over(code: str, known: _Entry, now: float, *, named: bool) -> bool:
    """Tell whether a new cause replaces the known one: the stronger stays while it is fresh.

    What is known to be of this config is stronger than what may be of another. That an attempt
    failed may be told before its own cause, and says nothing beside any.
    """
    rank = causes.CAUSES[code].rank
    surer = named and not known.named and rank > 1
    if surer or rank >= known.rank:
        return True
    if rank == 0 and known.rank > 1 and now - known.proved <= _SERIES:
        return False
    return known.has_faded(now)
