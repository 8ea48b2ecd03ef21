"""IKE SAs that will never have a child that is loaded. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable

from swanherd.core.ike import CARRYING, LIVE, IkeSa, Refusal, TerminateChild, TerminateIke
from swanherd.core.model import IkeVersion
from swanherd.core.peering import Peering

# Seconds after a load in which a refusal may still be older than that: it is told on another way.
SURE = 1.0


def ends(
    peering: Peering,
    current: Iterable[IkeSa],
    hoped: Container[str],
    refusal: Refusal | None,
    loaded: float,
    now: float,
) -> Iterable[TerminateChild | TerminateIke]:
    """End an IKE SA in which charon refuses to the peer a child that it has loaded.

    It has the config that it was made with for ever, which gets no more children if it was
    unloaded meanwhile: a change that was taken back loads another one of the same name, and so
    does the end of `LoadConfig`'s quiet. `hoped` are the missing children that are the peer's to
    begin; of ours charon takes the new config. One that is made later has that too, so none is
    ended twice. Ages are whole seconds, rounded up or down.
    """
    if refusal is None or refusal.at < loaded + SURE:
        return
    missing = [pair for name, pair in peering.config.children if name in hoped]
    if all(pair.common(asked) is None for pair in missing for asked in refusal.selectors):
        return
    is_v1 = peering.config.connection.ike.version is IkeVersion.V1
    for sa in current:
        if sa.state in LIVE and now - sa.age - 1 <= loaded:
            # In IKEv1 the peer would keep a child until its lifetime ends.
            old = (c for c in sa.children if c.state in CARRYING and is_v1)
            yield from (TerminateChild(child.unique_id) for child in old)
            yield TerminateIke(sa.unique_id, force=False)
