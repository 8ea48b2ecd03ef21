"""IKE SAs that end whatever else there is, and for how long some don't. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence

from swanherd.core.ike import (
    CARRYING,
    COMING,
    LIVE,
    ChildSa,
    Fault,
    IkeSa,
    SaState,
    TerminateIke,
)
from swanherd.core.model import DesiredRouter
from swanherd.core.naming import pair_of

# Seconds that an attempt still has whose answers charon can't read, since the keys differ: it
# would go on asking for a minute and a half, long after the key is mended.
HOPELESS = 2.0
# Seconds without another word after which a peer that had begun to answer has forgotten it, and
# would be asked for a minute and a half too. By then it was asked six times.
FORGOTTEN = 12.0
# Seconds for which a peer refuses, without a reason that IKE has a word for, all that is asked for
# in an IKE SA that carries nothing: then the two sides don't mean the same one.
HOLLOW = 5.0
# Seconds without an answer after which what is to end in any case isn't ended in agreement: the
# end would wait behind the question, for as long as charon goes on asking (two minutes and more).
# A peer that answers in another IKE SA has forgotten this one by then: it was asked five times.
DEAF = 4.0
# As many IKE SAs of one config may be up: a renewal, a race and a peer that began anew some times.
CROWD = 8
# Seconds that one has beside so many to get its children.
COMPLETE = 5


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


def owing(current: Sequence[IkeSa], patience: int, now: float) -> dict[int, float]:
    """Return what IKE SAs of IKEv1 have left whose peer charon itself asks no question.

    Those that its renewal began: they have the children by then; the first message is told of as
    the old IKE SA's. And those in which a child is asked for: charon waits for that answer alone,
    for minutes. There a packet through a child is a sign of life, too.
    """
    asked = [
        sa.unanswered
        for sa in current
        if sa.state is SaState.REKEYING and sa.unanswered is not None
    ]
    due = {}
    for sa in current:
        if sa.state is SaState.CONNECTING and sa.children and asked:
            due[sa.unique_id] = max(asked) + patience - now
        if sa.state is SaState.ESTABLISHED and sa.busy and sa.unanswered is not None:
            heard = [now - c.heard for c in sa.children if c.heard is not None]
            due[sa.unique_id] = max([sa.unanswered, *heard]) + patience - now
    return due


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


def hopeless(
    sas: Iterable[IkeSa], fault: Fault | None, now: float
) -> tuple[tuple[TerminateIke, ...], float | None]:
    """End our attempts that can't succeed any more, and tell when the next one is to be ended."""
    due = {
        sa.unique_id: sa.unanswered + patience - now
        for sa in sas
        if sa.unanswered is not None and (patience := _patience(sa, fault)) is not None
    }
    ends = tuple(TerminateIke(ike_id, force=True) for ike_id, left in due.items() if left <= 0)
    return ends, min((left for left in due.values() if left > 0), default=None)


def hollow(sas: Iterable[IkeSa], fault: Fault | None, now: float) -> Iterable[TerminateIke]:
    """End an IKE SA of IKEv1 in which nothing can be agreed on; in a new one it can.

    After a race of both sides each may have another one: what one encrypts the other can't read
    (PAYLOAD-MALFORMED, RFC 2409 §5.5), and charon would go on asking in it until it expires.
    """
    if fault is None or fault.code != "peer_refused" or fault.last - fault.first < HOLLOW:
        return
    for sa in sas:
        began = now - sa.age
        if sa.state is SaState.ESTABLISHED and not sa.children and began + HOLLOW <= fault.last:
            yield TerminateIke(sa.unique_id, force=True)


def crowd(
    current: Sequence[IkeSa], children: frozenset[str]
) -> tuple[tuple[TerminateIke, ...], float | None]:
    """End what is more than a `CROWD` of one peer, and tell when to ask again.

    To charon none replaces another (docs/live.md §1, fact 3). A peer that answers in all of them
    could make as many as it likes, until the node has no memory left and a look takes seconds.
    Those that lack children go first, then the oldest. Where any peer may come each is for itself.
    """
    by_host: dict[str, list[IkeSa]] = defaultdict(list)
    for sa in current:
        if sa.state in LIVE:
            by_host[sa.remote_host].append(sa)
    ends: list[TerminateIke] = []
    surplus = 0
    for live in by_host.values():
        more = max(0, len(live) - CROWD)
        elders = [sa for sa in live if sa.age >= COMPLETE] if more else []
        elders.sort(key=lambda sa: (_carries(sa, children), -sa.age, sa.unique_id))
        ends += [TerminateIke(sa.unique_id, force=True) for sa in elders[:more]]
        surplus += more
    return tuple(ends), None if len(ends) == surplus else 1.0


def _carries(sa: IkeSa, children: frozenset[str]) -> bool:
    return children <= {child.name for child in sa.children if child.state in CARRYING}


def _patience(sa: IkeSa, fault: Fault | None) -> float | None:
    """Return how long an attempt may go without an answer; None: as long as charon asks.

    IKEv1 encrypts with what the key yields (RFC 2409 §5.4), so neither side can even say no. And
    a peer says nothing to what it doesn't know: after its refusal, which was lost on the way, or
    where another node has taken its place. One that hasn't answered at all still can. What has
    children is a renewal of IKEv1.
    """
    if sa.state not in COMING or not sa.initiator:
        return None
    if fault is not None and fault.code == "psk_mismatch" and fault.last >= (sa.unanswered or 0):
        return HOPELESS
    return FORGOTTEN if sa.answered and not sa.children else None
