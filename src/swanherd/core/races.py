"""Of several IKE SAs of one config, which are needless: lost races, and what was renewed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from swanherd.core.ends import DEAF
from swanherd.core.ike import (
    CARRYING,
    COMING,
    LIVE,
    ChildSa,
    IkeSa,
    RekeyChild,
    SaState,
    TerminateChild,
    TerminateIke,
)
from swanherd.core.model import IkeVersion, TrafficSelector
from swanherd.core.peering import Peering

# Two IKE SAs of one config that came up within this many seconds are a race of both sides; with
# more between them the peer is replacing the older one and ends it itself.
RACE = 5
# Seconds for which both stay side by side before one is ended: a peer that swaps an SA that is
# itself young ends the old one within this time, and no race is to be decided (ADR 0004); and one
# that has renewed it has moved its children by then.
SETTLED = 2

# Seconds after which nobody has moved the children to the IKE SA that should stay: nobody will.
ABANDONED = 6
# In IKEv1 whoever is to do so waits for up to three times SETTLED first.
ABANDONED_V1 = 4 * SETTLED
# Seconds after which a peer that doesn't let the children come together isn't asked any more.
PARTED = 30


def needless(
    current: Sequence[IkeSa], peering: Peering, now: float
) -> tuple[tuple[TerminateIke | RekeyChild, ...], float | None]:
    """Return the ends of the peering's IKE SAs that another makes needless, and when to ask again.

    Told and forgotten: a peer that has ended it already would never confirm, and until charon
    gave up asking, packets would go into its children.
    """
    is_v1 = peering.config.connection.ike.version is IkeVersion.V1
    keeper = _keeper(current, peering.children)
    if keeper is None:
        return _give_up(current) if is_v1 else ((), None)
    moved: tuple[TerminateIke | RekeyChild, ...] = ()
    waits: list[float] = []
    if is_v1:
        ends = [(sa, keeper.age) for sa in _spent(current, keeper)]
        moved, wait = _settle_v1(current, peering.children)
        waits += [wait] if wait is not None else []
    else:
        ends = []
        moved, wait = _settle_v2(current, keeper, peering.children, now)
        waits += [wait] if wait is not None else []
    due = [(sa, float(SETTLED - age)) for sa, age in ends] + list(_attempts(current, keeper))
    waits += [left for _, left in due if left > 0]
    told = tuple(TerminateIke(sa.unique_id, force=True) for sa, left in due if left <= 0)
    return (*told, *moved), min(waits, default=None)


def parted(current: Sequence[IkeSa], peering: Peering) -> tuple[frozenset[str], float | None]:
    """Return the children that are to be made once more, in which all the others are, and when.

    Each side began with a child of its own, and no IKE SA has all: nothing is missing, but none
    can end. charon makes a child in the IKE SA that it lists first (ike_sa_manager.c,
    checkout_by_config), and after a race that may be another one on each side. So who can makes
    the rest in the one that both sides prefer, of two first who began it; if neither can, in the
    other one. What has everything then stays.
    """
    live = sorted((sa for sa in current if sa.state in LIVE), key=_preference)
    rivals = [sa for sa in live[1:] if _are_rivals(sa, live[0])]
    if not rivals or not _all_are_up(current):
        return frozenset(), None
    first = next(sa for sa in current if sa.state in LIVE)
    rest = peering.children - _carried(first)
    age = min(sa.age for sa in (live[0], *rivals))
    if age > PARTED or any(peering.children <= _carried(sa) for sa in live):
        return frozenset(), None
    due = SETTLED + (0 if first is live[0] else 2) + (0 if first.initiator else 1)
    return (rest, None) if age >= due else (frozenset(), float(due - age))


def in_order(peering: Peering, names: Iterable[str]) -> list[str]:
    """Return the children in an order that the peer has, too.

    Both sides begin with the first one: if they do so at once either's IKE SA may get them all.
    """
    wanted = frozenset(names)
    found = [(name, s) for name, s in peering.config.children if name in wanted]
    return [name for name, _ in sorted(found, key=lambda item: _ends(item[1]))]


def _ends(selector: TrafficSelector) -> list[str]:
    return sorted((str(selector.local), str(selector.remote)))


def doubles(
    current: Sequence[IkeSa], peering: Peering
) -> tuple[tuple[TerminateChild | RekeyChild, ...], float | None]:
    """Return what leaves one of the child SAs that both sides made at once, and when to ask again.

    In IKEv2 who began the IKE SA ends, of those of one name in it, the ones that it doesn't send
    into: then the peer moves to the other one too, and nothing is under way that can't be read.
    If it doesn't the other side does.
    """
    if peering.config.connection.ike.version is IkeVersion.V1:
        return _doubles_v1(current, peering.children)
    ends: list[tuple[int, float]] = []
    for sa in current:
        if sa.state is not SaState.ESTABLISHED or sa.busy:
            continue
        for same in _same(sa, _carried(sa)):
            same.sort(key=lambda child: (-_sent(child), min(child.spis, default=0)))
            age = min(map(_installed, same), default=0)
            due = SETTLED if sa.initiator else 2 * SETTLED
            ends += [(child.unique_id, float(due - age)) for child in same[1:]]
    wait = min((left for _, left in ends if left > 0), default=None)
    return tuple(TerminateChild(child) for child, left in ends if left <= 0), wait


def _doubles_v1(
    current: Sequence[IkeSa], children: frozenset[str]
) -> tuple[tuple[TerminateChild | RekeyChild, ...], float | None]:
    """Leave one of the child SAs that crossing quick modes of IKEv1 made, at first of all newer.

    charon looks for what a quick mode replaces when that begins (quick_mode.c), so of two that
    cross each replaces the same old one, and a later one replaces but one of the two. An end is
    told once and confirmed by nobody, so only what neither side sends into may end: what is older
    than the newest by so much that the peer has the same order. If none is, one is made anew.
    """
    live = [sa for sa in current if sa.state in LIVE | COMING]
    # Beside another IKE SA charon moves them over, and needless() settles that first.
    if len(live) != 1 or live[0].state is not SaState.ESTABLISHED or live[0].busy:
        return (), None
    due = SETTLED if live[0].initiator else 2 * SETTLED
    actions: list[TerminateChild | RekeyChild] = []
    waits: list[float] = []
    for same in _same(live[0], children):
        if len(same) < 2:
            continue
        age = min(map(_installed, same))
        older = [child for child in same if _installed(child) >= age + SETTLED]
        if age < due:
            waits.append(float(due - age))
        elif len(older) == len(same) - 1:
            actions += [TerminateChild(child.unique_id) for child in older]
        else:
            # Of any other charon would say that this one makes it redundant (task_manager_v1.c).
            actions.append(RekeyChild(max(same, key=_rekey_in).unique_id))
            waits.append(float(due))
    return tuple(actions), min(waits, default=None)


def _same(sa: IkeSa, names: Iterable[str]) -> Iterable[list[ChildSa]]:
    """Return the IKE SA's installed children of each of these names."""
    for name in sorted(names):
        yield [c for c in sa.children if c.name == name and c.state is SaState.INSTALLED]


def _keeper(current: Sequence[IkeSa], children: frozenset[str]) -> IkeSa | None:
    """Return the IKE SA that stays if it carries everything, whatever others there are."""
    live = [sa for sa in current if sa.state in LIVE]
    keeper = min(live, key=_preference, default=None)
    return keeper if keeper is not None and children <= _carried(keeper) else None


def _carried(sa: IkeSa) -> frozenset[str]:
    return frozenset(child.name for child in sa.children if child.state in CARRYING)


def _preference(sa: IkeSa) -> tuple[int, str]:
    """Order IKE SAs of one config so that both sides prefer the same one, the least.

    Its SPI, not its address, since a NAT shows each side other addresses (docs/adr/0004).
    """
    return -len(_carried(sa)), sa.initiator_spi


def _lost_races(current: Sequence[IkeSa], keeper: IkeSa) -> Iterable[IkeSa]:
    """Return the IKE SAs that lost a race of both sides.

    What charon makes while it replaces an IKE SA is none: it moves the children over itself, and
    each side may see them move to another one.
    """
    if any(sa.state is SaState.REKEYING for sa in current):
        return
    for sa in current:
        if sa.state not in LIVE or sa.unique_id == keeper.unique_id:
            continue
        if _are_rivals(sa, keeper):
            yield sa


def replaced(current: Sequence[IkeSa], children: frozenset[str]) -> frozenset[int]:
    """Return the IKE SAs beside which a younger one carries everything: nobody needs them."""
    return frozenset(
        sa.unique_id
        for sa in current
        for other in current
        if other.state in LIVE
        and other.age < sa.age
        and other.unanswered is None
        and children <= _carried(other)
    )


def _settle_v2(
    current: Sequence[IkeSa], keeper: IkeSa, children: frozenset[str], now: float
) -> tuple[tuple[TerminateIke | RekeyChild, ...], float | None]:
    """Settle a race of both sides in IKEv2, and tell when to ask again.

    Each side sends by the children that it installed last, maybe into the IKE SA that is to end:
    then the packets that are under way would be lost. So who began the one that stays makes its
    children anew, and so the newest on both sides; then the others end. Of a peer that doesn't,
    this side does it later; what can't be renewed doesn't keep the others for ever.
    """
    rivals = list(_lost_races(current, keeper))
    if not rivals:
        return (), None
    # The youngest says how long they have been side by side.
    age = min(sa.age for sa in (keeper, *rivals))
    if age < SETTLED:
        return (), float(SETTLED - age)
    if keeper.unanswered is not None:
        left = keeper.unanswered + DEAF - now
        return _doubt(keeper, rivals, children, left)
    held = [c for c in keeper.children if c.state in CARRYING and c.name in children]
    stale = tuple(RekeyChild(c.unique_id) for c in held if _installed(c) >= age)
    if age < ABANDONED and stale:
        if not keeper.initiator and age < 2 * SETTLED:
            return (), float(2 * SETTLED - age)
        return () if keeper.busy else stale, 1.0
    if age < ABANDONED and any(_installed(c) < 1 for c in held):
        return (), 1.0  # the peer may not use them yet
    return tuple(TerminateIke(sa.unique_id, force=True) for sa in rivals), None


def _doubt(
    keeper: IkeSa, rivals: Sequence[IkeSa], children: frozenset[str], left: float
) -> tuple[tuple[TerminateIke | RekeyChild, ...], float | None]:
    """End no other IKE SA while the peer doesn't answer in the one that would stay.

    A peer whose charon began anew within the seconds of a race has only what came last. For the
    others the path may be dead, which dead peer detection finds. Mostly the answer is under way;
    nobody tells when it comes.
    """
    is_there = any(sa.unanswered is None and children <= _carried(sa) for sa in rivals)
    if left > 0 or not is_there:
        return (), 1.0
    return (TerminateIke(keeper.unique_id, force=True),), None


def _settle_v1(
    current: Sequence[IkeSa], children: frozenset[str]
) -> tuple[tuple[TerminateIke | RekeyChild, ...], float | None]:
    """Settle a race of both sides in IKEv1, and tell when to ask again.

    charon moves the children to whichever IKE SA comes up last, each side to another one, so an
    end of any may take the peer's children along. The one with the lowest initiator SPI stays, or
    the one that isn't doomed: only this side knows which, so it is the first to act. Who has the
    children in it makes them anew there, and so the peer has them there too; the others end when
    those are younger than both IKE SAs, and have never moved.
    """
    if not _all_are_up(current):
        return (), None
    doomed = _doomed(current)
    live = sorted(
        (sa for sa in current if sa.state in LIVE),
        key=lambda sa: (sa.unique_id in doomed, sa.initiator_spi, sa.unique_id),
    )
    rivals = [sa for sa in live[1:] if _are_rivals(sa, live[0])]
    if not rivals:
        return (), None
    first, age = live[0], min(sa.age for sa in (live[0], *rivals))
    if age < SETTLED:
        return (), float(SETTLED - age)
    ends = tuple(TerminateIke(sa.unique_id, force=True) for sa in rivals)
    if not children <= _carried(first):
        # The peer has them there, and makes them anew; or nobody has.
        if age < ABANDONED_V1:
            return (), float(ABANDONED_V1 - age)
        return (TerminateIke(first.unique_id, force=True),), None
    if first.busy:
        return (), 1.0
    moved = {c.name: c.unique_id for c in first.children if c.state in CARRYING}
    young = _younger(first, age)
    if children <= young:
        return ends, None
    if not doomed and age < ABANDONED_V1 and any(children <= _younger(sa, age) for sa in rivals):
        # The peer has made them anew there, so it knows that the first one is doomed.
        return (), 1.0
    # charon moves children on the responder's side: mostly they are where they began here.
    due = SETTLED if doomed else 3 * SETTLED if first.initiator else 2 * SETTLED
    if age < due:
        return (), float(due - age)
    return tuple(RekeyChild(moved[name]) for name in sorted(children - young)), 1.0


def _give_up(
    current: Sequence[IkeSa],
) -> tuple[tuple[TerminateIke | RekeyChild, ...], float | None]:
    """End what charon will end, though no other carries everything, and tell when to ask again.

    The sooner the better: all that the peer makes meanwhile may be made in it.
    """
    doomed = _doomed(current)
    if not doomed or not _all_are_up(current):
        return (), None
    age = min(sa.age for sa in current if sa.state in LIVE)
    if age < SETTLED:
        return (), float(SETTLED - age)
    return tuple(TerminateIke(sa, force=True) for sa in sorted(doomed)), None


def _all_are_up(current: Sequence[IkeSa]) -> bool:
    """Tell whether nothing begins or is renewed, but for what ends."""
    return all(sa.state in (SaState.ESTABLISHED, SaState.DELETING) for sa in current)


def _doomed(current: Sequence[IkeSa]) -> frozenset[int]:
    """Return the IKE SAs of IKEv1 that charon will end by itself, in ten seconds at most.

    These are the ones from which it has moved all to one that the peer began and that came up
    later (adopt_children_job.c): nothing is in it, or the other one has twice what it had. What
    is made anew in them meanwhile goes along.
    """
    return frozenset(
        sa.unique_id
        for sa in current
        for other in current
        if sa.initiator and _are_rivals(sa, other) and _has_taken_over(other, sa)
    )


def _has_taken_over(sa: IkeSa, other: IkeSa) -> bool:
    names = [child.name for child in sa.children]
    had = {child.name for child in other.children}
    return bool(names) and (not had or any(names.count(n) > 1 and n not in had for n in names))


def _younger(sa: IkeSa, age: int) -> frozenset[str]:
    """Return the names of its children that have been there for less than so many seconds."""
    return frozenset(c.name for c in sa.children if c.state in CARRYING and _installed(c) < age)


def _are_rivals(sa: IkeSa, other: IkeSa) -> bool:
    return sa.initiator != other.initiator and abs(sa.age - other.age) <= RACE


def _installed(child: ChildSa) -> int:
    return child.details.installed if child.details is not None else 0


def _rekey_in(child: ChildSa) -> int:
    return (child.details.rekey_in or 0) if child.details is not None else 0


def _sent(child: ChildSa) -> int:
    return child.details.packets_out if child.details is not None else 0


def _spent(current: Sequence[IkeSa], keeper: IkeSa) -> Iterable[IkeSa]:
    """Return the IKE SAs of IKEv1 whose children have moved to one that took their place.

    charon keeps them until their lifetime ends. The side that hadn't renewed it would do so in
    its turn, for no child; each side would then have the children in another IKE SA, and
    whichever ends takes one side's along.
    """
    for sa in current:
        if sa.state not in LIVE or sa.unique_id == keeper.unique_id or _carried(sa):
            continue
        # charon tells no age of one that it renews; what has replaced it came later.
        is_renewed = sa.state is SaState.REKEYING and sa.unique_id < keeper.unique_id
        if is_renewed or sa.age - keeper.age > RACE:
            yield sa


def _attempts(current: Sequence[IkeSa], keeper: IkeSa) -> Iterable[tuple[IkeSa, float]]:
    """Return attempts of ours that the peer's own has made needless, and in how many seconds.

    One that the peer has answered may be up there by now: ended here without a word it would
    take the peer's packets. It comes up, and is a race then, or it fails; with another key on
    the two sides IKEv1 learns of no failure, and charon would ask for a minute and a half.
    """
    for sa in current:
        if sa.state not in COMING or not sa.initiator:
            continue
        # What begins beside an old IKE SA is charon's: IKEv1 knows no other rekeying.
        older = sa.unique_id < keeper.unique_id
        if not sa.answered and (keeper.age <= RACE or older):
            yield sa, 0.0
        elif sa.answered and older:
            yield sa, float(ABANDONED - keeper.age)
