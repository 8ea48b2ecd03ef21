"""IKE SAs that end whatever else there is. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from swanherd.core.ike import COMING, LIVE, IkeSa, TerminateIke
from swanherd.core.model import DesiredRouter


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
