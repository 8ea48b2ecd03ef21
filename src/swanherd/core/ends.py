"""IKE SAs that end whatever else there is, and for how long some don't. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from swanherd.core.ike import CARRYING, COMING, LIVE, ChildSa, IkeSa, SaState, TerminateIke
from swanherd.core.model import DesiredRouter
from swanherd.core.naming import pair_of


def silence(sas: Iterable[IkeSa]) -> Iterable[TerminateIke]:
    """End every IKE SA of a standby. The guard is silent by now: the peer hears nothing of it."""
    live = (sa for sa in sas if sa.state in LIVE | COMING)
    return (TerminateIke(sa.unique_id, force=True) for sa in live)


def doubted(desired: DesiredRouter, sas: Iterable[IkeSa], now: float) -> Iterable[TerminateIke]:
    """End what another host of the router may have replaced; the next look makes it anew.

    The peer may know nothing of it, and would confirm no end. Ages are whole seconds, rounded up
    or down.
    """
    before = desired.home.doubted if desired.home is not None else None
    if before is not None:
        for sa in sas:
            if sa.state in LIVE and now - sa.age + 1 <= before:
                yield TerminateIke(sa.unique_id, force=True)


def unrenewed(current: Sequence[IkeSa], patience: int, now: float) -> dict[int, float]:
    """Return what IKE SAs have left that IKEv1's renewal began, and whose peer doesn't answer.

    They have the children by then, but charon asks none of its questions in them. The first
    message is told of as the old IKE SA's.
    """
    asked = [
        sa.unanswered
        for sa in current
        if sa.state is SaState.REKEYING and sa.unanswered is not None
    ]
    coming = (sa for sa in current if sa.state is SaState.CONNECTING and sa.children)
    return {sa.unique_id: max(asked) + patience - now for sa in coming if asked}


def hope(
    children: Iterable[ChildSa],
    hoped: Container[str],
    outdated: Mapping[int, float],
    now: float,
    grace: float,
) -> float:
    """Return for how many seconds these stay, since the peer may still begin what replaces them.

    `hoped` are the pairs of which it may. Who never begins can't try, and so has no refusal to
    count from: time counts from when they were outdated.
    """
    held = (c.unique_id for c in children if c.state in CARRYING and pair_of(c.name) in hoped)
    return max((outdated.get(child, now) + grace - now for child in held), default=0.0)
