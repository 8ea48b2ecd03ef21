"""What to do in charon: load, make before break, initiate, terminate (measured: docs/live.md)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterable, Mapping, Sequence

from swanherd.core import astray, handover, precedence, races
from swanherd.core.ends import DEAF, crowd, doubted, hollow, hope, hopeless, owing, silence
from swanherd.core.ike import (
    CARRYING,
    COMING,
    HOLDING,
    LIVE,
    ChildSa,
    DeclareDead,
    Fault,
    IkeSa,
    Initiate,
    ObservedCharon,
    SaState,
    SwanAction,
    TerminateChild,
    TerminateIke,
)
from swanherd.core.index import index_of
from swanherd.core.loading import has_loaded, load
from swanherd.core.model import ConnectionId, DesiredRouter, DpdAction, IkeVersion, Role
from swanherd.core.naming import pair_of, peering_of
from swanherd.core.overlaps import is_resized, is_wider, placed
from swanherd.core.peering import Peering, by_identity, config_names, peerings
from swanherd.core.resting import restless


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """The time of the look and the patience that it has, all in seconds.

    `grace`: how long the SAs of the last generation stay when the peer refuses the new one.
    `first_retry` and `last_retry` bound the pause between attempts that fail.
    """

    now: float
    grace: float = 300.0
    first_retry: float = 1.0
    last_retry: float = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class _View:
    """One peering as a look at charon shows it; `current` are its generation's IKE SAs.

    `idle` and `lacking`: since when there has been none of them, or one without all children; None
    if that wasn't seen, or not yet. `loaded`: when charon got it; None if long ago. `before`: the
    IKE SAs of no config that is wanted. `quiet`: what was before carries on in the kernel. `rank`:
    what it is loaded with (core.handover), if policies are `ranked`.
    """

    peering: Peering
    current: tuple[IkeSa, ...]
    fault: Fault | None
    timing: Timing
    idle: float | None
    lacking: float | None
    loaded: float | None
    before: Sequence[IkeSa]
    quiet: bool
    rank: int
    ranked: bool

    @property
    def name(self) -> str:
        return self.peering.config.name

    @property
    def is_v1(self) -> bool:
        return self.peering.config.connection.ike.version is IkeVersion.V1

    @property
    def carrying(self) -> frozenset[str]:
        return carrying(self.name, self.current)

    @property
    def awaited(self) -> frozenset[str]:
        """The children for which what was there before stays: missing, ours to begin, in time.

        Also those that the peer may not use yet.
        """
        return self._missing & self.peering.initiable() if self.patience > 0 else frozenset()

    @property
    def hoped(self) -> frozenset[str]:
        """The missing children that are the peer's to begin: whether it will nobody knows."""
        return self._missing - self.peering.initiable()

    @property
    def _missing(self) -> frozenset[str]:
        return self.peering.children - self.carrying | self.young.keys()

    @property
    def is_relieved(self) -> bool:
        """Tell whether children of another generation carry on for some of its own.

        In another IKE SA they may have the same names.
        """
        pairs = {pair_of(name) for name in self.peering.children}
        others = [child for sa in self.before for child in sa.children if child.state in CARRYING]
        return any(pair_of(c.name) in pairs for c in (*others, *self.old)) or self.is_resized

    @property
    def old(self) -> list[ChildSa]:
        """The children of its IKE SAs that carry, and aren't its own any more."""
        return self._outdated(CARRYING)

    @property
    def spent(self) -> list[ChildSa]:
        """Those that IKEv1 has renewed: charon has them, and their policies, until they expire."""
        return self._outdated({SaState.REKEYED}) if self.is_v1 else []

    def _outdated(self, states: Container[SaState]) -> list[ChildSa]:
        mine = (child for sa in self.current for child in sa.children)
        return [c for c in mine if c.name not in self.peering.children and c.state in states]

    @property
    def is_resized(self) -> bool:
        return any(is_resized(self.peering, child) for child in self.old)

    @property
    def young(self) -> Mapping[str, float]:
        """The children beside which what was before is left, and for how many seconds more."""
        if self.is_v1 or self.rank > handover.FIRST:
            seconds = precedence.SETTLED
        elif self.ranked and any(is_wider(self.peering, c) for c in self.old):
            # Who answers sends by the wider one until it has ended it.
            seconds = 4 * precedence.SETTLED
        else:
            return {}
        young = precedence.young(self.current, seconds)
        return {name: left for name, left in young.items() if name in self.peering.children}

    @property
    def patience(self) -> float:
        """Seconds that what was there before still has; infinite while nothing has failed."""
        if self.fault is None:
            return float("inf")
        return self.fault.first + self.timing.grace - self.timing.now


def carrying(config_name: str, sas: Iterable[IkeSa]) -> frozenset[str]:
    """Return the names of the children that carry traffic under the config."""
    return frozenset(
        child.name
        for sa in sas
        if sa.config == config_name and sa.state in HOLDING
        for child in sa.children
        if child.state in CARRYING
    )


def retry_at(fault: Fault, timing: Timing) -> float:
    """Return when to try again: pauses grow with the time that it has failed already."""
    pause = (fault.last - fault.first) / 2
    return fault.last + min(max(pause, timing.first_retry), timing.last_retry)


def plan_tunnels(
    desired: DesiredRouter,
    charon: ObservedCharon,
    timing: Timing,
    quiet: frozenset[str] = frozenset(),
) -> tuple[tuple[SwanAction, ...], float | None]:
    """Return the actions in charon, and in how many seconds time alone will change them.

    A standby has all loaded, never initiates, and has no IKE SA. `quiet` are the configs whose
    SAs of before shall stay at the peer.
    """
    wanted = peerings(desired)
    actions = load(desired, charon, quiet)
    if desired.role is Role.STANDBY:
        return (*actions, *silence(charon.ike_sas)), None
    actions += doubted(desired, charon.ike_sas, timing.now)
    waits: list[float] = []
    views: list[_View] = []
    faults = {fault.config: fault for fault in charon.faults}
    current = index_of(charon)

    def view_of(peering: Peering) -> _View:
        name = peering.config.name
        idle, lacking = charon.idle.get(name), charon.lacking.get(name)
        sas = current.of(name)
        # It may have been loaded before, with other children.
        loaded = charon.loaded.get(name) if has_loaded(charon, peering) else timing.now
        is_quiet, rank = name in quiet, charon.ranks.get(name, handover.FIRST)
        fault = faults.get(name)
        seen = peering, sas, fault, timing, idle, lacking, loaded
        return _View(*seen, strangers, is_quiet, rank, handover.is_possible(charon))

    names = config_names(desired)
    strangers = [sa for sa in charon.ike_sas if sa.config not in names]
    ranks: list[tuple[Peering, int]] = []
    for peering in restless(desired, current, faults, charon.ranks, young=bool(strangers)):
        view = view_of(peering)
        waits += view.young.values()
        dead, wait = _dead(view)
        actions += dead
        waits += [wait] if wait is not None else []
        ends, wait = _prune_children(view, charon.outdated)
        actions += ends
        waits += [wait] if wait is not None else []
        for ends, wait in (
            races.doubles(view.current, peering),
            races.needless(view.current, peering, timing.now),
            crowd(view.current, peering.children),
        ):
            actions += ends
            waits += [wait] if wait is not None else []
        ends, wait = hopeless(view.current, view.fault, timing.now)
        actions += ends
        waits += [wait] if wait is not None else []
        if view.is_v1 and not view.carrying:
            actions += hollow(view.current, view.fault, timing.now)
        loaded = charon.since if view.loaded is None else view.loaded
        refused = charon.refusals.get(view.name), loaded, timing.now
        actions += astray.ends(peering, view.current, view.hoped, *refused)
        initiate, wait = _initiate(view)
        actions += initiate
        waits += [wait] if wait is not None else []
        begins = bool(initiate)
        rank = handover.rank(peering, view.current, strangers, view.rank, begins=begins)
        ranks.append((peering, rank))
        views.append(view)
    actions += _dead_with_their_peer(views, map(view_of, wanted), timing.now)
    if strangers:
        hoped = {pair_of(name) for view in views for name in view.hoped}
        left = {
            sa.unique_id: hope(sa.children, hoped, charon.outdated, timing.now, timing.grace)
            for sa in strangers
        }
        waits += [seconds for seconds in left.values() if seconds > 0]
        unwanted = [sa for sa in strangers if left[sa.unique_id] <= 0]
        actions += _end_unwanted(views, desired, view_of, unwanted, timing.now)
    waits += [view.patience for view in views if 0 < view.patience < float("inf")]
    if handover.is_possible(charon):
        actions = [*handover.ranked(actions, ranks, charon, quiet)]
    return tuple(actions), min(waits, default=None)


def _dead(view: _View) -> tuple[tuple[SwanAction, ...], float | None]:
    """End the IKE SAs whose peer is dead, and tell when the next one would be.

    The question came `interval` after the last sign of life, so dpd's timeout ends `timeout -
    interval` after the question. IKEv2 has no such timeout of its own (RFC 7296 §2.4); in IKEv1
    charon keeps it.
    """
    connection = view.peering.config.connection
    dpd = connection.dpd
    if not dpd.watches:
        return (), None
    if connection.ike.version is IkeVersion.V1:
        due = owing(view.current, dpd.timeout, view.timing.now)
    else:
        patience = max(dpd.timeout - dpd.interval, 1)
        due = {
            sa.unique_id: sa.unanswered + patience - view.timing.now
            for sa in view.current
            if sa.state in LIVE and sa.unanswered is not None
        }
    if not due:
        return (), None
    # One that has been replaced is no news: a peer needn't end it (docs/adr/0020). Nor is one of
    # IKEv1 in which nothing was agreed on: there the cause is another.
    told = races.replaced(view.current, view.peering.children)
    told |= {sa.unique_id for sa in view.current if view.is_v1 and not sa.children}
    dead = tuple(
        TerminateIke(ike_id, force=True) if ike_id in told else DeclareDead(view.name, ike_id)
        for ike_id, left in due.items()
        if left <= 0
    )
    return dead, min((left for left in due.values() if left > 0), default=None)


def _dead_with_their_peer(
    views: Iterable[_View], everyone: Iterable[_View], now: float
) -> Iterable[SwanAction]:
    """End what else goes to a peer that was found dead, where the API's action says so.

    Not what was set up since: that is alive. Ages are whole seconds, rounded up or down.
    """
    ends = {
        (view.peering.config.connection.peer_address, view.fault.first)
        for view in views
        if view.fault is not None
        and view.fault.code == "dpd_timeout"
        and view.peering.config.connection.dpd.action is DpdAction.RESTART_BY_PEER
    }
    if not ends:
        return
    for view in everyone:
        connection = view.peering.config.connection
        for sa in view.current:
            if sa.state not in LIVE or not connection.dpd.watches:
                continue
            if any(connection.peer_address == peer and sa.age > now - at + 1 for peer, at in ends):
                yield DeclareDead(view.name, sa.unique_id)


def _initiate(view: _View) -> tuple[tuple[SwanAction, ...], float | None]:
    """Initiate what is missing: one child first, the others once the IKE SA is there."""
    lost, wait = view.peering.children - view.carrying, None
    if not lost:
        lost, wait = races.parted(view.current, view.peering)
    missing = races.in_order(view.peering, lost & view.peering.initiable())
    fault, timing = view.fault, view.timing
    # "clear" means: gone until the peer, or a change, brings it back.
    action = view.peering.config.connection.dpd.action
    cleared = fault is not None and fault.code == "dpd_timeout" and action is DpdAction.CLEAR
    if not missing or cleared:
        return (), wait
    if any(sa.state in COMING or (sa.state in LIVE and sa.busy) for sa in view.current):
        return (), None
    retry = None if fault is None else retry_at(fault, timing)
    if retry is not None and retry > timing.now:
        return (), retry - timing.now
    connection = view.peering.config.connection
    left = precedence.yielded(connection, view.loaded, retry, timing.now, resized=view.is_resized)
    if left > 0 and view.is_relieved:
        return (), left
    if any(sa.state in LIVE for sa in view.current):
        answered = view.is_relieved and view.rank > handover.FIRST
        theirs = view.peering.children if answered else frozenset[str]()
        left = precedence.handed_in(connection, view.current, theirs)
        handed = precedence.handed(connection, view.lacking, retry, timing.now)
        if (left := max(left, handed)) > 0:
            return (), left
        return tuple(Initiate(view.name, name) for name in missing), None
    if (left := precedence.courtesy(connection, view.idle, retry, timing.now)) > 0:
        return (), left
    # charon makes the others in the same IKE SA as soon as that is up.
    first = missing if view.quiet else missing[:1]
    return tuple(Initiate(view.name, name) for name in first), None


def _prune_children(
    view: _View, outdated: Mapping[int, float]
) -> tuple[tuple[SwanAction, ...], float | None]:
    """End children that aren't wanted any more; one that another takes the place of: only then.

    And tell when what the peer is to replace, and doesn't, ends.
    """
    now, grace = view.timing.now, view.timing.grace
    unwanted, spent = view.old, view.spent
    if not unwanted and not spent:
        return (), None
    waiting = placed(unwanted, view.peering, view.awaited)
    hoped = placed(unwanted, view.peering, view.hoped)
    old = [
        (child, hope((child,), hoped, outdated, now, grace))
        for child in unwanted
        if pair_of(child.name) not in waiting
    ]
    kept = waiting | {pair_of(child.name) for child, left in old if left > 0}
    ends = [child for child, left in old if left <= 0]
    ends += [child for child in spent if pair_of(child.name) not in kept]
    wait = min((left for _, left in old if left > 0), default=None)
    return tuple(TerminateChild(child.unique_id) for child in ends), wait


def _end_unwanted(
    views: Iterable[_View],
    desired: DesiredRouter,
    view_of: Callable[[Peering], _View],
    strangers: Iterable[IkeSa],
    now: float,
) -> Iterable[SwanAction]:
    """End IKE SAs of other generations and peers: not before what takes their place carries.

    `views` are of those peerings that don't rest.
    """
    wanted = by_identity(desired)
    awaited = {pair_of(name) for view in views for name in view.awaited}
    for sa in strangers:
        if sa.state not in LIVE | COMING:
            continue
        carried = [child for child in sa.children if child.state in CARRYING]
        if any(pair_of(child.name) in awaited for child in carried):
            continue
        peering = wanted.get(peering_of(sa.config) or ConnectionId(""))
        view = view_of(peering) if peering is not None else None
        if view is not None and view.peering.config.connection.ike.version is IkeVersion.V1:
            # The responder would keep the old child until its lifetime ends.
            yield from (TerminateChild(child.unique_id) for child in carried)
        # A peer that moved or is refused may not answer, and one that began anew has forgotten it.
        done = view is not None and view.peering.children <= view.carrying
        deaf = sa.unanswered is not None and now - sa.unanswered >= DEAF
        yield TerminateIke(sa.unique_id, force=deaf or not done)
